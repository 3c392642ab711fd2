"""The messages: a written message reads back the same, and each invalid value is refused with its path."""

from __future__ import annotations

import contextlib
import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.messages.codec import MAX_MESSAGE_BYTES, dump_json, load_json
from dockerfw.messages.confirmed import Confirmed
from dockerfw.messages.errors import MessageError
from dockerfw.messages.orders import Answer, Order, why_expired
from dockerfw.messages.outcomes import Failure, Loaded, Outcome, RollBack, Step, Window
from dockerfw.messages.session_groups import SessionGroup, SessionGroups
from dockerfw.messages.snapshot_values import interface_from
from dockerfw.messages.snapshots import CommandError, Snapshot, saves_digest
from dockerfw.messages.surroundings import (
    Container,
    ContainerPort,
    Interface,
    ListeningSocket,
    PublishedPort,
    SetMembers,
    TrackedConnections,
)
from dockerfw.reach.inbound import InboundSession

APPLY = "0b8d6a1e-9c2f-4d53-8a77-0123456789ab"
DIGEST = "ab" * 32
TIME = "2026-01-31T12:00:00.123456Z"

ORDER = Order(APPLY, 7, "local", 3, {"format": "dockerfw/1"}, DIGEST, 60, TIME, end_sessions=True)
OUTCOME = Outcome(
    APPLY,
    "local",
    2,
    "failed",
    TIME,
    (Step("lock", "done", TIME, 0.001, ""), Step("load-ipv4", "failed", TIME, 1.5, "x")),
    Failure("load-ipv4", "did not load", ("iptables-nft-restore", "-n"), 1, "line 3 failed", 3, "-A X"),
    Loaded(3, DIGEST),
)
AWAITING = Outcome(APPLY, "local", 100, "awaiting", TIME, (), None, Loaded(3, DIGEST), Window(TIME, 59.5, 60))
ROLLED_BACK = Outcome(
    APPLY,
    "local",
    101,
    "rolled_back",
    TIME,
    (),
    None,
    None,
    None,
    RollBack("silence", "The window ended without an answer."),
)
KEEP = Answer(APPLY, 8, "local", "keep", None, TIME)
EXTEND = Answer(APPLY, 8, "local", "extend", 120, TIME)
PORT = ContainerPort("tcp", 5432, 5433, "127.0.0.1")
SAVES: Any = {4: "*filter\nCOMMIT\n", 6: "\udcff"}
SNAPSHOT = Snapshot(
    "local",
    TIME,
    "nft",
    "iptables",
    SAVES,
    (Interface("ens33", ("192.0.2.1/24",), True),),
    {4: ("ens33",), 6: ()},
    (PublishedPort(4, "tcp", "", 8080, "172.17.0.2", 80),),
    {"iptables": "iptables v1.8.9 (nf_tables)", "kernel": "6.1"},
    (CommandError(("ip", "address"), None, "gone"),),
    saves_digest(SAVES),
    SessionGroups(
        (
            SessionGroup.of(InboundSession("container", 4, "tcp", "192.0.2.2", 8080, 80, ("ens33",)), 2),
            SessionGroup.of(
                InboundSession(
                    "container", 4, "tcp", "192.0.2.2", 22, 22, ("ens33",), "192.168.122.9", "192.0.2.1"
                ),
                1,
            ),
            SessionGroup.of(
                InboundSession("host", 6, "ipv6-icmp", "2001:db8::2", None, None, ("ens33", "wg0")), 1
            ),
        ),
        whole=False,
    ),
    (
        ListeningSocket(6, "tcp", "", 80, False, "", "nginx", 12, "nginx.service"),
        ListeningSocket(4, "udp", "127.0.0.53", 53, interface="lo", container="0123456789ab"),
    ),
    (Container("0123456789ab", "db", "shop", "database", "x", ("172.18.0.2", "fd00::2"), (PORT,)),),
    (SetMembers("office", "hash:net", ("192.0.2.0/24",), "family inet"), SetMembers("large")),
    bridges_filtered=(4,),
    docker_backends=("nft", "legacy"),
    confirmed=Confirmed(3, DIGEST, "nft", "legacy", rebooted=True, docker_gone=(6,)),
)
GROUP: Any = SNAPSHOT.sessions and SNAPSHOT.sessions.groups[0].to_json()
KEPT: Any = SNAPSHOT.to_json()["kept"]
SOCKET: Any = SNAPSHOT.sockets[0].to_json()
CONTAINER: Any = (SNAPSHOT.containers or ())[0].to_json()
MESSAGES: list[Any] = [ORDER, OUTCOME, AWAITING, ROLLED_BACK, KEEP, EXTEND, SNAPSHOT]


