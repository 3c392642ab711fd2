"""Limits and expiry with real packets, while nothing of dockerfw runs: what an apply leaves in the kernel."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from typing import Any

import pytest

from dockerfw.host.clock import utc_now
from dockerfw.store.bootfiles import SCRIPT
from dockerfw.store.state import StateDirectory
from tests.rig.connections import ask, connect, listening, try_port
from tests.rig.host_states import answer, order, run
from tests.rig.namespace import Backend, Namespace, join_namespaces, wait_until

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can join two namespaces"),
]

HOST, FIRST, SECOND, OFFICE = "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"
SSH, WEB = 22, 8080
MOST_SOURCES = 65_536


def joined(host: Namespace, client: Namespace) -> Namespace:
    """Put a client with three addresses beside a host, and return it."""
    join_namespaces(host, "ens33", client, "eth0")
    host.run("ip", "address", "add", f"{HOST}/24", "dev", "ens33")
    for address in (FIRST, SECOND, OFFICE):
        client.run("ip", "address", "add", f"{address}/24", "dev", "eth0")
    return client


@pytest.fixture
def client(inside: Namespace, make_namespace: Callable[..., Namespace]) -> Iterator[Namespace]:
    """A machine beside the host, on which a program listens on two ports."""
    found = joined(inside, make_namespace("client"))
    with listening(inside, HOST, SSH, "ssh"), listening(inside, HOST, WEB, "web"):
        yield found


def limited(limit: str, **more: Any) -> dict[str, Any]:
    """Return a document that allows ssh for all, slowly, and everything for the office."""
    rules = [
        {"id": "slow", "scope": "host", "protocol": "tcp", "ports": ["22"], "limit": limit, **more},
        {"id": "office", "scope": "both", "sources": [OFFICE], "protocol": "tcp", "ports": ["22", "8080"]},
    ]
    return {"format": "dockerfw/2", "settings": {"external_interfaces": ["ens33"]}, "rules": rules}


def apply(state: StateDirectory, value: dict[str, Any], sequence: int) -> None:
    outcome = run(order(value, sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error


def boot(state: StateDirectory, make_namespace: Callable[..., Namespace]) -> tuple[Namespace, Namespace]:
    """Run the boot script in an empty namespace, and return that with a client beside it."""
    booted = make_namespace("booted")
    client = joined(booted, make_namespace("client-2"))
    done = booted.run("sh", "-s", stdin=(state.boot / SCRIPT).read_text(), check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    return booted, client


def passed(client: Namespace, source: str, most: int = 9) -> int:
    """Return how many connections in a row get through from an address, before one is refused."""
    for count in range(most):
        verdict = try_port(client, HOST, SSH, source=source)
        if verdict != "connected":
            assert verdict == "prohibited"
            return count
    return most


def test_a_limit_counts_each_source_and_follows_applies_and_roll_backs(
    inside: Namespace, client: Namespace, backend: Backend, state: StateDirectory
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend)
    # An hour, so that no slow machine gets one more while this runs.
    apply(state, limited("6/hour"), 1)
    assert answer("keep", state).state == "confirmed"
    assert passed(client, FIRST) == 6
    assert passed(client, FIRST) == 0
    assert passed(client, SECOND) == 6
    assert passed(client, OFFICE) == 9
    # In a window the new limit holds, not the parameters of the table that the kernel has already.
    apply(state, limited("3/hour"), 2)
    assert passed(client, FIRST) == 3
    assert answer("rollback", state).state == "rolled_back"
    assert passed(client, FIRST) == 6
    apply(state, limited("2/hour"), 3)
    assert answer("keep", state).state == "confirmed"
    assert passed(client, FIRST) == 2


def test_an_unchanged_limit_goes_on_counting_over_an_apply(
    inside: Namespace, client: Namespace, state: StateDirectory
) -> None:
    apply(state, limited("4/hour"), 1)
    assert answer("keep", state).state == "confirmed"
    assert passed(client, FIRST, most=3) == 3
    apply(state, limited("4/hour", comment="the same limit"), 2)
    assert passed(client, FIRST) == 1
    assert answer("rollback", state).state == "rolled_back"
    assert passed(client, FIRST) == 0


def test_a_clock_in_the_past_does_not_allow_again_what_will_have_ended(
    inside: Namespace,
    client: Namespace,
    state: StateDirectory,
    make_namespace: Callable[..., Namespace],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The kernel's clock cannot be set here, so the apply is made two hours ahead of it: for the kernel, which
    # is what decides, the boot is then in the past. The rule ends an hour after the apply.
    ends = f"{utc_now(ahead=3 * 3600)[:19]}Z"
    short = {"id": "short", "scope": "host", "protocol": "tcp", "ports": ["8080"], "expires": ends}
    value = limited("600/minute")
    value["rules"].append(short)
    with monkeypatch.context() as patch:
        patch.setattr("dockerfw.agent.apply.utc_now", lambda: utc_now(ahead=2 * 3600))
        apply(state, value, 1)
    assert answer("keep", state).state == "confirmed"
    assert try_port(client, HOST, WEB, source=FIRST) == "prohibited"
    booted, again = boot(state, make_namespace)
    with listening(booted, HOST, SSH), listening(booted, HOST, WEB):
        assert try_port(again, HOST, WEB, source=FIRST) == "prohibited"
        # What has no end needs no clock.
        assert try_port(again, HOST, WEB, source=OFFICE) == "connected"
        assert try_port(again, HOST, SSH, source=FIRST) == "connected"


def test_a_full_table_of_a_limit_cuts_only_what_that_limit_allows(
    inside: Namespace, client: Namespace, state: StateDirectory
) -> None:
    apply(state, limited("6/hour"), 1)
    assert answer("keep", state).state == "confirmed"
    with connect(client, HOST, SSH, source=FIRST) as session:
        assert ask(session, "before\n")
        flood(client)
        # The kernel drops packets of a source for which the table has no room.
        assert try_port(client, HOST, SSH, source=SECOND, seconds=0.5) == "silent"
        assert try_port(client, HOST, SSH, source=OFFICE) == "connected"
        assert try_port(client, HOST, WEB, source=OFFICE) == "connected"
        assert ask(session, "after\n")
    assert try_port(client, HOST, SSH, source=FIRST) == "connected"


def flood(client: Namespace) -> None:
    """Send a SYN to the limited port from more addresses than one table of a limit holds."""
    with client.entered():
        sender = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    target = IPv4Address(HOST).packed
    # The kernel fills in the IP header's checksum and length (raw(7)).
    with sender:
        first = int(IPv4Address("198.18.0.0"))
        for number in range(MOST_SOURCES + 1000):
            source = (first + number).to_bytes(4, "big")
            sender.sendto(_syn(source, target), (HOST, 0))


def _syn(source: bytes, target: bytes) -> bytes:
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 0, 0, 0, 64, socket.IPPROTO_TCP, 0, source, target)
    tcp = struct.pack("!HHIIBBHHH", 40_000, SSH, 1, 0, 5 << 4, 2, 1024, 0, 0)
    words = struct.unpack("!10H", tcp) + struct.unpack("!4H", source + target)
    total = sum(words) + socket.IPPROTO_TCP + len(tcp)
    total = (total & 0xFFFF) + (total >> 16)
    checksum = ~((total & 0xFFFF) + (total >> 16)) & 0xFFFF
    return ip + tcp[:16] + struct.pack("!H", checksum) + tcp[18:]


def test_an_allowance_ends_with_nothing_of_dockerfw_running_also_after_a_boot(
    inside: Namespace,
    client: Namespace,
    backend: Backend,
    state: StateDirectory,
    make_namespace: Callable[..., Namespace],
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend)
    ends = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=6)
    short = {"scope": "host", "protocol": "tcp", "ports": ["8080"], "expires": f"{ends:%Y-%m-%dT%H:%M:%SZ}"}
    value = limited("600/minute")
    apply(state, {**value, "rules": [*value["rules"], {**short, "id": "short"}]}, 1)
    assert answer("keep", state).state == "confirmed"
    before = try_port(client, HOST, WEB, source=FIRST)
    assert before == "connected" or datetime.now(UTC) > ends
    wait_until("the end of the allowance", lambda: try_port(client, HOST, WEB, source=FIRST) == "prohibited")
    assert datetime.now(UTC) > ends
    assert try_port(client, HOST, SSH, source=FIRST) == "connected"
    booted, again = boot(state, make_namespace)
    with listening(booted, HOST, SSH), listening(booted, HOST, WEB):
        assert try_port(again, HOST, WEB, source=FIRST) == "prohibited"
        assert try_port(again, HOST, SSH, source=FIRST) == "connected"
