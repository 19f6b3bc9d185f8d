"""Every public method of Microsoft's Python SDK is called by a test beside this one, or stands below as out of scope.

A newer SDK shows what it has grown by failing here.
"""

import ast
from pathlib import Path

import pytest
from PowerPlatform.Dataverse.aio import AsyncDataverseClient
from PowerPlatform.Dataverse.aio.models.async_fetchxml_query import AsyncFetchXmlQuery
from PowerPlatform.Dataverse.aio.models.async_query_builder import AsyncQueryBuilder
from PowerPlatform.Dataverse.aio.operations import async_batch, async_dataframe, async_query, async_records
from PowerPlatform.Dataverse.aio.operations.async_tables import AsyncTableOperations
from PowerPlatform.Dataverse.client import DataverseClient
from PowerPlatform.Dataverse.models.fetchxml_query import FetchXmlQuery
from PowerPlatform.Dataverse.models.query_builder import ExpandOption, QueryBuilder, _QueryBuilderBase
from PowerPlatform.Dataverse.operations import batch, dataframe, query, records, tables
from PowerPlatform.Dataverse.operations.files import FileOperations

FOLDER = Path(__file__).parent

# A class, and the names that the tests give an object of it. A name with () stands for what a chain of calls returns
# that begins with this name.
SYNC: dict[type, set[str]] = {
    DataverseClient: {"sdk"},
    records.RecordOperations: {"sdk.records"},
    query.QueryOperations: {"sdk.query"},
    tables.TableOperations: {"sdk.tables"},
    dataframe.DataFrameOperations: {"sdk.dataframe"},
    batch.BatchOperations: {"sdk.batch"},
    batch.BatchRequest: {"batch"},
    batch.BatchRecordOperations: {"batch.records"},
    batch.BatchTableOperations: {"batch.tables"},
    batch.BatchQueryOperations: {"batch.query"},
    batch.BatchDataFrameOperations: {"batch.dataframe"},
    batch.ChangeSetRecordOperations: {"change_set.records"},
    FetchXmlQuery: {"fetch"},
    QueryBuilder: {"query", "query()", "_query()", "sdk()"},
    ExpandOption: {"people", "people()", "ExpandOption()"},
}
ASYNC: dict[type, set[str]] = {
    AsyncDataverseClient: {"aio"},
    async_records.AsyncRecordOperations: {"aio.records"},
    async_query.AsyncQueryOperations: {"aio.query"},
    AsyncTableOperations: {"aio.tables"},
    async_dataframe.AsyncDataFrameOperations: {"aio.dataframe"},
    async_batch.AsyncBatchOperations: {"aio.batch"},
    async_batch.AsyncBatchRequest: {"batch"},
    AsyncFetchXmlQuery: {"fetch"},
}
# What the async client shares with the other one, where it is tried.
SHARED = set(dir(_QueryBuilderBase))

TABLE_CREATION = {
    "create",
    "delete",
    "create_one_to_many_relationship",
    "create_many_to_many_relationship",
    "create_lookup_field",
    "delete_relationship",
}
OUT_OF_SCOPE: dict[type, set[str]] = {
    tables.TableOperations: TABLE_CREATION,
    batch.BatchTableOperations: TABLE_CREATION,
    AsyncTableOperations: TABLE_CREATION,
    # The queries call it with each option.
    ExpandOption: {"to_odata"},
}


def _public(owner: type) -> set[str]:
    return {name for name in dir(owner) if not name.startswith("_") and callable(getattr(owner, name))}


def _path(node: ast.expr) -> str:
    """``sdk.records`` for such an expression; ``sdk()`` when it is a call of whatever hangs on ``sdk``."""
    match node:
        case ast.Name(name):
            return name
        case ast.Attribute(value, name):
            return f"{_path(value)}.{name}"
        case ast.Call(called):
            return _path(called).split(".")[0].removesuffix("()") + "()"
        case _:
            return ""


def _calls(pattern: str) -> set[str]:
    trees = (ast.parse(path.read_text()) for path in FOLDER.glob(pattern))
    return {_path(node.func) for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)}


@pytest.mark.parametrize(
    ("pattern", "classes"), [("test_[!a]*.py", SYNC), ("test_async.py", ASYNC)], ids=["sync", "async"]
)
def test_every_public_method_is_called(pattern: str, classes: dict[type, set[str]]) -> None:
    calls = _calls(pattern)
    left = {
        (owner.__name__, method)
        for owner, names in classes.items()
        for method in _public(owner)
        if not calls & {f"{name}.{method}" for name in names}
    }

    assert left == {(owner.__name__, method) for owner in classes for method in OUT_OF_SCOPE.get(owner, set())}


def test_the_async_query_adds_nothing_that_is_not_called() -> None:
    own = _public(AsyncQueryBuilder) - SHARED

    assert {f"query.{method}" for method in own} <= {name.replace("()", "") for name in _calls("test_async.py")}


NAMESPACES = {"auth", "records", "query", "tables", "files", "dataframe", "batch"}


def test_every_namespace_is_known(sdk: DataverseClient) -> None:
    assert {name for name in vars(sdk) if not name.startswith("_")} == NAMESPACES
    assert {name for name in vars(sdk.batch.new()) if not name.startswith("_")} == {
        "records",
        "tables",
        "query",
        "dataframe",
    }
    assert _public(FileOperations) == {"upload"}


@pytest.mark.anyio
async def test_every_async_namespace_is_known(aio: AsyncDataverseClient) -> None:
    assert {name for name in vars(aio) if not name.startswith("_")} == NAMESPACES
