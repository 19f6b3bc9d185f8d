"""What Airflow's providers manager reads, so that the connection form offers the type "Dynamics 365"."""

from typing import Any


def get_provider_info() -> dict[str, Any]:
    """Describe the connection type, in the form that Airflow documents for `get_provider_info`."""
    return {
        "package-name": "dynamics-airflow-sync",
        "name": "Dynamics 365",
        "description": "Microsoft Dynamics 365 (Dataverse Web API).",
        "connection-types": [
            {"connection-type": "dynamics", "hook-class-name": "dynamics_hook.DynamicsHook"},
        ],
    }
