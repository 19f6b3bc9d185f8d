"""The marketing database, reached as the workers reach it: by TCP."""

from collections.abc import Mapping
from dataclasses import dataclass

from dynamics_demo.installation import Marketing
from dynamics_demo.marketing import MarketingDatabase
from dynamics_demo.settings_file import Connection
from scale.site import Site, database_url


@dataclass(frozen=True, slots=True)
class NetworkMarketing(MarketingDatabase):
    """A PostgreSQL database at a port."""

    port: int = 0

    @property
    def url(self) -> str:
        """The libpq URL of the database."""
        return database_url({"postgres": self.port}, "marketing")

    def connection(self) -> Connection:
        """Return the Airflow connection that leads to it."""
        return Connection(
            conn_id="marketing_db",
            conn_type="postgres",
            conn_host="127.0.0.1",
            conn_port=self.port,
            conn_schema="marketing",
            conn_login="postgres",
        )


def open_marketing(site: Site, ports: Mapping[str, int]) -> NetworkMarketing:
    """Return the marketing database of the scale demo."""
    return NetworkMarketing(Marketing.POSTGRES, site.marketing_file, site.postgres, ports["postgres"])