@pytest.mark.parametrize("message", MESSAGES)
def test_a_written_message_reads_back_the_same(message: Any) -> None:
    assert type(message).from_json(load_json(dump_json(message.to_json()))) == message


@pytest.mark.parametrize("message", MESSAGES)
def test_every_key_is_required_and_no_other_is_known(message: Any) -> None:
    value = message.to_json()
    for key in value:
        with pytest.raises(MessageError):
            type(message).from_json({name: item for name, item in value.items() if name != key})
    with pytest.raises(MessageError, match="surprise: is not a known key"):
        type(message).from_json({**value, "surprise": 1})


WRONG: list[tuple[Any, str, Any, str]] = [
    (ORDER, "format", "dockerfw-order/2", "is not 'dockerfw-order/1'"),
    (ORDER, "apply", "x", "version 4 UUID"),
    (ORDER, "apply", APPLY.upper(), "version 4 UUID"),
    (ORDER, "apply", APPLY + "\n", "at most 36"),
    (ORDER, "sequence", 0, "not from 1"),
    (ORDER, "sequence", True, "must be a whole number, not true or false"),
    (ORDER, "sequence", 1.0, "must be a whole number"),
    (ORDER, "sequence", 2**53, "not from 1"),
    (ORDER, "host", "Local", "name of a host"),
    (ORDER, "host", "../x", "name of a host"),
    (ORDER, "host", "a\n", "name of a host"),
    (ORDER, "document", [], "must be an object"),
    (ORDER, "end_sessions", 1, "must be true or false"),
    (ORDER, "end_sessions", None, "must be true or false"),
    (ORDER, "digest", "AB" * 32, "SHA-256"),
    (ORDER, "confirm_seconds", 0, "not from 15 to 3600"),
    (ORDER, "confirm_seconds", 14, "not from 15 to 3600"),
    (ORDER, "confirm_seconds", 3601, "not from 15 to 3600"),
    (ORDER, "override", 1, "override: must be true or false, not a number"),
    (ORDER, "override", None, "override: must be true or false"),
    (ORDER, "override", "yes", "override: must be true or false"),
    (ORDER, "signature", "AB" * 64, "an Ed25519 signature in lower-case hex"),
    (ORDER, "signature", "ab" * 65, "at most 128"),
    (ORDER, "signature", None, "signature: must be a string, not null"),
    (KEEP, "signature", "ab" * 63, "an Ed25519 signature in lower-case hex"),
    (KEEP, "answer", "maybe", "not one of keep, rollback, extend"),
    (KEEP, "seconds", 60, "needed to extend a window, and for nothing else"),
    (KEEP, "sequence", 0, "not from 1"),
    (EXTEND, "seconds", None, "needed to extend a window"),
    (EXTEND, "seconds", 3601, "not from 15 to 3600"),
    (AWAITING, "window", None, "must be set while an apply is awaiting"),
    (OUTCOME, "window", AWAITING.to_json()["window"], "must be set while an apply is awaiting"),
    (ROLLED_BACK, "way_back", None, "must be set when an apply was rolled back"),
    (ROLLED_BACK, "way_back", {"reason": "mood", "summary": ""}, "way_back.reason"),
    (ORDER, "issued_at", "yesterday", "UTC time"),
    (OUTCOME, "state", "done", "not one of"),
    (OUTCOME, "steps", [{}], r"steps\[0\].name: is missing"),
    (OUTCOME, "steps", [1] * 100, "at most 64"),
    (OUTCOME, "error", {"step": "lunch"}, "error.step"),
    (OUTCOME, "loaded", {"revision": 0, "digest": DIGEST}, "loaded.revision"),
    (SNAPSHOT, "saves", {"4": ""}, "saves.6: is missing"),
    (SNAPSHOT, "interfaces", [{"name": 1}], r"interfaces\[0\].name"),
    (SNAPSHOT, "docker", {"state": "podman"}, "docker.state"),
    (SNAPSHOT, "sessions", {"groups": [{}], "whole": True}, r"sessions.groups\[0\].place: is missing"),
    (SNAPSHOT, "sessions", {"groups": [1] * 2001, "whole": True}, "at most 2000"),
    (SNAPSHOT, "sessions", {"groups": [{**GROUP, "source": "2001:db8::2"}], "whole": True}, "of its family"),
    (
        SNAPSHOT,
        "sessions",
        {"groups": [{**GROUP, "destination": "2001:db8::2"}], "whole": True},
        "destination: must be an address of its family",
    ),
    (SNAPSHOT, "sessions", {"groups": [{**GROUP, "count": 0}], "whole": True}, "count: 0 is not from 1"),
    (SNAPSHOT, "sessions", {"groups": [{**GROUP, "port": 65536}], "whole": True}, "not from 0 to 65535"),
    (SNAPSHOT, "docker_backends", ["podman"], "nft, legacy"),
    (SNAPSHOT, "ipv6", 1, "true or false"),
    (SNAPSHOT, "kept", {**KEPT, "backend": "x"}, "kept.backend"),
    (SNAPSHOT, "kept", {**KEPT, "revision": 0}, "kept.revision"),
    (SNAPSHOT, "sockets", [1] * 33_000, "at most 32768"),
    (SNAPSHOT, "sockets", [{**SOCKET, "port": 0}], r"sockets\[0\].port"),
    (SNAPSHOT, "sockets", [{**SOCKET, "family": 5}], r"sockets\[0\].family: .5. is not one of 4, 6"),
    (SNAPSHOT, "sockets", [{**SOCKET, "address": "localhost"}], "such as 192.0.2.1"),
    (SNAPSHOT, "sockets", [{**SOCKET, "container": "../x"}], "id of a container"),
    (SNAPSHOT, "sockets", [{**SOCKET, "pid": -1}], "not from 1"),
    (SNAPSHOT, "containers", [{**CONTAINER, "id": "DB"}], "id of a container"),
    (SNAPSHOT, "containers", [{**CONTAINER, "name": "x" * 256}], "at most 255"),
    (SNAPSHOT, "containers", [{**CONTAINER, "ports": [{"protocol": "tcp"}]}], r"ports\[0\].port"),
    (SNAPSHOT, "containers", [{**CONTAINER, "surprise": 1}], "not a known key"),
    (SNAPSHOT, "sets", [{"name": "a", "kind": "", "members": ["x"] * 20_001}], "at most 20000"),
    (SNAPSHOT, "bridges_filtered", ["5"], r"bridges_filtered\[0\]: .5. is not one of 4, 6"),
    (SNAPSHOT, "bridges_filtered", True, "must be a list"),
]


