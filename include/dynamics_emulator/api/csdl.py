"""``$metadata``: the schema as CSDL, as far as clients read it."""

from xml.sax.saxutils import quoteattr

from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.model import Column, ColumnType, Schema, Table

_EDM = {
    ColumnType.STRING: "Edm.String",
    ColumnType.MEMO: "Edm.String",
    ColumnType.MULTI_SELECT: "Edm.String",
    ColumnType.BIG_INT: "Edm.Int64",
    ColumnType.DOUBLE: "Edm.Double",
    ColumnType.DECIMAL: "Edm.Decimal",
    ColumnType.MONEY: "Edm.Decimal",
    ColumnType.BOOLEAN: "Edm.Boolean",
    ColumnType.UNIQUEIDENTIFIER: "Edm.Guid",
    ColumnType.LOOKUP: "Edm.Guid",
    ColumnType.OWNER: "Edm.Guid",
    ColumnType.CUSTOMER: "Edm.Guid",
}
_TRACKED = (
    '<Annotation Term="Org.OData.Capabilities.V1.ChangeTracking"><Record>'
    '<PropertyValue Property="Supported" Bool="true" /></Record></Annotation>'
)


def metadata_document(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """Entity types and sets; with ``?annotations=true`` also which tables are tracked."""
    annotated = request.options.others.get("annotations") == "true"
    schema = organisation.schema
    types = "".join(_entity_type(schema, table) for table in schema.tables.values())
    sets = "".join(_entity_set(table, annotated=annotated) for table in schema.tables.values())
    text = (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<edmx:Edmx Version="4.0" xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx"><edmx:DataServices>'
        '<Schema Namespace="Microsoft.Dynamics.CRM" Alias="mscrm" xmlns="http://docs.oasis-open.org/odata/ns/edm">'
        f'{types}<EntityContainer Name="System">{sets}</EntityContainer>'
        "</Schema></edmx:DataServices></edmx:Edmx>"
    )
    return ApiResponse(200, {"Content-Type": "application/xml"}, text.encode())


def edm_type(column: Column) -> str:
    """The EDM type of a column."""
    if column.type is ColumnType.DATE_TIME:
        return "Edm.Date" if column.is_date_only else "Edm.DateTimeOffset"
    return _EDM.get(column.type, "Edm.Int32")


def _entity_type(schema: Schema, table: Table) -> str:
    key = "ownerid" if table.key_is_owner else table.primary_id
    parts = [f"<EntityType Name={quoteattr(table.name)}><Key><PropertyRef Name={quoteattr(key)} /></Key>"]
    parts += [
        f"<Property Name={quoteattr(column.property_name)} Type={quoteattr(edm_type(column))} />"
        for column in table.columns.values()
    ]
    parts += [
        f'<NavigationProperty Name={quoteattr(name)} Type="mscrm.{targets[0] if len(targets) == 1 else "principal"}" />'
        for name, (_, targets) in table.navigations.items()
    ]
    parts += [
        f'<NavigationProperty Name={quoteattr(link.name)} Type="Collection(mscrm.{link.child})" />'
        for link in schema.collections[table.name].values()
    ]
    return "".join(parts) + "</EntityType>"


def _entity_set(table: Table, *, annotated: bool) -> str:
    start = f'<EntitySet Name={quoteattr(table.set_name)} EntityType="Microsoft.Dynamics.CRM.{table.name}"'
    return f"{start}>{_TRACKED}</EntitySet>" if annotated and table.tracked else f"{start} />"
