"""When a request is complete, what is refused before it is complete, and its lane."""

from __future__ import annotations

import pytest

from dockerfw_site.incoming import (
    BODY_SECONDS,
    HEAD_SECONDS,
    MOST_ANONYMOUS_BYTES,
    MOST_BODY_BYTES,
    MOST_HEAD_BYTES,
    Incoming,
    Lane,
    Refused,
)

POST = b"POST /sign-in/ HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n"


def incoming(*pieces: bytes) -> Incoming:
    """Return what has arrived in these pieces, a second apart."""
    request = Incoming(0.0, "session")
    for number, piece in enumerate(pieces):
        request.add(piece, float(number))
    return request


def test_a_request_may_come_byte_by_byte() -> None:
    request = Incoming(0.0, "session")
    whole = POST + b"hello"
    for number in range(len(whole)):
        assert not request.complete
        request.add(whole[number : number + 1], 0.0)
    assert request.complete
    assert request.take() == whole


def test_what_follows_a_request_is_left_out() -> None:
    assert incoming(POST + b"helloGET / HTTP/1.1\r\n\r\n").take() == POST + b"hello"


def test_the_deadline_of_the_body_begins_with_its_header_and_grows_with_its_length() -> None:
    assert incoming().deadline == HEAD_SECONDS
    assert incoming(POST[:9], POST[9:20]).deadline == HEAD_SECONDS
    request = incoming(POST[:9], POST[9:])
    assert request.deadline == pytest.approx(1 + BODY_SECONDS, abs=0.01)
    late = request.deadline
    request.add(b"he", 8.0)
    assert request.deadline == late


def head(*lines: str) -> bytes:
    """Return a header with these lines."""
    return "\r\n".join(("POST /hosts/local/import/ HTTP/1.1", *lines, "", "")).encode()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"a" * (MOST_HEAD_BYTES + 1), "431"),
        (head(f"Content-Length: {MOST_ANONYMOUS_BYTES + 1}"), "413"),
        (head("content-length:" + "9" * 5000), "413"),
        (head(f"Content-Length: {MOST_BODY_BYTES + 1}", "Cookie: session=x"), "413"),
        (head("Transfer-Encoding: chunked"), "411"),
        (head("Content-Length: 5", "transfer-encoding : chunked"), "411"),
    ],
)
def test_it_is_refused_before_the_body_arrives(sent: bytes, status: str) -> None:
    with pytest.raises(Refused) as refused:
        incoming(sent)
    assert refused.value.status.startswith(status)


def test_a_session_may_send_more() -> None:
    request = incoming(head(f"Content-Length: {MOST_BODY_BYTES}", "Cookie: theme=dark; session=x"))
    assert request.size > MOST_BODY_BYTES
    assert not request.complete


@pytest.mark.parametrize("length", ["5, 5", "-1", "+5", "five", "5\r\nContent-Length: 6"])
def test_a_length_that_is_none_is_left_to_the_parser_of_gunicorn(length: str) -> None:
    assert incoming(head(f"Content-Length: {length}")).complete


@pytest.mark.parametrize(
    ("line", "lane"),
    [
        ("GET /hosts/local/applies/0/", Lane.APPLY),
        ("GET /healthz", Lane.PAGES),
        ("POST /hosts/local/applies/0/keep/", Lane.APPLY),
        ("GET /hosts/local/window/", Lane.APPLY),
        ("GET http://a/hosts/local/window/?x=1", Lane.APPLY),
        ("GET /?next=/hosts/local/window/", Lane.PAGES),
        ("POST /sign-in/?next=/", Lane.PASSWORDS),
        ("POST /%73ign-in/", Lane.PASSWORDS),
        ("POST /password/", Lane.PASSWORDS),
        ("POST /setup/abc/", Lane.PASSWORDS),
        ("POST /hosts/local/review/", Lane.PAGES),
        ("nonsense", Lane.PAGES),
    ],
)
def test_the_lane_of_a_request(line: str, lane: Lane) -> None:
    assert incoming(f"{line} HTTP/1.1\r\nHost: a\r\nCookie: session=x\r\n\r\n".encode()).lane == lane


@pytest.mark.parametrize(
    ("line", "lane"),
    [
        ("GET /hosts/local/applies/0/", Lane.ANONYMOUS),
        ("POST /hosts/local/applies/0/keep/", Lane.ANONYMOUS),
        ("GET /sign-in/", Lane.ANONYMOUS),
        ("GET /static/x.css", Lane.ANONYMOUS),
        ("GET /healthz?x=/hosts/local/window/", Lane.PAGES),
        ("GET /healthz/more", Lane.ANONYMOUS),
        ("POST /sign-in/", Lane.PASSWORDS),
        ("nonsense", Lane.ANONYMOUS),
    ],
)
def test_the_lane_of_a_request_without_a_session(line: str, lane: Lane) -> None:
    assert incoming(f"{line} HTTP/1.1\r\nHost: a\r\nCookie: other=1\r\n\r\n".encode()).lane == lane
