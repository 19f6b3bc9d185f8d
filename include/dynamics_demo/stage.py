"""What the steps of the story work with."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynamics_demo.airflow_api import AirflowApi, Run
from dynamics_demo.dynamics import DynamicsApi
from dynamics_demo.entities import Entity
from dynamics_demo.marketing import MarketingDatabase
from dynamics_demo.rounds import Round
from dynamics_demo.start import Started
from dynamics_demo.trouble import Trouble


@dataclass(frozen=True, slots=True)
class Stage:
    """Both sides, Airflow between them, the entities, and the trouble that was asked for."""

    started: Started
    dynamics: DynamicsApi
    entities: Sequence[Entity]
    trouble: Trouble

    @property
    def airflow(self) -> AirflowApi:
        """Airflow's REST API."""
        return self.started.airflow

    @property
    def marketing(self) -> MarketingDatabase:
        """The marketing database."""
        return self.started.marketing

    @property
    def two_way(self) -> Sequence[Entity]:
        """The entities whose changes here are written to Dynamics."""
        return [entity for entity in self.entities if entity.is_two_way]

    def run_round(self, entities: Sequence[Entity] = ()) -> Mapping[str, Run]:
        """Run the DAG of each entity once, or of those that are given, under the trouble."""
        with self.trouble.troubling(self.started.dynamics):
            return Round(self.airflow, entities or self.entities, "Runs").run()
