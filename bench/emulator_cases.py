"""The work that the benchmark of the emulator measures."""

import json
import re
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from bench.emulator_process import Client, Cost, EmulatorProcess

CONTACT_COLUMNS = (
    "contactid,firstname,lastname,fullname,emailaddress1,emailaddress2,telephone1,mobilephone,jobtitle,"
    "description,address1_line1,address1_city,address1_postalcode,address1_country,address1_latitude,"
    "address1_longitude,gendercode,birthdate,donotemail,donotphone,donotfax,donotpostalmail,donotbulkemail,"
    "statecode,statuscode,createdon,modifiedon,versionnumber,_createdby_value,_modifiedby_value,_ownerid_value,"
    "_owningbusinessunit_value,_parentcustomerid_value,creditlimit,creditlimit_base,_transactioncurrencyid_value,"
    "exchangerate,mkt_leadscore,mkt_priority,websiteurl"
)
_PAGES = re.compile(rb'"@odata\.nextLink":"([^"]+)"')
_DELTA = re.compile(rb'"@odata\.deltaLink":"([^"]+)"')
_LARGE_SETS = ("contacts", "leads", "accounts", "opportunities")
_BATCH_SIZE = 1000
_PARALLEL = 8


@dataclass(frozen=True)
class Bench:
    """A running emulator and the client that works on it."""

    emulator: EmulatorProcess
    client: Client

    def cost(self, work: Callable[[], object], times: int = 1) -> Cost:
        """What one of ``times`` repetitions costs."""
        cpu, wall = self.emulator.cpu_milliseconds(), time.perf_counter()
        for _ in range(times):
            work()
        spent = (time.perf_counter() - wall) * 1000
        return Cost((self.emulator.cpu_milliseconds() - cpu) / times, spent / times)

    def contact_ids(self, count: int) -> list[str]:
        """Keys of existing contacts, as far into the table as one page reaches."""
        body = self.client.send("GET", "contacts?$select=contactid", Prefer="odata.maxpagesize=5000")
        return [row["contactid"] for row in json.loads(body)["value"]][-count:]


def page_links(client: Client, path: str, prefer: str) -> Iterator[bytes]:
    """The bodies of page after page; from the start again after the last one."""
    link = path
    while True:
        body = client.send("GET", link, Prefer=prefer)
        yield body
        link = next_link(body) or path


def next_link(body: bytes) -> str | None:
    """The link to the next page, which stands at the end of a page."""
    match = _PAGES.search(body, max(0, len(body) - 8192))
    return json.loads(b'"' + match[1] + b'"') if match else None


def pages(bench: Bench, count: int, annotations: str = "") -> Cost:
    """The cost of one page of 5,000 contacts with 40 columns, over ``count`` pages that follow each other."""
    prefer = "odata.maxpagesize=5000" + (f',odata.include-annotations="{annotations}"' if annotations else "")
    walk = page_links(bench.client, f"contacts?$select={CONTACT_COLUMNS}", prefer)
    next(walk)
    return bench.cost(lambda: next(walk), count)


def walk(bench: Bench, most: int) -> tuple[int, Cost]:
    """How many different full pages a walk over the large tables met, at most ``most``, and the cost of one."""
    cpu = wall = 0.0
    met = 0
    for set_name in _LARGE_SETS:
        link: str | None = f"{set_name}?$select={','.join(filled_columns(bench, set_name))}"
        while link and met < most:
            body, spent = fetched(bench, link)
            link = next_link(body)
            if link:
                met, cpu, wall = met + 1, cpu + spent.cpu, wall + spent.wall
    return met, Cost(cpu / max(met, 1), wall / max(met, 1))


def fetched(bench: Bench, link: str) -> tuple[bytes, Cost]:
    """A page and its cost."""
    body = bytearray()
    spent = bench.cost(lambda: body.extend(bench.client.send("GET", link)))
    return bytes(body), spent


def filled_columns(bench: Bench, set_name: str, count: int = 40) -> list[str]:
    """The properties of a set that most rows have a value in."""
    rows = json.loads(bench.client.send("GET", f"{set_name}?$top=200"))["value"]
    filled = Counter(name for row in rows for name, value in row.items() if value is not None and "@" not in name)
    return [name for name, _ in filled.most_common(count)]


def filtered_page(bench: Bench) -> Cost:
    """A page of 5,000 whose rows are searched by text and sorted by time."""
    query = "contacts?$select=fullname&$filter=statecode%20eq%200%20and%20contains(lastname,'a')"
    path = f"{query}&$orderby=modifiedon%20desc"
    return bench.cost(lambda: bench.client.send("GET", path), 3)