@pytest.mark.parametrize(("message", "key", "value", "words"), WRONG)
def test_an_invalid_value_is_refused_with_its_path(message: Any, key: str, value: Any, words: str) -> None:
    with pytest.raises(MessageError, match=words) as caught:
        type(message).from_json({**message.to_json(), key: value})
    assert str(caught.value).startswith(key)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"\xff", "not UTF-8"),
        (b"{", "not JSON"),
        (b'{"a": 1, "a": 2}', "twice"),
        (b"[NaN]", "NaN"),
        (b"[-Infinity]", "Infinity"),
        (b"[" * 200_000, "nested too deeply"),
        (b"9" * 1_000, "1000 digits .at most 100"),
        pytest.param(b"[-" + b"9" * 4_000_000 + b"]", "at most 100", id="millions of digits"),
        (b" " * (MAX_MESSAGE_BYTES + 1), "at most"),
        (b"", "not JSON"),
    ],
)
def test_text_that_is_not_a_message_is_refused(raw: bytes, words: str) -> None:
    with pytest.raises(MessageError, match=words):
        load_json(raw)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(json_values, st.sampled_from(["", *ORDER.to_json(), *OUTCOME.to_json(), *SNAPSHOT.to_json()]))
def test_no_value_makes_the_codec_crash(value: object, key: str) -> None:
    for message in MESSAGES:
        with contextlib.suppress(MessageError):
            type(message).from_json({**message.to_json(), key: value} if key else value)


