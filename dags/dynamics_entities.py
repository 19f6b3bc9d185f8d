"""One DAG for each entity of the catalogue, `dynamics_<entity>`. Each YAML file in include/entities makes one."""

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.dag_factory import build_dag

# A file that is wrong has no DAG here; dags/dynamics_catalogue_check.py shows why.
for entity in load_catalogue().entities:
    globals()[entity.dag_id] = build_dag(entity)  # Airflow finds DAGs among a module's globals.
