"""``$metadata``: the schema as CSDL."""

from functools import cached_property
from xml.etree import ElementTree as Xml

from dynamics_emulator.api.messages import ApiRequest, ApiResponse
from dynamics_emulator.organisation import Organisation
from dynamics_emulator.schema.described import CRM
from dynamics_emulator.schema.model import Column, ColumnType, Schema, Table
from dynamics_emulator.schema.operations import ENUMERATIONS, FUNCTIONS, STRUCTURES, Operation, actions

_EDMX = "http://docs.oasis-open.org/odata/ns/edmx"
_EDM_NAMESPACE = "http://docs.oasis-open.org/odata/ns/edm"
_VOCABULARIES = "https://oasis-tcs.github.io/odata-vocabularies/vocabularies"
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


def metadata_document(organisation: Organisation, request: ApiRequest) -> ApiResponse:
    """All types, sets, functions and actions; with their annotations, if an option or a preference asks for them."""
    asked = request.options.others.get("annotations") == "true"
    annotated = asked or request.annotations.wants("Org.OData.Capabilities.V1.ChangeTracking")
    text = Xml.tostring(_Document(organisation.schema, annotated=annotated).whole(), encoding="unicode")
    body = f'<?xml version="1.0" encoding="utf-8"?>{text}'
    return ApiResponse(200, {"Content-Type": "application/xml"}, body.encode())


def edm_type(column: Column) -> str:
    """The EDM type of a column."""
    if column.type is ColumnType.DATE_TIME:
        return "Edm.Date" if column.is_date_only else "Edm.DateTimeOffset"
    return _EDM.get(column.type, "Edm.Int32")


