"""Connections end with the rule that allowed them: by the container's name, over UDP, and no others."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from socket import socket

import pytest

from dockerfw.agent.expiry import Expiry
from dockerfw.bindings.binder import Binder
from dockerfw.host.clock import utc_now
from dockerfw.messages.events import ConsoleEvent
from dockerfw.store.bound_sets import describe_binder_problem
from dockerfw.store.confirmed import read_confirmed
from dockerfw.store.state import StateDirectory
from tests.rig.connections import ask, connect, try_port
from tests.rig.datagrams import answers, echoing, flow
from tests.rig.docker_host import IMAGE
from tests.rig.lab import CLIENT, CLIENT_6, HOST, HOST_6, NEIGHBOUR, Lab
from tests.rig.lab_documents import allow, by_name, document
from tests.rig.namespace import entering, wait_until

pytestmark = pytest.mark.lab

OTHER_HOST = "198.51.100.1"
NEAR: dict[str, object] = {"scope": "both", "sources": [f"{NEIGHBOUR}/32"]}
RIVAL = allow("container", 7001)
LABELS = (
    "--label=tier=data",
    "--label=com.docker.compose.project=shop",
    "--label=com.docker.compose.service=db",
)
PUBLISHED = ("--publish=7000:7", f"--publish={HOST}:7002:7")


@pytest.fixture
def echoes(lab: Lab) -> Iterator[None]:
    """Two containers that send back what they get on their port 7."""
    serve = ("nc", "-ll", "-p", "7", "-e", "cat")
    lab.docker.docker("run", "--detach", "--name=db", *PUBLISHED, *LABELS, IMAGE, *serve)
    lab.docker.docker("run", "--detach", "--name=rival", "--publish=7001:7", IMAGE, *serve)
    # Connections of earlier tests do not count.
    lab.host.run("conntrack", "-F")
    yield
    lab.docker.remove(["db", "rival"])


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    """What a test opens, which is closed after it."""
    with ExitStack() as opened:
        yield opened


def state_of(lab: Lab) -> StateDirectory:
    return StateDirectory(lab.host.directory / "state")


def expire(lab: Lab, *rules: dict[str, object]) -> None:
    """Have the first rule end now, which no connection notices."""
    first, *others = rules
    lab.load_unseen(document({**first, "expires": f"{utc_now()[:19]}Z"}, *others), revision=2)
    ends = f"{utc_now()[:19]}.999Z"
    wait_until("the end of the rule", lambda: utc_now(ahead=-1) > ends)


def look(lab: Lab) -> list[ConsoleEvent]:
    """Do what the root worker does before each unasked look, and return what it reports."""
    told: list[ConsoleEvent] = []
    state = state_of(lab)
    with lab.docker.entered():
        Expiry(state, host="lab", tell=told.append).end_connections(read_confirmed(state.boot))
    return told


def talks(connection: socket) -> bool:
    """Return True if a connection is still answered."""
    try:
        return ask(connection, "are you there\n") == "are you there"
    except (OSError, IndexError):
        return False


def open_to(
    lab: Lab, stack: ExitStack, port: int, address: str = HOST, source: str = CLIENT, seconds: float = 5
) -> socket:
    opened = stack.enter_context(connect(lab.client, address, port, source=source, seconds=seconds))
    assert talks(opened)
    return opened


def follow_hairpin(lab: Lab, port: int) -> str:
    """Have a container dial the host's own published port, and return its words in conntrack's list."""
    lab.docker.docker("exec", "--detach", "plain", "sh", "-c", f"sleep 300 | nc {HOST} {port}")
    words = f"src={lab.docker.container_address('plain')} dst={HOST} "
    wait_until("the container's own connection", lambda: is_tracked(lab, words, port))
    return words


def is_tracked(lab: Lab, words: str, port: int) -> bool:
    listed = lab.host.run("conntrack", "-L", "-f", "ipv4", "-p", "tcp").stdout.decode().splitlines()
    return any(words in line and f"dport={port} " in line and "ESTABLISHED" in line for line in listed)


@pytest.mark.parametrize(
    ("selector", "port"), [("db", 7000), ("shop/db", 7000), ("label:tier=data", 7000), ("db", 7002)]
)
def test_exactly_the_connections_of_the_expired_rule_end(
    lab: Lab, echoes: None, stack: ExitStack, selector: str, port: int
) -> None:
    named, other = by_name(selector, port), by_name("db", 7002 if port == 7000 else 7000)
    rules = (named, other, RIVAL, NEAR)
    lab.load(document(*rules))
    ends = [open_to(lab, stack, port)]
    if port == 7000:
        # docker-proxy takes IPv6.
        ends.append(open_to(lab, stack, port, HOST_6, CLIENT_6))
    hairpin = follow_hairpin(lab, port)
    stays = [
        open_to(lab, stack, port, source=NEIGHBOUR),
        open_to(lab, stack, 7001),
        open_to(lab, stack, 7001, HOST_6, CLIENT_6),
        open_to(lab, stack, 7002 if port == 7000 else 7000),
    ]
    expire(lab, *rules)
    assert try_port(lab.client, HOST, port, source=CLIENT) == "prohibited"
    assert all(map(talks, (*ends, *stays)))
    (event,) = look(lab)
    assert event.detail.startswith(f"{len(ends) + 1} sessions ended, since these rules have expired: ")
    assert not any(map(talks, ends))
    assert not is_tracked(lab, hairpin, port)
    assert all(map(talks, stays))
    # It is done, and is not done twice.
    assert look(lab) == []
    assert all(map(talks, stays))


def test_what_cannot_be_told_goes_on_until_it_can(lab: Lab, echoes: None, stack: ExitStack) -> None:
    named, web = by_name("db", 7000), {**allow("container", 7001), "expires": "2027-01-01T00:00:00Z"}
    lab.load(document(named, NEAR))
    opened = open_to(lab, stack, 7000)
    expire(lab, named, web, NEAR)
    # A root worker that has just started while Docker does not answer has emptied the sets.
    lab.stop_following()
    with lab.docker.entered():
        Binder(state_of(lab), host="lab", docker_socket=Path("/nowhere/docker.sock")).bind(whole=True)
    assert look(lab) == []
    assert talks(opened)
    lab.follow_again()
    wait_until("the containers", lambda: not describe_binder_problem(state_of(lab)))
    (event,) = look(lab)
    assert event.detail.startswith("1 session ended, since these rules have expired: ")
    assert not talks(opened)


@pytest.mark.parametrize("change", ["removed", "disabled", "of another container", "blocked"])
def test_an_apply_ends_the_connections_of_a_rule_by_name(
    lab: Lab, echoes: None, stack: ExitStack, change: str
) -> None:
    named = by_name("db", 7000)
    rules = (named, RIVAL, NEAR)
    lab.load(document(*rules))
    ends = [open_to(lab, stack, 7000), open_to(lab, stack, 7000, HOST_6, CLIENT_6)]
    stays = [open_to(lab, stack, 7000, source=NEIGHBOUR), open_to(lab, stack, 7001)]
    block: dict[str, object] = {"action": "block", "scope": "container", "sources": [CLIENT, CLIENT_6]}
    after: tuple[dict[str, object], ...] = {
        "removed": (RIVAL, NEAR, by_name("plain", 81)),
        "disabled": ({**named, "enabled": False}, RIVAL, NEAR),
        "of another container": (by_name("rival", 7000), RIVAL, NEAR),
        "blocked": (named, {**block, "ports": ["7000"], "protocol": "tcp"}, RIVAL, NEAR),
    }[change]
    outcome = lab.load(document(*after), revision=2, end_sessions=True)
    assert (outcome.steps[-1].name, outcome.steps[-1].detail) == ("sessions", "2 sessions ended")
    assert not any(map(talks, ends))
    assert all(map(talks, stays))


def test_flows_of_udp_end_with_their_rules(lab: Lab, stack: ExitStack) -> None:
    udp: dict[str, object] = {"protocol": "udp", "expires": f"{utc_now(ahead=-5)[:19]}Z"}
    published = ("--publish=7053:53/udp", "--publish=7054:54/udp")
    lab.docker.docker("run", "--detach", "--name=names", *published, IMAGE, "sleep", "600")
    stack.callback(lab.docker.remove, ["names"])
    lab.host.run("conntrack", "-F")
    inside, address = lab.docker.container_namespace("names"), lab.docker.container_address("names")
    host = stack.enter_context(echoing(lab.host.entered(), HOST, 5300))
    for port in (53, 54):
        stack.enter_context(echoing(entering(inside), address, port))
    rules = (
        allow("host", 5300, protocol="udp"),
        by_name("names", 7053, protocol="udp"),
        allow("container", 7054, protocol="udp"),
    )
    lab.load(document(*rules, NEAR))
    ports = (5300, 7053, 7054)
    ends = [stack.enter_context(flow(lab.client, HOST, port, source=CLIENT)) for port in ports]
    stays = [stack.enter_context(flow(lab.client, HOST, port, source=NEIGHBOUR)) for port in ports]
    assert all(map(answers, (*ends, *stays)))
    lab.load_unseen(document(*({**rule, **udp} for rule in rules), NEAR), revision=2)
    assert all(map(answers, (*ends, *stays)))
    (event,) = look(lab)
    assert event.detail.startswith("3 sessions ended, since these rules have expired: ")
    assert not any(map(answers, ends))
    assert all(map(answers, stays))
    for port in ports:
        with flow(lab.client, HOST, port, source=CLIENT) as fresh:
            assert not answers(fresh)
    # What the host itself sends to a client is a connection of its own, whose answers always pass.
    host.sendto(bytes(16), ends[0].getsockname())
    wait_until("the answer to a server that sends on", lambda: answers(ends[0]))
