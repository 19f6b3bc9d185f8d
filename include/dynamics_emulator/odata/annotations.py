"""Which annotations a caller asked for with ``odata.include-annotations``."""

import re
from dataclasses import dataclass
from functools import cached_property

FORMATTED_VALUE = "OData.Community.Display.V1.FormattedValue"
LOOKUP_TABLE = "Microsoft.Dynamics.CRM.lookuplogicalname"
LOOKUP_NAVIGATION = "Microsoft.Dynamics.CRM.associatednavigationproperty"
TOTAL_COUNT = "Microsoft.Dynamics.CRM.totalrecordcount"
TOTAL_COUNT_LIMITED = "Microsoft.Dynamics.CRM.totalrecordcountlimitexceeded"


@dataclass(frozen=True)
class AnnotationFilter:
    """The patterns of the preference: ``*``, full names, ``Namespace.*``, each perhaps excluded with ``-``."""

    pattern: str = ""

    @cached_property
    def _rules(self) -> list[tuple[bool, re.Pattern[str]]]:
        rules = []
        for part in (piece.strip() for piece in self.pattern.split(",")):
            if part:
                name = part.removeprefix("-")
                expression = re.escape(name).replace(r"\*", ".*")
                rules.append((not part.startswith("-"), re.compile(expression)))
        return rules

    def wants(self, name: str) -> bool:
        """Whether this annotation is to be printed."""
        verdicts = [wanted for wanted, rule in self._rules if rule.fullmatch(name)]
        return bool(verdicts) and all(verdicts)

    @property
    def any(self) -> bool:
        """Whether any annotation was asked for."""
        return bool(self._rules)
