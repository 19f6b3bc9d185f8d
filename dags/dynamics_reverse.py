"""The DAG `dynamics_reverse`, which writes to Dynamics what was changed in the marketing database."""

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.reverse_dag import build_reverse_dag

# A catalogue in which nothing goes both ways has no such DAG.  (airflow.sdk.DAG: see there)
if two_way := [entity for entity in load_catalogue().entities if entity.is_two_way]:
    dag = build_reverse_dag(two_way)
