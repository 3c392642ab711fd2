"""What the kernel logs, taken apart: real forms, and any bytes at all."""

from __future__ import annotations

import struct
from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.refusals import InnerEnd, Refusal, RefusalBatch
from dockerfw.refused.folding import Folding
from dockerfw.refused.netlink_log import Dialled, Logged, read_datagram
from dockerfw.refused.packets import NotOurs, NotReadable, read_refusal

AT = "2026-05-03T12:00:00.123Z"
PREFIX = b"dockerfw r12 refused"


def attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("=HH", 4 + len(value), kind) + value + bytes(-len(value) % 4)


def message(*attributes: bytes, kind: int = 4 << 8) -> bytes:
    body = b"\x02\0\x1c\xcd" + b"".join(attributes)
    return struct.pack("=IHHII", 16 + len(body), kind, 0, 0, 0) + body


def ipv4(protocol: int, port: int, *, options: int = 0, fragment: int = 0, to: str = "192.0.2.1") -> bytes:
    head = bytes([0x45 + options, 0]) + b"\0\x3c\0\0" + fragment.to_bytes(2) + bytes([64, protocol, 0, 0])
    ends = ip_address("198.51.100.7").packed + ip_address(to).packed
    return head + ends + bytes(4 * options) + b"\x9c\x40" + port.to_bytes(2) + bytes(16)


def ipv6(protocol: int, rest: bytes, *, to: str = "2001:db8::1") -> bytes:
    head = b"\x60\0\0\0\0\x14" + bytes([protocol, 64])
    return head + ip_address("2001:db8:1::7").packed + ip_address(to).packed + rest


def logged(
    payload: bytes, *, hook: int = 1, dialled: Dialled | None = None, prefix: bytes = PREFIX
) -> Logged:
    return Logged(hook, 3, payload, prefix, 1, dialled)


def read(payload: bytes, *, hook: int = 1, dialled: Dialled | None = None) -> Refusal:
    return read_refusal(logged(payload, hook=hook, dialled=dialled), AT, lambda index: f"ens{index}")


PORTS = b"\x9c\x40\x0c\xea" + bytes(12)


@pytest.mark.parametrize(
    ("payload", "protocol", "port"),
    [
        (ipv4(6, 3306), "tcp", 3306),
        (ipv4(17, 53, options=4), "udp", 53),
        (ipv4(6, 3306, fragment=100), "tcp", None),
        (ipv4(1, 3306), "icmp", None),
        (ipv4(47, 3306), "gre", None),
        (ipv4(253, 3306), "253", None),
        (ipv4(6, 3306)[:20], "tcp", None),
        (ipv6(6, PORTS), "tcp", 3306),
        (ipv6(0, b"\x06\0" + bytes(6) + PORTS), "tcp", 3306),
        (ipv6(44, b"\x11\0\0\0" + bytes(4) + PORTS), "udp", 3306),
        (ipv6(44, b"\x11\0\0\x08" + bytes(4) + PORTS), "udp", None),
        (ipv6(51, b"\x06\x01" + bytes(10) + PORTS), "tcp", 3306),
        (ipv6(58, PORTS), "ipv6-icmp", None),
        (ipv6(0, b""), "0", None),
    ],
)
def test_packets(payload: bytes, protocol: str, port: int | None) -> None:
    found = read(payload)
    assert (found.protocol, found.port, found.inner) == (protocol, port, None)
    assert (found.revision, found.reason, found.interface) == (12, "refused", "ens3")
    assert Refusal.from_json(found.to_json()) == found


def test_what_was_dialled_comes_from_connection_tracking() -> None:
    outer = Dialled(ip_address("192.0.2.1").packed, 6, 8080)
    found = read(ipv4(6, 80, to="172.17.0.2"), hook=2, dialled=outer)
    assert (found.destination, found.port, found.way) == ("192.0.2.1", 8080, "container")
    assert found.inner == InnerEnd("172.17.0.2", 80)
    # The same, and one of another packet.
    assert read(ipv4(6, 8080), dialled=outer).inner is None
    assert read(ipv4(17, 80), dialled=outer).inner is None
    assert read(ipv6(6, PORTS), dialled=outer).inner is None


@pytest.mark.parametrize("payload", [b"", b"\x45", bytes(64), b"\x44" + bytes(63), b"\x60" + bytes(30)])
def test_packets_that_are_none(payload: bytes) -> None:
    with pytest.raises(NotReadable):
        read(payload)


def test_packets_of_others_and_at_other_places() -> None:
    with pytest.raises(NotOurs):
        read_refusal(logged(ipv4(6, 1), prefix=b"fail2ban"), AT, str)
    with pytest.raises(NotReadable):
        read(ipv4(6, 1), hook=3)


@pytest.mark.parametrize(
    ("number", "revision"), [(b"0", None), (b"9" * 16, None), (b"1" * 13, int("1" * 13))]
)
def test_numbers_of_revisions(number: bytes, revision: int | None) -> None:
    one = logged(ipv4(6, 1), prefix=b"dockerfw r%s block" % number)
    assert read_refusal(one, AT, lambda _: "").revision == revision