class _Document:
    """The document of one schema while it is being written."""

    def __init__(self, schema: Schema, *, annotated: bool) -> None:
        self._schema = schema
        self._annotated = annotated

    def whole(self) -> Xml.Element:
        root = Xml.Element("edmx:Edmx", {"Version": "4.0", "xmlns:edmx": _EDMX})
        for name in ("Core", "Capabilities"):
            namespace = f"Org.OData.{name}.V1"
            reference = Xml.SubElement(root, "edmx:Reference", Uri=f"{_VOCABULARIES}/{namespace}.xml")
            Xml.SubElement(reference, "edmx:Include", Namespace=namespace)
        services = Xml.SubElement(root, "edmx:DataServices")
        parent = Xml.SubElement(services, "Schema", Namespace=CRM, Alias="mscrm", xmlns=_EDM_NAMESPACE)
        self._write_types(parent)
        operations = actions(self._schema.tables)
        for function in FUNCTIONS:
            _write_operation(parent, "Function", function)
        for action in operations:
            _write_operation(parent, "Action", action)
        self._write_container(parent, operations)
        return root

    def _write_types(self, parent: Xml.Element) -> None:
        Xml.SubElement(parent, "EntityType", Name="crmbaseentity", Abstract="true")
        principal = Xml.SubElement(parent, "EntityType", Name="principal", BaseType="mscrm.crmbaseentity")
        _write_key(principal, "ownerid")
        for table in self._schema.tables.values():
            self._write_entity(parent, table)
        for name in self._foreign:
            # Lookups may point at tables that the organisation does not have; parsers want every type declared.
            foreign = Xml.SubElement(parent, "EntityType", Name=name, BaseType="mscrm.crmbaseentity")
            _write_key(foreign, f"{name}id")
        for structure in STRUCTURES:
            element = Xml.SubElement(parent, "ComplexType", Name=structure.name)
            if structure.open:
                element.set("OpenType", "true")
            for name, kind in structure.properties:
                Xml.SubElement(element, "Property", Name=name, Type=kind)
        for name, members in ENUMERATIONS.items():
            element = Xml.SubElement(parent, "EnumType", Name=name)
            for value, member in enumerate(members):
                Xml.SubElement(element, "Member", Name=member, Value=str(value))

    @cached_property
    def _foreign(self) -> list[str]:
        columns = (column for table in self._schema.tables.values() for column in table.columns.values())
        return sorted({target for column in columns for target in column.targets} - set(self._schema.tables))

    def _write_entity(self, parent: Xml.Element, table: Table) -> None:
        base = "principal" if table.key_is_owner else "crmbaseentity"
        element = Xml.SubElement(parent, "EntityType", Name=table.name, BaseType=f"mscrm.{base}")
        if not table.key_is_owner:
            reference = Xml.SubElement(element, "Key")
            Xml.SubElement(reference, "PropertyRef", Name=table.primary_id)
        for column in table.columns.values():
            if not (table.key_is_owner and column.name == "ownerid"):
                self._write_property(element, table, column)
        for name, (column, targets) in table.navigations.items():
            self._write_navigation(element, name, column, targets)
        for link in self._schema.collections[table.name].values():
            child = self._schema.table(link.child).columns[link.column]
            Xml.SubElement(
                element,
                "NavigationProperty",
                Name=link.name,
                Type=f"Collection(mscrm.{link.child})",
                Partner=child.navigation_for(table.name),
            )
        for name, other in self._crossings(table):
            Xml.SubElement(element, "NavigationProperty", Name=name, Type=f"Collection(mscrm.{other})", Partner=name)

    def _write_property(self, parent: Xml.Element, table: Table, column: Column) -> None:
        kind = edm_type(column)
        element = Xml.SubElement(parent, "Property", Name=column.property_name, Type=kind)
        if column.name == table.primary_id:
            element.set("Nullable", "false")
        if kind == "Edm.String":
            element.set("Unicode", "false")
        if kind == "Edm.Decimal":
            element.set("Scale", "Variable")
        if self._annotated and (column.is_lookup or not (column.creatable or column.updatable)):
            Xml.SubElement(element, "Annotation", Term="Org.OData.Core.V1.Computed", Bool="true")
        if self._annotated:
            Xml.SubElement(element, "Annotation", Term="Org.OData.Core.V1.Description", String=column.display)

    def _write_navigation(self, parent: Xml.Element, name: str, column: Column, targets: tuple[str, ...]) -> None:
        kind = targets[0] if len(targets) == 1 else "principal"
        element = Xml.SubElement(parent, "NavigationProperty", Name=name, Type=f"mscrm.{kind}")
        if len(targets) == 1 and targets[0] in self._schema.tables:
            target = self._schema.table(targets[0])
            key = "ownerid" if target.key_is_owner else target.primary_id
            collection = next(
                link.name
                for link in self._schema.collections[target.name].values()
                if link.column == column.name and link.child == parent.get("Name")
            )
            element.set("Partner", collection)
        else:
            key = "ownerid" if kind == "principal" else f"{kind}id"
        Xml.SubElement(element, "ReferentialConstraint", Property=column.property_name, ReferencedProperty=key)

    def _crossings(self, table: Table) -> list[tuple[str, str]]:
        return [
            (mine.navigation, theirs.table)
            for relationship in self._schema.many_to_many
            for mine, theirs in (
                (relationship.first, relationship.second),
                (relationship.second, relationship.first),
            )
            if mine.table == table.name
        ]

    def _write_container(self, parent: Xml.Element, operations: list[Operation]) -> None:
        container = Xml.SubElement(parent, "EntityContainer", Name="System")
        for table in self._schema.tables.values():
            self._write_set(container, table)
        for function in FUNCTIONS:
            name = f"mscrm.{function.name}"
            Xml.SubElement(container, "FunctionImport", Name=function.name, Function=name)
        for action in operations:
            if not action.bound:
                Xml.SubElement(container, "ActionImport", Name=action.name, Action=f"mscrm.{action.name}")

    def _write_set(self, parent: Xml.Element, table: Table) -> None:
        element = Xml.SubElement(parent, "EntitySet", Name=table.set_name, EntityType=f"{CRM}.{table.name}")
        bindings = {
            **{name: targets[0] for name, (_, targets) in table.navigations.items() if len(targets) == 1},
            **{link.name: link.child for link in self._schema.collections[table.name].values()},
            **dict(self._crossings(table)),
        }
        for name, target in bindings.items():
            if target in self._schema.tables:
                place = self._schema.table(target).set_name
                Xml.SubElement(element, "NavigationPropertyBinding", Path=name, Target=place)
        if self._annotated and table.tracked:
            annotation = Xml.SubElement(element, "Annotation", Term="Org.OData.Capabilities.V1.ChangeTracking")
            record = Xml.SubElement(annotation, "Record")
            Xml.SubElement(record, "PropertyValue", Property="Supported", Bool="true")


def _write_key(parent: Xml.Element, name: str) -> None:
    key = Xml.SubElement(parent, "Key")
    Xml.SubElement(key, "PropertyRef", Name=name)
    Xml.SubElement(parent, "Property", Name=name, Type="Edm.Guid", Nullable="false")


def _write_operation(parent: Xml.Element, kind: str, operation: Operation) -> None:
    element = Xml.SubElement(parent, kind, Name=operation.name)
    if operation.bound:
        element.set("IsBound", "true")
    for name, type_name in operation.parameters:
        nullable = "true" if name in operation.optional else "false"
        Xml.SubElement(element, "Parameter", Name=name, Type=type_name, Nullable=nullable)
    if operation.returns:
        Xml.SubElement(element, "ReturnType", Type=operation.returns, Nullable="false")
