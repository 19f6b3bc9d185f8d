"""Microsoft's Python SDK: rows as pandas frames."""

import pandas as pd
import pytest
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.core.errors import HttpError


def _read(sdk: DataverseClient, mark: str) -> pd.DataFrame:
    columns = ["leadid", "lastname", "numberofemployees"]
    found = sdk.records.list("lead", filter=f"companyname eq '{mark}'", select=columns, orderby=["lastname"])
    return found.to_dataframe()


@pytest.fixture
def ids(sdk: DataverseClient, mark: str) -> pd.Series:
    """The ids of three new leads, with the index of the frame that they were made from."""
    frame = pd.DataFrame({"lastname": ["A", "B", "C"], "companyname": mark}, index=[7, 8, 9])
    # A plain column with a gap holds floats, and 10.0 is no whole number for the Web API.
    frame["numberofemployees"] = pd.array([10, None, 30], dtype="Int64")
    return sdk.dataframe.create("lead", frame)


def test_creates_from_a_frame(sdk: DataverseClient, mark: str, ids: pd.Series) -> None:
    found = _read(sdk, mark)

    assert list(ids.index) == [7, 8, 9]
    assert list(found["leadid"]) == list(ids)
    assert found["numberofemployees"].fillna(0).tolist() == [10, 0, 30]


def test_updates_from_a_frame(sdk: DataverseClient, mark: str, ids: pd.Series) -> None:
    changes = pd.DataFrame({"leadid": ids, "lastname": ["D", None, "F"]})
    changes["numberofemployees"] = pd.array([None, 5, 6], dtype="Int64")

    sdk.dataframe.update("lead", changes, "leadid")

    assert _read(sdk, mark).sort_values("lastname")["numberofemployees"].tolist() == [5, 10, 6]


def test_updates_a_single_row_and_clears_values(sdk: DataverseClient, mark: str, ids: pd.Series) -> None:
    changes = pd.DataFrame({"leadid": [ids[9]], "numberofemployees": [None]})

    sdk.dataframe.update("lead", changes, "leadid", clear_nulls=True)

    assert _read(sdk, mark)["numberofemployees"].fillna(0).tolist() == [10, 0, 0]


def test_deletes_a_series(sdk: DataverseClient, mark: str, ids: pd.Series) -> None:
    assert sdk.dataframe.delete("lead", ids[:1]) is None
    assert sdk.dataframe.delete("lead", ids[1:], use_bulk_delete=False) is None

    assert _read(sdk, mark).empty


def test_deletes_a_series_with_a_job(sdk: DataverseClient, mark: str, ids: pd.Series) -> None:
    assert sdk.dataframe.delete("lead", ids) is not None

    assert _read(sdk, mark).empty


def test_the_older_way_of_reading_frames(sdk: DataverseClient, mark: str, ids: pd.Series) -> None:
    with pytest.deprecated_call():
        single = sdk.dataframe.get("lead", ids[7], select=["lastname"])
    with pytest.deprecated_call():
        several = sdk.dataframe.get("lead", filter=f"companyname eq '{mark}'", select=["lastname"], page_size=2)

    assert single["lastname"].tolist() == ["A"]
    assert sorted(several["lastname"]) == ["A", "B", "C"]


def test_sql_into_a_frame_is_refused_plainly(sdk: DataverseClient) -> None:
    with pytest.raises(HttpError, match="sql"):
        sdk.dataframe.sql("SELECT TOP 5 lastname FROM lead")
