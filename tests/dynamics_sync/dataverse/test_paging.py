"""Pages: found links, guarded loops, repeated preferences, and resuming."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from dynamics_sync import errors
from dynamics_sync.dataverse.client import Answer, Request
from dynamics_sync.dataverse.paging import read_pages, split_page

ROOT = "https://acme.crm4.dynamics.com/api/data/v9.2/"
FIRST = Request("leads?$select=lastname", prefer=("odata.maxpagesize=2",), headers={"X-Kept": "1"})
NEXT, DELTA = "@odata.nextLink", "@odata.deltaLink"


def page_body(*names: str, **links: str) -> dict:
    return {"value": [{"lastname": name} for name in names], **links}


def test_pages_come_in_order_with_their_links(rig, reply) -> None:
    made = rig([
        reply(body={**page_body("a", "b"), NEXT: ROOT + "leads?p=2"}),
        reply(body={**page_body("c"), DELTA: ROOT + "leads?d=1"}),
    ])  # fmt: skip
    pages = list(read_pages(made.client, FIRST))
    assert [(page.number, page.rows, page.next_link, page.delta_link) for page in pages] == [
        (1, 2, ROOT + "leads?p=2", None),
        (2, 1, None, ROOT + "leads?d=1"),
    ]
    assert json.loads(pages[1].body)["value"] == [{"lastname": "c"}]
    assert "lastname" not in repr(pages[0])


def test_preferences_and_headers_are_repeated_on_each_page(rig, reply) -> None:
    made = rig([reply(body={**page_body("a"), NEXT: ROOT + "leads?p=2"}), reply(body=page_body("b"))])
    list(read_pages(made.client, FIRST))
    assert [request.headers["Prefer"] for request in made.wire.asked] == ["odata.maxpagesize=2"] * 2
    assert [request.headers["X-Kept"] for request in made.wire.asked] == ["1"] * 2


def test_a_read_is_resumed_at_a_link(rig, reply) -> None:
    made = rig([reply(body=page_body("c"))])
    pages = list(read_pages(made.client, FIRST, resume_link=ROOT + "leads?p=3", start_number=3))
    assert [page.number for page in pages] == [3]
    assert made.paths == ["leads?p=3"]


@pytest.mark.parametrize("name", [NEXT, DELTA])
def test_a_foreign_link_stops_before_the_page_is_used(rig, reply, name) -> None:
    made = rig([reply(body={**page_body("a"), name: "https://evil.example/api/data/v9.2/leads"})])
    with pytest.raises(errors.ForeignLink):
        next(read_pages(made.client, FIRST))
    assert len(made.wire.asked) == 1


def test_a_link_that_leads_to_itself_is_a_loop(rig, reply) -> None:
    numbers = iter(range(99))
    made = rig(lambda _request: reply(body={**page_body(str(next(numbers))), NEXT: ROOT + "leads?p=2"}))
    with pytest.raises(errors.PagingLoop, match="Page 2"):
        list(read_pages(made.client, FIRST))


def test_a_longer_loop_is_found(rig, reply) -> None:
    numbers = iter(range(99))

    def handler(_request):
        number = next(numbers)
        return reply(body={**page_body(str(number)), NEXT: f"{ROOT}leads?p={number % 3}"})

    with pytest.raises(errors.PagingLoop, match="Page 4"):
        list(read_pages(rig(handler).client, FIRST))


def test_a_resumed_read_knows_its_own_link(rig, reply) -> None:
    made = rig([reply(body={**page_body("a"), NEXT: ROOT + "leads?p=3"})])
    with pytest.raises(errors.PagingLoop):
        list(read_pages(made.client, FIRST, resume_link=ROOT + "leads?p=3"))


@pytest.mark.parametrize("contents", ["aa", "aba"])
def test_rows_that_come_again_under_a_fresh_link_are_a_loop(rig, reply, contents) -> None:
    """Reported of real servers: the paging cookie changes, and the page is the same again."""
    replies = [reply(body={**page_body(name), NEXT: f"{ROOT}leads?p={number}"}) for number, name in enumerate(contents)]
    with pytest.raises(errors.PagingLoop, match=f"Page {len(contents)}"):
        list(read_pages(rig(replies).client, FIRST))


def test_a_last_page_that_repeats_the_one_before_is_a_loop(rig, reply) -> None:
    made = rig([reply(body={**page_body("a"), NEXT: ROOT + "leads?p=2"}), reply(body=page_body("a"))])
    with pytest.raises(errors.PagingLoop):
        list(read_pages(made.client, FIRST))


@pytest.mark.parametrize("following", ["acb", "bcd", "ad"])
def test_pages_that_have_an_end_in_common_are_no_loop(rig, reply, following) -> None:
    """Rows may come again, when others were deleted while the table was read."""
    replies = [reply(body={**page_body(*"acd"), NEXT: ROOT + "leads?p=2"}), reply(body=page_body(*following))]
    assert [page.rows for page in read_pages(rig(replies).client, FIRST)] == [3, len(following)]


def test_empty_pages_may_follow_each_other(rig, reply) -> None:
    made = rig([
        reply(body={**page_body(), NEXT: ROOT + "leads?p=2"}),
        reply(body={**page_body(), NEXT: ROOT + "leads?p=3"}),
        reply(body=page_body("a")),
    ])  # fmt: skip
    assert [page.rows for page in read_pages(made.client, FIRST)] == [0, 0, 1]


@pytest.mark.parametrize("body", [b'{"value": [{"a": 1}, {"a"', b'{"value": [1], "@odata.nextLink": "https:/', b""])
def test_a_cut_page_is_never_taken_for_the_last(rig, reply, body) -> None:
    with pytest.raises(errors.IncompleteAnswer):
        list(read_pages(rig([reply(200, body)]).client, FIRST))


@pytest.mark.parametrize("body", [{}, {"value": None}, {"value": {}}, {"value": [], NEXT: 7}, []])
def test_what_is_no_page_is_unexpected(rig, reply, body) -> None:
    with pytest.raises(errors.UnexpectedAnswer):
        list(read_pages(rig([reply(200, body)]).client, FIRST))


texts = st.one_of(
    st.text(),
    st.sampled_from(
        [f'"{NEXT}":"https://evil"', NEXT, f'","{DELTA}":"x', '"}],"@odata.nextLink":"', "\\", '\\"', "\u2028]}", "]"]
    ),
)
values = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False, allow_infinity=False), texts
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(texts, inner, max_size=3)),
    max_leaves=8,
)
rows = st.lists(st.dictionaries(st.one_of(texts, st.just(NEXT)), values, max_size=4), max_size=4)


@given(rows, st.none() | texts, st.none() | texts, st.booleans(), st.booleans())
def test_only_links_of_the_page_itself_are_found(content, next_link, delta_link, links_first, ascii_only) -> None:
    links = {name: link for name, link in ((NEXT, next_link), (DELTA, delta_link)) if link is not None}
    body = {**links, "value": content} if links_first else {"value": content, **links}
    raw = json.dumps(body, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    page = split_page(Answer(200, CaseInsensitiveDict(), raw, FIRST), 1)
    assert (page.next_link, page.delta_link, page.rows) == (next_link, delta_link, len(content))


@given(rows, st.data())
def test_no_cut_page_passes(content, data) -> None:
    raw = json.dumps({"value": content, DELTA: "x"}).encode()
    cut = raw[: data.draw(st.integers(0, len(raw) - 1))]
    with pytest.raises(errors.IncompleteAnswer):
        split_page(Answer(200, CaseInsensitiveDict(), cut, FIRST), 1)


@pytest.mark.parametrize("spoilt", [r'"half \ud800"', "NaN"])
def test_a_value_that_is_no_strict_json_does_not_cost_the_page(rig, reply, spoilt) -> None:
    link = ROOT + "leads?p=2"
    text = f'{{"value": [{{"lastname": {spoilt}}}, {{"lastname": "b"}}], "{NEXT}": "{link}"}}'
    made = rig([reply(body=text.encode()), reply(body=page_body("c"))])
    pages = list(read_pages(made.client, FIRST))
    assert [(page.rows, page.next_link) for page in pages] == [(2, link), (1, None)]
    assert pages[0].body == text.encode()
