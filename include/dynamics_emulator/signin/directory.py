"""The applications that one tenant knows, and the refusals that wait for the next token requests."""

import threading
import uuid
from collections import deque
from dataclasses import dataclass, field

from dynamics_emulator.identity import CLIENT_ID, CLIENT_SECRET, EXPIRED_CLIENT_ID, STRANGER_CLIENT_ID
from dynamics_emulator.signin.refusals import Refusal, find_refusal

_OBJECTS = uuid.UUID("7e57ab1e-0000-4000-8000-0000000000e1")


@dataclass(frozen=True)
class Registration:
    """An application: its secrets, whether they have expired, and its certificates as PEM."""

    client_id: str
    secrets: tuple[str, ...] = ()
    secret_expired: bool = False
    certificates: tuple[str, ...] = ()
    disabled: bool = False
    service_principal: bool = True
    """Whether the tenant has a service principal for it; without one Entra gives no token."""
    public: bool = False
    """A public client may not present a credential."""


@dataclass
class _Forced:
    refusal: Refusal
    times: int


@dataclass
class Directory:
    """One tenant's applications by client id, and forced refusals. Safe to use from several threads."""

    applications: dict[str, Registration] = field(default_factory=dict)
    _forced: deque[_Forced] = field(default_factory=deque)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def register(self, registration: Registration) -> None:
        """Add an application, or replace the one with this id."""
        self.applications[registration.client_id.lower()] = registration

    def register_demo(self, certificate_pem: str) -> None:
        """Add the published applications of the demo organisation."""
        self.register(Registration(CLIENT_ID, (CLIENT_SECRET,), certificates=(certificate_pem,)))
        self.register(Registration(EXPIRED_CLIENT_ID, (CLIENT_SECRET,), secret_expired=True))
        self.register(Registration(STRANGER_CLIENT_ID, (CLIENT_SECRET,), certificates=(certificate_pem,)))

    def force(self, name: str | int, times: int = 1) -> Refusal:
        """Refuse the next ``times`` token requests, whatever they hold, by a refusal's name or AADSTS number.

        Raises KeyError for an unknown name, ValueError when ``times`` is not positive.
        """
        refusal = find_refusal(name)
        if times < 1:
            message = "times must be at least 1"
            raise ValueError(message)
        with self._lock:
            self._forced.append(_Forced(refusal, times))
        return refusal

    def take_forced(self) -> Refusal | None:
        """The refusal that the present token request must get, or None; it is used up."""
        with self._lock:
            if not self._forced:
                return None
            first = self._forced[0]
            first.times -= 1
            if not first.times:
                self._forced.popleft()
            return first.refusal

    def clear_forced(self) -> None:
        """Drop the refusals that are still waiting."""
        with self._lock:
            self._forced.clear()


def object_id(client_id: str) -> str:
    """The object id of an application's service principal: the ``oid`` of its tokens."""
    return str(uuid.uuid5(_OBJECTS, client_id.lower()))
