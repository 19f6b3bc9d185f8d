"""A complete local installation of the sync: a local Dynamics, PostgreSQL, Airflow, and a demo with a judge.

`python -m dynamics_demo` is what `make demo` and `make stop` call. The sync needs nothing of it elsewhere.
"""
