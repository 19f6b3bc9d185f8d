"""What Airflow's providers manager reads, so that the connection form offers the type "Dynamics 365"."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe the connection type, in the form that Airflow documents for `get_provider_info`."""
    return {
        "package-name": "dynamics-airflow-sync",
        "name": "Dynamics 365",
        "description": "Microsoft Dynamics 365 (Dataverse Web API).",
        "connection-types": [
            {
                "connection-type": "dynamics",
                "hook-class-name": "dynamics_hook.DynamicsHook",
                "hook-name": "Dynamics 365",
                "ui-field-behaviour": _FIELD_BEHAVIOUR,
                "conn-fields": _EXTRA_FIELDS,
            },
        ],
    }


def _field(label: str, description: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"], **schema}}


_FIELD_BEHAVIOUR: dict[str, Any] = {
    "hidden-fields": ["schema"],
    "relabeling": {"login": "Client id", "password": "Client secret"},
    "placeholders": {"host": "acme.crm4.dynamics.com", "login": "GUID of the application in Entra"},
}

_EXTRA_FIELDS: dict[str, Any] = {
    "tenant_id": _field("Tenant id", "GUID of the Entra tenant. Required."),
    "authority": _field("Authority", "Sign-in address of the tenant, if not in Microsoft's public cloud."),
    "ca_file": _field("CA file", "PEM file that certificates are checked against, on each worker."),
    "certificate": _field("Certificate", "PEM text or file, to sign in with instead of a client secret."),
    "private_key": _field("Private key", "PEM text or file for the certificate.", format="password"),
    "thumbprint": _field("Thumbprint", "SHA-1 thumbprint, if only the private key is at hand."),
    "api_host": _field("API host", "Second host form, for example acme.api.crm4.dynamics.com."),
    "api_version": _field("API version", "Version of the Web API; v9.2 if empty."),
    "proxy": _field("Proxy", "URL of a proxy; environment variables are not read.", format="password"),
}
