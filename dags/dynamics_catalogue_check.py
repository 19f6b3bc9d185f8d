"""A wrong file of the catalogue shows here, as an import error in Airflow's UI; it takes down its own DAG only."""

from dynamics_sync.catalogue import load_catalogue
from dynamics_sync.errors import CatalogueError

if errors := list(load_catalogue().errors.values()):
    # Raised here and not in dynamics_entities.py, whose DAGs would all be gone.  (airflow.sdk.DAG: see there)
    separator = f"\n{CatalogueError.code} "
    raise CatalogueError(separator.join(error.what for error in errors), next_step=errors[0].step)
