"""Fixtures of several test files."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests are imported one by one, not as packages; what several share is found beside them.
sys.path.insert(0, str(Path(__file__).parent))

from airflow_stand_in import PASSWORD, StandIn, serving

from dynamics_demo.airflow_api import AirflowApi


@pytest.fixture
def stand_in() -> Iterator[StandIn]:
    with serving(StandIn()) as running:
        yield running


@pytest.fixture
def airflow(stand_in: StandIn) -> Iterator[AirflowApi]:
    client = AirflowApi(stand_in.address, "admin", PASSWORD)
    yield client
    client.close()
