"""Dynamics' Web API with plain requests and msal: an opinion of its own, so that it can judge the sync's."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import msal
import requests

from dynamics_demo.problems import DemoError

_TIMEOUT = (5, 120)
_PREFER = 'odata.maxpagesize=5000,odata.include-annotations="*"'

#: A row as the Web API gives it, annotations included. Numbers with a point are Decimal: no digit is lost.
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TableShape:
    """What has to be known of a table to read it."""

    set_name: str
    columns: frozenset[str]


class DynamicsApi:
    """A client of one organisation; `connection` is the `connection.json` that the local Dynamics writes."""

    def __init__(self, connection: Mapping[str, str]) -> None:
        self._root = f"{connection['url']}/api/data/v9.2"
        self._connection = connection
        self._session = _session(connection["ca_file"])
        self._shapes: dict[str, TableShape] = {}
        # It asks the authority for its addresses, so it is built at the first request.
        self._application: msal.ConfidentialClientApplication | None = None

    def shape(self, table: str) -> TableShape:
        """Return a table's set name and the names of its columns."""
        if table not in self._shapes:
            query = "$select=EntitySetName&$expand=Attributes($select=LogicalName)"
            definition = self._get(f"{self._root}/EntityDefinitions(LogicalName='{table}')?{query}")
            columns = frozenset(str(column["LogicalName"]) for column in definition["Attributes"])
            self._shapes[table] = TableShape(str(definition["EntitySetName"]), columns)
        return self._shapes[table]

    def rows(self, table: str, properties: tuple[str, ...], condition: str = "") -> Iterator[Row]:
        """Read all rows of a table, or those of a `$filter`, with their annotations."""
        parameters = {"$select": ",".join(properties)} | ({"$filter": condition} if condition else {})
        link: str | None = f"{self._root}/{self.shape(table).set_name}"
        while link:
            page = self._get(link, params=parameters)
            yield from page["value"]
            link, parameters = page.get("@odata.nextLink"), {}

    def create(self, table: str, values: Mapping[str, Any]) -> None:
        """Create a row; lookups are given as `<navigation property>@odata.bind`."""
        self._send("POST", f"{self._root}/{self.shape(table).set_name}", json=dict(values))

    def update(self, table: str, key: str, values: Mapping[str, Any]) -> None:
        """Change a row that exists."""
        self._send("PATCH", self._address(table, key), json=dict(values), headers={"If-Match": "*"})

    def delete(self, table: str, key: str) -> None:
        """Delete a row."""
        self._send("DELETE", self._address(table, key))

    def join_team(self, team: str, user: str) -> None:
        """Make a user a member of a team."""
        member = {"@odata.id": self._address("systemuser", user)}
        self._send("POST", f"{self._address('team', team)}/teammembership_association/$ref", json=member)

    def leave_team(self, team: str, user: str) -> None:
        """End a user's membership of a team."""
        self._send("DELETE", f"{self._address('team', team)}/teammembership_association({user})/$ref")

    def _address(self, table: str, key: str) -> str:
        return f"{self._root}/{self.shape(table).set_name}({key})"

    def _get(self, link: str, **options: Any) -> dict[str, Any]:
        answer = self._send("GET", link, headers={"Prefer": _PREFER}, **options)
        page: dict[str, Any] = json.loads(answer.content, parse_float=Decimal)
        return page

    def _send(
        self, method: str, link: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> requests.Response:
        bearer = {"Authorization": f"Bearer {self._token()}"}
        answer = self._session.request(method, link, headers={**(headers or {}), **bearer}, timeout=_TIMEOUT, **options)
        if not answer.ok:
            place = link.partition("?")[0]
            message = f"Dynamics answered {answer.status_code} to {method} {place}: {answer.text[:300]}"
            raise DemoError(message)
        return answer

    def _token(self) -> str:
        if self._application is None:
            self._application = msal.ConfidentialClientApplication(
                self._connection["client_id"],
                client_credential=self._connection["client_secret"],
                authority=self._connection["authority"],
                instance_discovery=False,
                http_client=_session(self._connection["ca_file"]),
            )
        answer = self._application.acquire_token_for_client([f"{self._connection['url']}/.default"])
        if "access_token" not in answer:
            message = f"The local Dynamics refused the demo's sign-in: {answer.get('error_description', answer)}"
            raise DemoError(message)
        return str(answer["access_token"])


def _session(ca_file: str) -> requests.Session:
    session = requests.Session()
    # REQUESTS_CA_BUNDLE would take the place of `verify`, and a proxy has no way to localhost.
    session.trust_env = False
    session.verify = ca_file
    return session
