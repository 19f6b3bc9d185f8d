"""Sync between Microsoft Dynamics 365 and a marketing database, on Apache Airflow."""