def batch(bench: Bench, operations: list[tuple[str, str, str]]) -> Cost:
    """One ``$batch`` of operations, each a method, a path and a body."""
    bench.client.send("GET", "WhoAmI")
    body = b"".join(_part(*operation) for operation in operations) + b"--b--\r\n"
    kind = "multipart/mixed; boundary=b"
    found = bytearray()
    cost = bench.cost(lambda: found.extend(bench.client.send("POST", "$batch", body, Content_Type=kind)))
    if found.count(b"HTTP/1.1 2") != len(operations):
        message = f"not every operation succeeded: {bytes(found[-600:])!r}"
        raise RuntimeError(message)
    return cost


def _part(method: str, path: str, body: str) -> bytes:
    head = "--b\r\nContent-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n\r\n"
    kind = "Content-Type: application/json\r\n" if body else ""
    return f"{head}{method} /api/data/v9.2/{path} HTTP/1.1\r\n{kind}\r\n{body}\r\n".encode()


def batch_reads(bench: Bench) -> Cost:
    """1,000 reads of one row."""
    ids = bench.contact_ids(_BATCH_SIZE)
    return batch(bench, [("GET", f"contacts({key})?$select=fullname,emailaddress1", "") for key in ids])


def batch_updates(bench: Bench) -> Cost:
    """1,000 updates of one row."""
    ids = bench.contact_ids(_BATCH_SIZE)
    body = json.dumps({"firstname": "Ana", "jobtitle": "Buyer", "donotemail": True})
    return batch(bench, [("PATCH", f"contacts({key})", body) for key in ids])


def batch_creates_and_deletes(bench: Bench) -> tuple[Cost, Cost]:
    """1,000 creates under keys of our own, and then the deletions of the same rows."""
    ids = [str(uuid.uuid4()) for _ in range(_BATCH_SIZE)]
    body = json.dumps({"firstname": "Ana", "lastname": "Bench", "emailaddress1": "ana@example.com"})
    created = batch(bench, [("PATCH", f"contacts({key})", body) for key in ids])
    return created, batch(bench, [("DELETE", f"contacts({key})", "") for key in ids])


def create_multiple(bench: Bench) -> Cost:
    """One CreateMultiple of 1,000 rows."""
    target = {"@odata.type": "Microsoft.Dynamics.CRM.contact", "firstname": "Ana", "lastname": "Bulk", "jobtitle": "x"}
    body = json.dumps({"Targets": [target] * _BATCH_SIZE}).encode()
    path = "contacts/Microsoft.Dynamics.CRM.CreateMultiple"
    return bench.cost(lambda: bench.client.send("POST", path, body, Content_Type="application/json"))


def delta_link(bench: Bench) -> str:
    """The link from which on changes of contacts are told; reading it takes the whole table once."""
    prefer = "odata.track-changes,odata.maxpagesize=5000"
    for body in page_links(bench.client, "contacts?$select=contactid", prefer):
        match = _DELTA.search(body)
        if match:
            return str(json.loads(b'"' + match[1] + b'"'))
    raise AssertionError


def deltas(bench: Bench) -> tuple[Cost, Cost, Cost]:
    """A delta in which nothing changed, one with 100 changes, and one with 1,000 deletions besides."""
    link = delta_link(bench)
    idle = bench.cost(lambda: bench.client.send("GET", link), 50)
    body = json.dumps({"jobtitle": "Changed"})
    batch(bench, [("PATCH", f"contacts({key})", body) for key in bench.contact_ids(100)])
    changed = bench.cost(lambda: bench.client.send("GET", link), 20)
    batch_creates_and_deletes(bench)
    return idle, changed, bench.cost(lambda: bench.client.send("GET", link), 5)


def count(bench: Bench) -> Cost:
    """``/$count``, which stops at 5,000."""
    return bench.cost(lambda: bench.client.send("GET", "contacts/$count"), 20)


def parallel_pages(bench: Bench, each: int = 6) -> Cost:
    """The cost of one page when eight clients read at once."""
    clients = [Client(bench.emulator) for _ in range(_PARALLEL)]
    for client in clients:
        client.send("GET", "WhoAmI")
    path = f"contacts?$select={CONTACT_COLUMNS}"

    def read(client: Client) -> None:
        for _ in range(each):
            client.send("GET", path)

    def read_all() -> None:
        with ThreadPoolExecutor(_PARALLEL) as pool:
            list(pool.map(read, clients))

    whole = bench.cost(read_all)
    return Cost(whole.cpu / (each * _PARALLEL), whole.wall / (each * _PARALLEL))


def reads_beside_a_writer(bench: Bench) -> Cost:
    """A read of one row while another client writes 1,000 rows."""
    writer = Bench(bench.emulator, Client(bench.emulator))
    key = bench.contact_ids(1)[0]
    with ThreadPoolExecutor(1) as pool:
        writing = pool.submit(create_multiple, writer)
        spent = []
        while not writing.done():
            spent.append(bench.cost(lambda: bench.client.send("GET", f"contacts({key})?$select=fullname")))
        writing.result()
    return Cost(0.0, max(cost.wall for cost in spent)) if spent else Cost(0.0, 0.0)