def test_a_message_of_the_kernel() -> None:
    tuple_ip = attribute(1 | 0x8000, attribute(1, b"\1\2\3\4") + attribute(2, b"\xc0\0\2\1"))
    tuple_protocol = attribute(2 | 0x8000, attribute(1, b"\x06") + attribute(3, b"\x1f\x90"))
    conntrack = attribute(18 | 0x8000, attribute(1 | 0x8000, tuple_ip + tuple_protocol))
    parts = (
        attribute(1, b"\x08\0\x02\0"),
        attribute(10, PREFIX + b"\0"),
        attribute(4, b"\0\0\0\x05"),
        attribute(12, b"\0\0\0\x09"),
        attribute(9, ipv4(6, 80)),
        conntrack,
    )
    state = attribute(19, b"\0\0\0\x02")
    found = read_datagram(
        message(*parts, state) + message(kind=3) + message(*parts, attribute(19, b"\0\0\0\3"))
    )
    assert found.errors == 0
    first, second = found.packets
    assert first == Logged(2, 5, ipv4(6, 80), PREFIX, 9, Dialled(b"\xc0\0\2\1", 6, 8080))
    # The tuple of an answer has the ends the other way round.
    assert second.dialled is None


def test_messages_that_are_cut_off_are_counted() -> None:
    whole = message(attribute(9, ipv4(6, 80)))
    assert read_datagram(whole + whole[:-8]).errors == 1
    assert len(read_datagram(whole + whole[:-8]).packets) == 1
    assert read_datagram(message(attribute(10, PREFIX))).errors == 1
    assert read_datagram(b"\1\2\3").errors == 1
    assert read_datagram(b"").errors == 0


def real_messages() -> st.SearchStrategy[bytes]:
    """Draw messages of a right form with any values in them."""
    value = st.one_of(st.binary(max_size=80), st.just(PREFIX), st.binary(min_size=4, max_size=4))
    kinds = st.sampled_from([1, 4, 9, 10, 12, 18, 19, 18 | 0x8000, 7])
    inner = st.lists(st.builds(attribute, st.integers(0, 4), value), max_size=3).map(b"".join)
    attributes = st.lists(st.builds(attribute, kinds, st.one_of(value, inner)), max_size=9)
    return st.lists(attributes.map(lambda parts: message(*parts)), max_size=4).map(b"".join)


@given(st.one_of(st.binary(max_size=400), real_messages()))
def test_any_bytes_give_packets_or_a_count(raw: bytes) -> None:
    found = read_datagram(raw)
    for one in found.packets:
        try:
            refusal = read_refusal(one, AT, lambda _: "ens33")
        except (NotOurs, NotReadable):
            continue
        assert Refusal.from_json(refusal.to_json()) == refusal


@given(st.binary(max_size=64), st.sampled_from([0, 1, 2, 7, None]), st.sampled_from([4, 6, None]))
def test_any_packet_gives_a_refusal_that_the_dashboard_reads(
    payload: bytes, hook: int | None, family: int | None
) -> None:
    if family and payload:
        payload = bytes([family << 4 | payload[0] & 0xF]) + payload[1:]
    one = Logged(hook, 1, payload, PREFIX, None, Dialled(payload[:4], 6, 80) if len(payload) > 3 else None)
    try:
        refusal = read_refusal(one, AT, lambda _: "")
    except NotReadable:
        return
    assert Refusal.from_json(refusal.to_json()) == refusal


def test_alike_packets_are_counted_and_different_ones_bounded() -> None:
    folding = Folding("local", per_second=1.0, most=3)
    assert folding.is_empty
    first = read(ipv4(6, 1))
    folding.add([first, read_refusal(logged(ipv4(6, 1)), "2026-05-03T12:00:09.000Z", lambda _: "ens3")], 0.0)
    folding.add([read(ipv4(6, port)) for port in range(2, 6)], 0.0)
    batch = folding.take(AT)
    assert [(one.port, one.count) for one in batch.refusals] == [(1, 2), (2, 1), (3, 1)]
    assert (batch.dropped, batch.first, batch.last) == (2, AT, "2026-05-03T12:00:09.000Z")
    assert RefusalBatch.from_json(load_json(dump_json(batch.to_json()))) == batch
    assert folding.is_empty
    # A second later there is room for one more.
    folding.add([read(ipv4(6, port)) for port in (7, 8)], 1.0)
    batch = folding.take(AT)
    assert ([one.port for one in batch.refusals], batch.dropped) == ([7], 1)


def test_what_the_kernel_lost_is_counted_by_its_numbers() -> None:
    folding = Folding("local")
    for number in (5, 6, 10, None, 11, 0, 2):
        folding.note_sequence(number)
    # 7, 8 and 9; the group was bound anew; 1.
    assert folding.take(AT).dropped == 4
    folding.note_sequence(2**32 - 1)
    folding.note_sequence(0)
    assert folding.is_empty
    folding.note_dropped(0, AT)
    assert folding.is_empty
