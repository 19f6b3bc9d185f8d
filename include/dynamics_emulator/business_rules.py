"""Business logic of an organisation, as far as a client can see it: rules that refuse rows."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BusinessRule:
    """Rows of ``table`` that fulfil ``condition``, an OData filter, are refused with ``message``."""

    table: str
    condition: str
    message: str
