"""Cutting multipart bodies, held against the standard library's parser, and cut short at every place."""

from email.parser import BytesParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dynamics_sync.dataverse.multipart import CutMultipart, boundary_of, leaves, split_headers, split_parts

CONTENTS = st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=40), min_size=1, max_size=5)


def multipart(contents: list[str], end: str, boundary: str = "b-1") -> bytes:
    parts = [f"--{boundary}{end}Content-Type: text/plain{end}{end}{content}{end}" for content in contents]
    return ("".join(parts) + f"--{boundary}--{end}").encode()


@given(CONTENTS, st.sampled_from(["\n", "\r\n"]))
def test_contents_come_back_as_they_went(contents, end) -> None:
    assert [item.decode() for item in leaves(multipart(contents, end), "b-1")] == contents


@given(CONTENTS)
def test_it_cuts_as_the_standard_library_does(contents) -> None:
    body = multipart(contents, "\r\n")
    message = BytesParser().parsebytes(b'Content-Type: multipart/mixed; boundary="b-1"\r\n\r\n' + body)
    assert len(message.get_payload()) == len(split_parts(body, "b-1"))


@given(CONTENTS, st.sampled_from(["\n", "\r\n"]), st.data())
def test_a_body_that_is_cut_anywhere_is_no_body(contents, end, data) -> None:
    body = multipart(contents, end)
    closing = len(body) - len(end)
    with pytest.raises(CutMultipart):
        split_parts(body[: data.draw(st.integers(0, closing - 1))], "b-1")


def test_a_change_set_that_is_cut_is_no_body() -> None:
    inner = "Content-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\n\r\nx\r\n"
    with pytest.raises(CutMultipart):
        list(leaves(f"--b\r\n{inner}\r\n--b--\r\n".encode(), "b"))


@pytest.mark.parametrize("text", ["--b-12", "--b-1x", "x --b-1", "--b-1-", "--b-1 x"])
def test_a_line_that_only_begins_like_a_boundary_is_content(text) -> None:
    assert [item.decode() for item in leaves(multipart([text], "\r\n"), "b-1")] == [text]


@pytest.mark.parametrize(
    ("content_type", "boundary"),
    [
        ("multipart/mixed; boundary=b", "b"), ('Multipart/Mixed;charset=utf-8;boundary="b; c"', "b; c"),
        ("multipart/mixed", None), ("application/http; boundary=b", None), ("", None),
    ],
)  # fmt: skip
def test_the_boundary_is_read_from_its_header(content_type, boundary) -> None:
    assert boundary_of(content_type) == boundary


def test_headers_end_at_the_first_empty_line() -> None:
    headers, content = split_headers(b"A: 1\r\nLong: one\r\n two\r\n\r\nB: 2\r\n\r\nrest")
    assert dict(headers) == {"A": "1", "Long": "one two"}
    assert headers["long"] == "one two"
    assert content == b"B: 2\r\n\r\nrest"
    assert split_headers(b"\r\nA: 1\r\n\r\n") == ({}, b"A: 1\r\n\r\n")
    assert split_headers(b"A: 1")[1] == b""