@given(st.binary(max_size=200))
def test_no_bytes_make_the_decoder_crash(raw: bytes) -> None:
    try:
        value = load_json(raw)
    except MessageError:
        return
    assert json.dumps(value) is not None


def test_the_digest_of_saves_ignores_comments_and_depends_on_the_family() -> None:
    assert saves_digest({4: "# a\nx\n", 6: ""}) == saves_digest({4: "# b\nx\n", 6: ""})
    assert saves_digest({4: "x", 6: ""}) != saves_digest({4: "", 6: "x"})


@pytest.mark.parametrize(
    ("issued_at", "words"),
    [
        ("2026-01-31T12:00:00Z", None),
        ("2026-01-31T11:58:00Z", None),
        ("2026-01-31T12:01:00Z", None),
        ("2026-01-31T11:57:59Z", "121 s ago"),
        ("2026-01-31T12:01:01.5Z", "in the future"),
    ],
)
def test_messages_expire(issued_at: str, words: str | None) -> None:
    why = why_expired(issued_at, datetime(2026, 1, 31, 12, tzinfo=UTC))
    assert why is None if words is None else why is not None and words in why


def test_redirecting_tables_are_written_only_when_there_are_any() -> None:
    assert "redirecting_tables" not in SNAPSHOT.to_json()
    snapshot = replace(SNAPSHOT, redirecting_tables=("inet web",))
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    with pytest.raises(MessageError, match=r"redirecting_tables\[0\]: has 201 characters"):
        Snapshot.from_json({**SNAPSHOT.to_json(), "redirecting_tables": ["x" * 201]})


def test_foreign_tables_are_written_only_when_there_are_any() -> None:
    assert "own_tables" not in SNAPSHOT.to_json()
    snapshot = replace(SNAPSHOT, foreign_tables=("inet firewalld",))
    assert snapshot.to_json()["own_tables"] == ["inet firewalld"]
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    with pytest.raises(MessageError, match=r"own_tables\[0\]: has 201 characters; at most 200 are allowed"):
        Snapshot.from_json({**SNAPSHOT.to_json(), "own_tables": ["x" * 201]})


def test_a_lack_of_ipsets_is_written_only_where_it_is_known() -> None:
    assert "lacks_ip_set" not in SNAPSHOT.to_json()
    snapshot = replace(SNAPSHOT, lacks_ip_set=True)
    assert snapshot.to_json()["lacks_ip_set"] is True
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    with pytest.raises(MessageError, match="lacks_ip_set: must be true or false"):
        Snapshot.from_json({**SNAPSHOT.to_json(), "lacks_ip_set": "x"})


def test_the_use_of_the_connection_table_is_written_only_where_it_is_known() -> None:
    assert "tracked" not in SNAPSHOT.to_json()
    snapshot = replace(SNAPSHOT, tracked=TrackedConnections(812, 262_144))
    assert snapshot.to_json()["tracked"] == {"count": 812, "most": 262_144}
    assert Snapshot.from_json(snapshot.to_json()) == snapshot
    for wrong in (-1, 1.5, "812", None, 2**53):
        with pytest.raises(MessageError, match=r"tracked\.count"):
            Snapshot.from_json({**SNAPSHOT.to_json(), "tracked": {"count": wrong, "most": 1}})


def test_the_interface_below_another_is_written_only_where_there_is_one() -> None:
    plain = Interface("ens33", ("192.0.2.1/24",), True)
    assert "parent" not in plain.to_json()
    macvlan = Interface("mac0", (), True, kind="macvlan", parent="ens33")
    assert Interface.from_json(macvlan.to_json()) == macvlan
    with pytest.raises(MessageError):
        Interface.from_json({**macvlan.to_json(), "parent": "x" * 65})


def test_multicast_groups_are_written_only_where_there_are_some() -> None:
    plain = Interface("ens33", ("192.0.2.1/24",), True)
    assert "groups" not in plain.to_json()
    joined = replace(plain, groups=("224.0.0.251", "ff02::fb"))
    assert Interface.from_json(joined.to_json()) == joined
    assert [str(each) for each in interface_from(joined).groups] == ["224.0.0.251", "ff02::fb"]
    for wrong in (["not an address"], ["224.0.0.251"] * 65):
        with pytest.raises(MessageError):
            Interface.from_json({**joined.to_json(), "groups": wrong})
