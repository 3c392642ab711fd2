"""Reading conntrack's listing: real lines of conntrack 1.4.7, and arbitrary text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.reach.conntrack import Flow, Session, read_session

LINES = {
    "tcp": (
        "ipv4     2 tcp      6 431999 ESTABLISHED src=192.0.2.2 dst=192.0.2.1 sport=5002 dport=8080"
        " src=172.17.0.2 dst=192.0.2.2 sport=80 dport=5002 [ASSURED] mark=0 use=1",
        Session(
            family=4,
            number=6,
            original=Flow("192.0.2.2", "192.0.2.1", (("sport", "5002"), ("dport", "8080"))),
            reply=Flow("172.17.0.2", "192.0.2.2", (("sport", "80"), ("dport", "5002"))),
            state="ESTABLISHED",
        ),
    ),
    "udp without a reply": (
        "ipv4     2 udp      17 29 src=192.0.2.2 dst=192.0.2.1 sport=51564 dport=99 [UNREPLIED]"
        " src=192.0.2.1 dst=192.0.2.2 sport=99 dport=51564 mark=0 use=1",
        Session(
            family=4,
            number=17,
            original=Flow("192.0.2.2", "192.0.2.1", (("sport", "51564"), ("dport", "99"))),
            reply=Flow("192.0.2.1", "192.0.2.2", (("sport", "99"), ("dport", "51564"))),
            replied=False,
        ),
    ),
    "icmpv6 with counters": (
        "ipv6     10 icmpv6   58 29 src=2001:db8::2 dst=2001:db8::1 type=128 code=0 id=9097"
        " packets=1 bytes=104 src=2001:db8::1 dst=2001:db8::2 type=129 code=0 id=9097 packets=1 bytes=104"
        " mark=0 use=1 id=4087298823",
        Session(
            family=6,
            number=58,
            original=Flow("2001:db8::2", "2001:db8::1", (("type", "128"), ("code", "0"), ("id", "9097"))),
            reply=Flow("2001:db8::1", "2001:db8::2", (("type", "129"), ("code", "0"), ("id", "9097"))),
        ),
    ),
    "a protocol without a name, with the entry's own id": (
        "ipv4     2 unknown  50 599 src=192.0.2.2 dst=192.0.2.1 src=192.0.2.1 dst=192.0.2.2"
        " mark=0 use=1 id=17",
        Session(4, 50, Flow("192.0.2.2", "192.0.2.1"), Flow("192.0.2.1", "192.0.2.2")),
    ),
    "gre": (
        "ipv4     2 gre      47 29 src=192.0.2.2 dst=192.0.2.1 srckey=0x0 dstkey=0x1f"
        " src=192.0.2.1 dst=192.0.2.2 srckey=0x1f dstkey=0x0 mark=0 use=1",
        Session(
            family=4,
            number=47,
            original=Flow("192.0.2.2", "192.0.2.1", (("srckey", "0x0"), ("dstkey", "0x1f"))),
            reply=Flow("192.0.2.1", "192.0.2.2", (("srckey", "0x1f"), ("dstkey", "0x0"))),
        ),
    ),
    "taken over by hardware, in a zone": (
        "ipv4     2 tcp      6 src=192.0.2.2 dst=192.0.2.1 sport=1 dport=22 src=192.0.2.1 dst=192.0.2.2"
        " sport=22 dport=1 [OFFLOAD] mark=0 zone=3 use=1",
        Session(
            family=4,
            number=6,
            original=Flow("192.0.2.2", "192.0.2.1", (("sport", "1"), ("dport", "22"))),
            reply=Flow("192.0.2.1", "192.0.2.2", (("sport", "22"), ("dport", "1"))),
            zone=True,
        ),
    ),
}


@pytest.mark.parametrize("name", LINES)
def test_real_lines_are_read(name: str) -> None:
    line, session = LINES[name]
    assert read_session(f"{line}\n") == session


@pytest.mark.parametrize(
    ("state", "is_ongoing"),
    [("ESTABLISHED", True), ("SYN_RECV", True), ("CLOSE_WAIT", True), ("TIME_WAIT", False), ("CLOSE", False)],
)
def test_a_session_that_has_ended_is_not_ongoing(state: str, is_ongoing: bool) -> None:
    line = LINES["tcp"][0].replace("ESTABLISHED", state)
    session = read_session(line)
    assert session is not None
    assert session.is_ongoing is is_ongoing


def test_a_session_without_a_reply_is_not_ongoing() -> None:
    assert not LINES["udp without a reply"][1].is_ongoing


@pytest.mark.parametrize(
    "line",
    [
        "",
        "conntrack v9: something new",
        "ipv4 2 tcp 6 431999 ESTABLISHED src=192.0.2.2 dst=192.0.2.1 sport=5002 dport=8080",
        "ipv4 2 tcp 6 1 ESTABLISHED src=192.0.2.2 dst=192.0.2.1 src=192.0.2.1 dst=192.0.2.2",
        "ipv4 2 icmp 1 1 src=192.0.2.2 dst=192.0.2.1 type=8 src=192.0.2.1 dst=192.0.2.2 type=0 id=3",
        "ipv4 2 unknown 0 1 src=192.0.2.2 dst=192.0.2.1 src=192.0.2.1 dst=192.0.2.2",
        "ipv4 2 tcp 6 1 ESTABLISHED src=192.0.2.2 dst=2001:db8::1 src=192.0.2.1 dst=192.0.2.2",
        "ipv4 2 tcp 6 1 ESTABLISHED src=192.0.2.2 dst=192.0.2.1 sport=-f src=192.0.2.1 dst=192.0.2.2 sport=1",
        "ipv4 2 tcp 6 1 ESTABLISHED src=--all dst=192.0.2.1 src=192.0.2.1 dst=192.0.2.2",
        "ipv4 2 tcp 600 1 ESTABLISHED src=192.0.2.2 dst=192.0.2.1 src=192.0.2.1 dst=192.0.2.2",
    ],
)
def test_an_incomplete_line_is_not_guessed_at(line: str) -> None:
    assert read_session(line) is None


_words = sorted({word for line, _ in LINES.values() for word in line.split()})


@given(st.lists(st.sampled_from(_words) | st.text(max_size=9), max_size=24).map(" ".join))
def test_any_line_is_read_without_an_error(line: str) -> None:
    session = read_session(line)
    if session is not None:
        # These become words of a conntrack command line: they can only be addresses and numbers.
        for flow in (session.original, session.reply):
            assert not flow.source.startswith("-")
            assert all(value.startswith("0x") or value.isdigit() for _, value in flow.keys)
