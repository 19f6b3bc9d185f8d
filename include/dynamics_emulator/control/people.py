"""The verbs of the control that change who may do what: applications, users, roles and sign-in."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dynamics_emulator.api.writing import overwrite, remove
from dynamics_emulator.identity import CLIENT_ID, CLIENT_SECRET, ROOT_BUSINESS_UNIT_ID
from dynamics_emulator.organisation import Organisation, present_time
from dynamics_emulator.security.founding import MARKETING_SYNC, add_role, grant_row, named_id
from dynamics_emulator.security.privileges import SPECIAL_PRIVILEGES, Depth, Right, privilege_name
from dynamics_emulator.signin.directory import Registration, object_id
from dynamics_emulator.storage.bulk import insert_rows
from dynamics_emulator.storage.database import SqlValue

Row = dict[str, SqlValue]


@dataclass(frozen=True)
class AddedApplication:
    """What a client needs to sign in as an application, and its user in the organisation."""

    client_id: str
    client_secret: str
    user_id: str


class PeopleControl:
    """Applications, users, roles and sign-in of one organisation. Changes take effect with the next request."""

    def __init__(self, organisation: Organisation) -> None:
        self._organisation = organisation

    def set_read(self, table: str, *, allowed: bool, role: str = MARKETING_SYNC) -> None:
        """Give or take the global read privilege on a table. Raises KeyError for an unknown table or role."""
        self.set_privilege(table, Right.READ, Depth.GLOBAL if allowed else None, role)

    def set_privilege(
        self, table: str | None, privilege: str, depth: Depth | str | None, role: str = MARKETING_SYNC
    ) -> None:
        """Let a role hold a privilege at a depth (``Basic``, ``Local``, ``Deep``, ``Global``), or not at all (None).

        ``privilege`` is a right such as ``Read`` on ``table``, or, without a table, the name of a privilege that
        belongs to none. Raises KeyError for an unknown table or role, ValueError for an unknown right or depth.
        """
        organisation = self._organisation
        name = self._privilege(table, privilege)
        reach = _depth(depth)
        role_id = self._role(role)
        with organisation.database.transaction() as connection:
            query = "SELECT roleprivilegeid FROM roleprivileges WHERE roleid = ? AND privilegeid = ?"
            held = connection.execute(query, (role_id, named_id("privilege", name))).fetchall()
            for (row_id,) in held:
                remove(organisation, organisation.schema.table("roleprivileges"), str(row_id))
            if reach is not None:
                self._insert("roleprivileges", dict(grant_row(role_id, name, reach)))

    def add_role(self, name: str) -> str:
        """Add a role without privileges; returns its id."""
        organisation = self._organisation
        with organisation.database.transaction():
            return add_role(organisation.database, organisation.schema, name)

    def add_business_unit(self, name: str, parent: str | None = None) -> str:
        """Add a business unit below another (the root without one); returns its id."""
        row_id = named_id("businessunit", name)
        row = {"businessunitid": row_id, "name": name, "parentbusinessunitid": parent or ROOT_BUSINESS_UNIT_ID}
        self._insert("businessunit", {**row, "isdisabled": 0, **self._stamps()})
        return row_id

    def add_application(
        self,
        client_id: str | None = None,
        *,
        roles: Sequence[str] = (MARKETING_SYNC,),
        business_unit: str | None = None,
        name: str = "Second application",
    ) -> AddedApplication:
        """Register an application in Entra and make it a user of the organisation.

        It can sign in until the emulator stops; its user stays. Raises KeyError for an unknown role.
        """
        client = (client_id or named_id("application", name)).lower()
        secret = f"{name} {CLIENT_SECRET}"
        user: Row = {"applicationid": client, "azureactivedirectoryobjectid": object_id(client), "accessmode": 4}
        user_id = self._add_user(f"# {name}", business_unit, roles, user)
        self._organisation.directory.register(Registration(client, (secret,)))
        return AddedApplication(client, secret, user_id)

    def add_user(self, name: str, *, roles: Sequence[str] = (), business_unit: str | None = None) -> str:
        """Add a person as a user; returns its id. Its Entra object id is in ``azureactivedirectoryobjectid``."""
        user: Row = {"azureactivedirectoryobjectid": named_id("object", name), "accessmode": 0}
        return self._add_user(name, business_unit, roles, user)

    def assign_role(self, role: str, *, user: str | None = None, team: str | None = None) -> None:
        """Give a role to a user or a team. Raises KeyError for an unknown role, ValueError without a holder."""
        role_id = self._role(role)
        if user:
            key = {"systemuserroleid": named_id(user, role), "systemuserid": user}
            self._insert("systemuserroles", {**key, "roleid": role_id})
        elif team:
            self._insert("teamroles", {"teamroleid": named_id(team, role), "teamid": team, "roleid": role_id})
        else:
            message = "name a user or a team"
            raise ValueError(message)

    def disable_user(self, user_id: str, *, disabled: bool = True) -> None:
        """Disable a user, or enable it again."""
        organisation = self._organisation
        with organisation.database.transaction():
            overwrite(organisation, organisation.schema.table("systemuser"), user_id, {"isdisabled": int(disabled)})

    def sign_in_error(self, name: str | int, times: int = 1) -> None:
        """Refuse the next token requests, by a refusal's name or AADSTS number, whatever they hold.

        :data:`dynamics_emulator.signin.refusals.REFUSALS` lists the names. Raises KeyError for an unknown one.
        """
        self._organisation.directory.force(name, times)

    def clear_sign_in_errors(self) -> None:
        """Answer token requests as they deserve again."""
        self._organisation.directory.clear_forced()

    def change_application(self, client_id: str = CLIENT_ID, **changes: object) -> None:
        """Change the registration of an application in Entra: ``secrets``, ``disabled``, ``public`` and so on.

        Raises KeyError for an unknown application, TypeError for an unknown part.
        """
        directory = self._organisation.directory
        directory.register(replace(directory.applications[client_id.lower()], **changes))  # type: ignore[arg-type] # parts are checked by name

    def _add_user(self, name: str, unit: str | None, roles: Sequence[str], about: Row) -> str:
        user_id = named_id("systemuser", name)
        row: Row = {
            "systemuserid": user_id,
            "fullname": name,
            "lastname": name,
            "domainname": f"{user_id}@acme.example",
            "businessunitid": unit or ROOT_BUSINESS_UNIT_ID,
            "isdisabled": 0,
            "islicensed": 0,
            "isintegrationuser": 0,
        }
        with self._organisation.database.transaction():
            self._insert("systemuser", {**row, **self._stamps(), **about})
            for role in roles:
                self.assign_role(role, user=user_id)
        return user_id

    def _privilege(self, table: str | None, privilege: str) -> str:
        if table:
            return privilege_name(self._organisation.schema.table(table), Right(privilege))
        if privilege not in SPECIAL_PRIVILEGES:
            message = f"the privilege {privilege} belongs to a table; name one"
            raise ValueError(message)
        return privilege

    def _role(self, name: str) -> str:
        query = "SELECT roleid FROM role WHERE name = ? ORDER BY roleid"
        found = self._organisation.database.connection.execute(query, (name,)).fetchone()
        if found is None:
            raise KeyError(name)
        return str(found[0])

    def _insert(self, table: str, row: Row) -> None:
        organisation = self._organisation
        with organisation.database.transaction():
            insert_rows(organisation.database, organisation.schema.table(table), [row])

    def _stamps(self) -> Row:
        now = present_time(self._organisation)
        return {"createdon": now, "modifiedon": now}


def _depth(depth: Depth | str | None) -> Depth | None:
    if isinstance(depth, str):
        if depth.upper() not in Depth.__members__:
            raise ValueError(depth)
        return Depth[depth.upper()]
    return depth
