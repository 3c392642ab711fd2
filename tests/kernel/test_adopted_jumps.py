"""Jumps into FILTERS by hand: a load adopts them completely or is refused, and packets prove it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from dockerfw.chains.plan import plan_changes
from dockerfw.chains.sentences import POLICY_OF_INPUT, foreign_jump, nothing_accepts
from dockerfw.document.document import parse_document
from dockerfw.host.reading import look
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import held, order, run, stop_watchdogs
from tests.rig.namespace import Namespace, wait_until

pytestmark = pytest.mark.kernel

HOST, CLIENT = "192.0.2.1", "192.0.2.2"
BY_HAND = """*filter
:INPUT ACCEPT [0:0]
:FILTERS - [0:0]
:DOCKER-USER - [0:0]
-A INPUT -i eth0 -j FILTERS
-A DOCKER-USER -i eth0 -j FILTERS
-A FILTERS -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A FILTERS -p tcp -m tcp --dport 22 -j ACCEPT
-A FILTERS -j DROP
COMMIT
"""
POLICY_DROP = BY_HAND.replace(":INPUT ACCEPT", ":INPUT DROP").replace(
    "-A INPUT -i eth0 -j FILTERS", "-A INPUT -i lo -j ACCEPT\n-A INPUT -j FILTERS"
)
LISTEN = """
import socket, sys, time
sockets = [socket.create_server(("0.0.0.0", int(port)), backlog=20) for port in sys.argv[1:]]
time.sleep(600)
"""
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 1).close()
except OSError:
    sys.exit(1)
"""


@pytest.fixture
def client(
    inside: Namespace, state: StateDirectory, make_namespace: Callable[..., Namespace]
) -> Iterator[Namespace]:
    """A client behind the host's eth0; both listen on a few ports."""
    other = make_namespace("client")
    inside.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", str(other.pid))
    for namespace, address in ((inside, HOST), (other, CLIENT)):
        namespace.add_addresses("eth0", f"{address}/24")
        namespace.run("ip", "link", "set", "eth0", "up")
        namespace.start(sys.executable, "-c", LISTEN, "22", "23", "443")
    wait_until("both listen", lambda: connects(inside, CLIENT, 443) and connects(other, HOST, 443))
    yield other
    stop_watchdogs(state)


def connects(namespace: Namespace, address: str, port: int) -> bool:
    return namespace.run(sys.executable, "-c", CONNECT, address, str(port), check=False).returncode == 0


def wanted() -> dict[str, Any]:
    rules = [{"scope": "host", "protocol": "tcp", "ports": ["22", "443"]}]
    return {"format": "dockerfw/1", "settings": {"external_interfaces": ["eth0"]}, "rules": rules}


def test_a_jump_for_one_interface_is_adopted(
    inside: Namespace, client: Namespace, state: StateDirectory
) -> None:
    inside.restore(BY_HAND, "nft", 4)
    assert [connects(client, HOST, port) for port in (22, 443)] == [True, False]
    outcome = run(order(wanted()), state)
    assert outcome.state == "awaiting", outcome.error
    assert [connects(client, HOST, port) for port in (22, 443, 23)] == [True, True, False]
    assert connects(inside, CLIENT, 443)
    assert connects(inside, "127.0.0.1", 23)
    plan = plan_changes(parse_document(wanted()), look("nft").rulesets)
    assert plan.empty
    assert [chain.rules for chain in plan.families[4].foreign] == [0]


@pytest.mark.parametrize("condition", ["-p tcp", "! -i lo", "-m conntrack --ctstate NEW"])
def test_a_jump_with_another_condition_is_not_left_to_call_other_rules(
    inside: Namespace, client: Namespace, state: StateDirectory, condition: str
) -> None:
    inside.restore(BY_HAND.replace("INPUT -i eth0 -j", f"INPUT {condition} -j"), "nft", 4)
    before = held(inside, "nft")
    outcome = run(order(wanted()), state)
    assert outcome.state == "failed"
    assert outcome.error is not None
    assert foreign_jump(4, f"-A INPUT {condition} -j FILTERS").rstrip(".") in outcome.error.summary
    assert {family: _rules(held(inside, "nft")[family]) for family in before} == {
        family: _rules(lines) for family, lines in before.items()
    }


def test_a_policy_that_drops_is_not_left_without_the_lines_that_accept(
    inside: Namespace, client: Namespace, state: StateDirectory
) -> None:
    inside.restore(POLICY_DROP, "nft", 4)
    outcome = run(order(wanted()), state)
    assert outcome.state == "failed"
    assert outcome.error is not None
    reason = nothing_accepts(4, POLICY_OF_INPUT, loopback=True)
    assert outcome.error.summary.startswith(reason.rstrip("."))
    assert [connects(client, HOST, port) for port in (22, 443)] == [True, False]
    assert connects(inside, "127.0.0.1", 23)
    # The remedy that the reason names.
    inside.iptables("-P", "INPUT", "ACCEPT")
    outcome = run(order(wanted(), sequence=2), state)
    assert outcome.state == "awaiting", outcome.error
    assert [connects(client, HOST, port) for port in (22, 443, 23)] == [True, True, False]
    assert connects(inside, "127.0.0.1", 23)


def _rules(lines: list[str]) -> list[str]:
    return [line.partition("] ")[2] for line in lines if " -A " in line]
