"""Rejected rows travel through staging unchanged."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from dynamics_sync.translation.rejected import Rejected, rejected_from_json, rejected_to_json

REJECTED = st.builds(
    Rejected,
    record_key=st.none() | st.text(),
    code=st.text(),
    field=st.none() | st.text(),
    reason=st.text(),
    payload=st.text(),
    version=st.none() | st.integers(-(2**63), 2**63 - 1),
)


@settings(deadline=None, derandomize=True)
@given(rows=st.lists(REJECTED))
def test_rejected_rows_survive_json(rows: list[Rejected]) -> None:
    assert rejected_from_json(json.loads(json.dumps(rejected_to_json(rows)))) == tuple(rows)
