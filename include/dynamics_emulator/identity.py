"""Fixed identities of the demo organisation. They are published here on purpose and protect nothing."""

from dataclasses import dataclass, replace

TENANT_ID = "7e57ab1e-0000-4000-8000-00000000a001"
CLIENT_ID = "7e57ab1e-0000-4000-8000-00000000c001"
CLIENT_SECRET = "demo-only-not-a-secret"  # noqa: S105 - a published demo value
EXPIRED_CLIENT_ID = "7e57ab1e-0000-4000-8000-00000000c002"
"""An application whose only secret, the same as CLIENT_SECRET, has expired."""
STRANGER_CLIENT_ID = "7e57ab1e-0000-4000-8000-00000000c003"
"""An application that Entra knows, but that is no user of the organisation; its secret is CLIENT_SECRET too."""

ORGANIZATION_ID = "7e57ab1e-0000-4000-8000-000000000001"
ROOT_BUSINESS_UNIT_ID = "7e57ab1e-0000-4000-8000-000000000002"
APPLICATION_USER_ID = "7e57ab1e-0000-4000-8000-000000000003"
BASE_CURRENCY_ID = "7e57ab1e-0000-4000-8000-000000000004"


@dataclass(frozen=True)
class OrganisationIdentity:
    """What tells one organisation from another; swapped as a whole or in part to imitate a refreshed sandbox."""

    organization_id: str = ORGANIZATION_ID
    environment_id: str = "7e57ab1e-0000-4000-8000-000000000005"
    tenant_id: str = TENANT_ID
    unique_name: str = "unq7e57ab1e0000400080000000000"
    url_name: str = "acme"
    friendly_name: str = "Acme (local)"
    version: str = "9.2.26052.00123"
    geo: str = "EMEA"

    def swapped(self, **changes: str) -> "OrganisationIdentity":
        """A copy with some parts changed. Raises TypeError for an unknown part."""
        return replace(self, **changes)
