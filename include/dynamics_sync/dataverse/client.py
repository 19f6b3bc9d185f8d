"""The Web API client: one session, one organisation, one way to send, retry and refuse."""

import itertools
import random
import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

import requests
import tenacity

from dynamics_sync.dataverse.auth import Credentials, MsalTokenProvider, TokenProvider
from dynamics_sync.dataverse.batch import MOST_PARTS, build_batch, is_multipart, parse_batch
from dynamics_sync.dataverse.budget import Gate, Turns
from dynamics_sync.dataverse.hosts import TrustedHosts, origin_of
from dynamics_sync.dataverse.network import network_error
from dynamics_sync.dataverse.refusals import raise_for, read_envelope, refusal_of
from dynamics_sync.dataverse.rounds import Outcome, Rounds, require_guarded
from dynamics_sync.dataverse.session import open_session
from dynamics_sync.dataverse.wire import Answer, Request, incomplete
from dynamics_sync.errors import (
    ForeignLink,
    IncompleteAnswer,
    NetworkFault,
    ServiceUnavailable,
    SyncError,
    Throttled,
    TryAgain,
)

__all__ = ["Answer", "DataverseClient", "Request", "open_client", "open_session", "origin_of"]

T = TypeVar("T")

_HEADERS = {
    "Accept": "application/json",
    "OData-MaxVersion": "4.0",
    "OData-Version": "4.0",
    # The literal word: it only keeps caches on the way from answering.
    "If-None-Match": "null",
}
# The call may not have reached Dynamics. After a 500 it did, so that only what changes nothing more is repeated.
_GATEWAY = frozenset({502, 503, 504})
_NOT_A_MEMBER = "0x80072560"
_FIRST_BACKOFF = 0.5
_LONGEST_BACKOFF = 30.0
_PIECE_BYTES = 1_048_576


class DataverseClient:
    """Sends calls to one organisation.

    A call that fails in passing is repeated up to `attempts` times with exponential backoff and full jitter;
    a `Retry-After` is waited for in full, unless it is longer than `longest_wait` seconds: then Throttled
    carries it to the caller, who can free the worker meanwhile. `gate` lets each exchange through, so that all tasks
    keep the limits of Dynamics together; without one, the client looks after itself only. The token goes to the
    configured host and to `allowed_hosts` (the organisation's second host form) and nowhere else; redirects are not
    followed.
    """

    def __init__(
        self,
        base_url: str,
        session: requests.Session,
        tokens: TokenProvider,
        *,
        api_version: str = "v9.2",
        allowed_hosts: frozenset[str] = frozenset(),
        timeout: tuple[float, float] = (10, 120),
        attempts: int = 5,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        random: random.Random | None = None,
        longest_wait: float = 60.0,
        gate: Gate | None = None,
    ) -> None:
        self._session = session
        self._tokens = tokens
        self._hosts = TrustedHosts(base_url, allowed_hosts, f"/api/data/{api_version}/")
        self._timeout = timeout
        self._attempts = attempts
        self._clock = clock
        self._random = random or _system_random()
        self._longest_wait = longest_wait
        self._turns = Turns(gate, sleep=sleep, clock=clock, longest_wait=longest_wait)

    @property
    def host(self) -> str:
        """The organisation's host, with its port where it is not 443."""
        return self._hosts.host

    @property
    def api_url(self) -> str:
        """The address of the API root, without a slash at its end."""
        return self._hosts.api_url

    def send(self, request: Request) -> Answer:
        """Send one call and return its successful answer (2xx, or 304 if a version was given).

        Raises the error of the tree that the refusal or the network fault means. A write that is repeated after
        its answer was lost finds its own work: VersionConflict can mean that the first try arrived, and so can
        RecordNotFound after a deletion.
        """
        return self._repeat(lambda: self._send_once(request), request)

    def get_json(self, path: str, *, prefer: Iterable[str] = ()) -> dict[str, Any]:
        """Return the JSON object at `path`; raises like `send`, and IncompleteAnswer."""
        return self.send(Request(path, prefer=tuple(prefer))).json()

    def batch(self, requests: Sequence[Request]) -> list[Answer]:
        """Send reads as one `$batch` (one for each thousand) and return their answers in order.

        The first part that failed is raised like a call of its own, and the others are dropped.
        """
        answers: list[Answer] = []
        for start in range(0, len(requests), MOST_PARTS):
            part = requests[start : start + MOST_PARTS]
            whole = self._batch_request(part)
            answers += self._repeat(partial(self._batch_once, whole, part), whole)
        return answers

    def batch_each(self, requests: Sequence[Request]) -> list[Outcome]:
        """Send up to a thousand calls, writes too, and return for each its answer or the error that it means.

        Raises when the batch as a whole failed; for writes it is then not known which of them were carried
        out.
        """
        whole = self._batch_request(requests)
        answers = self._repeat(lambda: self._exchange_batch(whole, requests), whole)
        return [self._outcome(answer) for answer in answers]

    def write_each(self, requests: Sequence[Request]) -> list[Outcome]:
        """Send conditional writes, and reads among them, and return in order for each its answer or its error.

        They go in batches of at most MOST_PARTS. A batch that fails as a whole is repeated; parts that failed in
        passing (429, 5xx, a time-out of SQL, a token that ended within the batch) go again without the others, in up
        to `attempts` rounds with a wait between them. What was answered for good is never sent again. A part that
        still fails has its TryAgain in the list, at once when it is told to wait longer than `longest_wait`.

        VersionConflict and RecordNotFound can mean that an earlier try of the same write arrived and its answer was
        lost: read the row and compare. Raises ValueError, before anything is sent, if a call is neither conditional
        nor a read; raises like `send` when a batch failed as a whole and nothing is known of any call. Later the
        error stands in the list for each call that it left open, so that no outcome is lost.
        """
        require_guarded(requests)
        outcomes: list[Outcome] = []
        for start in range(0, len(requests), MOST_PARTS):
            try:
                outcomes += self._write_batch(requests[start : start + MOST_PARTS])
            except SyncError as error:
                if not outcomes:
                    raise
                return outcomes + [error] * (len(requests) - start)
        return outcomes

    def check_link(self, link: str) -> None:
        """Raise ForeignLink if a link that the server gave leads to another host; relative links never do."""
        self._url_of(Request(link))

    def is_own(self, url: str) -> bool:
        """Whether an absolute URL leads to a host that may see the token."""
        try:
            self.check_link(url)
        except ForeignLink:
            return False
        return True

    def token(self) -> str:
        """Return the current bearer token, for callers that send by themselves."""
        return self._tokens.token()

    def _write_batch(self, calls: Sequence[Request]) -> list[Outcome]:
        rounds = Rounds(self._write_round(calls))
        for attempt in itertools.count(1):
            again = rounds.again
            # A new token is worth a round of its own: the calls that lack it would be refused for good.
            if not again or (attempt >= self._attempts and not rounds.needs_token):
                break
            if (rounds.told_wait or 0) > self._longest_wait:
                rounds.hold_up()
                break
            try:
                self._prepare_round(rounds, attempt)
                rounds.note(again, self._write_round([calls[number] for number in again]))
            except SyncError as error:
                rounds.note(again, [error] * len(again))
                break
        return rounds.outcomes

    def _prepare_round(self, rounds: Rounds, attempt: int) -> None:
        if rounds.waits_for_server:
            self._turns.sleep(self._backoff(attempt) if rounds.told_wait is None else rounds.told_wait)
        if rounds.needs_token:
            self._tokens.renew()
            rounds.token_is_new = True

    def _write_round(self, calls: Sequence[Request]) -> list[Outcome]:
        whole = self._batch_request(calls)
        return self._repeat(partial(self._write_once, whole, calls), whole)

    def _write_once(self, whole: Request, calls: Sequence[Request]) -> list[Outcome]:
        answer = self._exchange_multipart(whole)
        outcomes = [self._outcome(part) for part in self._parts(answer, calls)]
        missing = len(calls) - len(outcomes)
        # It may stop at a failure, though asked to go on: what follows was not carried out. Otherwise nobody knows
        # which call has no answer.
        if missing and not (outcomes and isinstance(outcomes[-1], SyncError)):
            raise incomplete(answer)
        return [*outcomes, *[incomplete(answer)] * missing]

    def _outcome(self, answer: Answer) -> Outcome:
        try:
            raise_for(answer, self._clock)
        except SyncError as error:
            return error
        return answer

    def _send_once(self, request: Request) -> Answer:
        answer = self._exchange(request)
        raise_for(answer, self._clock)
        return answer

    def _batch_request(self, calls: Sequence[Request]) -> Request:
        return build_batch(calls, self._url_of, f"batch_{self._random.getrandbits(128):032x}")

    def _batch_once(self, whole: Request, calls: Sequence[Request]) -> list[Answer]:
        answers = self._exchange_batch(whole, calls)
        for answer in answers:
            raise_for(answer, self._clock)
        return answers

    def _exchange_batch(self, whole: Request, calls: Sequence[Request]) -> list[Answer]:
        answer = self._exchange_multipart(whole)
        answers = self._parts(answer, calls)
        if len(answers) < len(calls):
            for part in answers:
                raise_for(part, self._clock)
            raise incomplete(answer)
        return answers

    def _parts(self, answer: Answer, calls: Sequence[Request]) -> list[Answer]:
        parts = parse_batch(answer, calls)
        self._turns.note_parts(parts)
        return parts

    def _exchange_multipart(self, whole: Request) -> Answer:
        answer = self._exchange(whole)
        if not is_multipart(answer):
            raise_for(answer, self._clock)
            raise incomplete(answer)
        return answer

    def _exchange(self, request: Request) -> Answer:
        """Send once. A 401 renews the token and sends once more: a token can be withdrawn before its end."""
        url = self._url_of(request)
        answer = self._transfer(url, request, self._tokens.token())
        if answer.status == 401 and read_envelope(answer.body)[0] != _NOT_A_MEMBER:
            answer = self._transfer(url, request, self._tokens.renew())
        if answer.status == 401:
            raise refusal_of(answer, self._clock)
        return answer

    def _transfer(self, url: str, request: Request, token: str) -> Answer:
        headers = {**self._session.headers, **_headers(request, token)}
        prepared = requests.Request(request.method, self._hosts.origin, headers=headers, data=request.body).prepare()
        # Set afterwards: requests would re-encode a link that must go back as it came.
        prepared.url = url
        self._turns.take(request)
        try:
            answer = self._session.send(prepared, timeout=self._timeout, allow_redirects=False, stream=True)
            # requests would read a page of some megabytes in a thousand pieces.
            body = b"".join(answer.iter_content(_PIECE_BYTES))
        except requests.RequestException as error:
            not_done = "Nothing was read by it" if request.reads else "Whether it was written is not known"
            raise network_error(error, request.label, self.host, not_done=not_done) from None
        answered = Answer(answer.status_code, answer.headers, body, request)
        self._turns.note(answered)
        return answered

    def _url_of(self, request: Request) -> str:
        address = self._hosts.link_url if request.is_absolute else self._hosts.path_url
        return address(request.path)

    def _repeat(self, action: Callable[[], T], request: Request) -> T:
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception(lambda error: self._may_pass(error, request)),
            wait=self._wait,
            stop=tenacity.stop_after_attempt(self._attempts),
            sleep=self._turns.sleep,
            reraise=True,
        )
        return retrying(action)

    def _may_pass(self, error: BaseException, request: Request) -> bool:
        """Whether repeating at once can help, and cannot carry out a write twice."""
        if isinstance(error, TryAgain) and (error.retry_after or 0) > self._longest_wait:
            return False
        match error:
            case Throttled():
                return True
            case NetworkFault():
                return request.may_be_repeated
            case ServiceUnavailable():
                return request.may_be_repeated if error.http_status in _GATEWAY else request.changes_once
            case IncompleteAnswer():
                return request.guarded
            case _:
                return False

    def _wait(self, state: tenacity.RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, TryAgain) and error.retry_after is not None:
            return error.retry_after
        return self._backoff(state.attempt_number)

    def _backoff(self, attempt: int) -> float:
        return self._random.uniform(0, min(_LONGEST_BACKOFF, _FIRST_BACKOFF * 2**attempt))


def open_client(
    credentials: Credentials, base_url: str, *, proxy: str | None = None, **options: Any
) -> DataverseClient:
    """Return a client for the organisation at `base_url` (`https://<host>`, the scheme may be left out).

    Nothing is sent yet. `options` are the keyword arguments of DataverseClient.
    """
    tokens = MsalTokenProvider(
        credentials,
        origin_of(base_url),
        clock=options.get("clock", time.time),
        session=open_session(credentials.ca_file, proxy=proxy),
    )
    return DataverseClient(base_url, open_session(credentials.ca_file, proxy=proxy), tokens, **options)


def _headers(request: Request, token: str) -> dict[str, str]:
    headers = {**_HEADERS, **request.headers, "Authorization": f"Bearer {token}"}
    if request.prefer:
        headers["Prefer"] = ",".join(request.prefer)
    if request.body is not None:
        headers.setdefault("Content-Type", "application/json")
    return headers


def _system_random() -> random.Random:
    return random.Random()  # noqa: S311 (spreads waiting times; no secret is made of it)
