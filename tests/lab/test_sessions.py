"""A session from before an apply stays open until it is ended, although a new one would be refused."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dockerfw.host.observation import observe
from dockerfw.messages.session_groups import SessionGroup
from tests.rig.connections import ask, connect, listening, try_port
from tests.rig.docker_host import IMAGE
from tests.rig.lab import CLIENT, CLIENT_6, EXTERNAL, HOST, HOST_6, NEIGHBOUR, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import PATIENCE, wait_until

pytestmark = pytest.mark.lab


@pytest.fixture
def echo(lab: Lab) -> Iterator[str]:
    """The address of a container that sends back what it gets on its port 7, which is published as 7000."""
    lab.docker.docker(
        "run", "--detach", "--name=echo", "--publish=7000:7", IMAGE, "nc", "-ll", "-p", "7", "-e", "cat"
    )
    yield lab.docker.container_address("echo")
    lab.docker.remove(["echo"])


def test_a_session_with_the_host_stays_open(lab: Lab) -> None:
    lab.load(document(allow("host", 22)))
    with listening(lab.host, HOST, 22, "ssh"), connect(lab.client, HOST, 22) as session:
        assert ask(session, "before\n").startswith("ssh")
        lab.load(document(), revision=2)
        assert try_port(lab.client, HOST, 22) == "prohibited"
        assert ask(session, "after\n").startswith("ssh")


def test_a_session_with_a_container_stays_open(lab: Lab, echo: str) -> None:
    lab.load(document(allow("container", 7000)))
    with connect(lab.client, HOST, 7000) as session:
        assert ask(session, "before\n") == "before"
        lab.load(document(), revision=2)
        assert try_port(lab.client, HOST, 7000) == "prohibited"
        assert ask(session, "after\n") == "after"


def test_exactly_the_sessions_no_longer_allowed_are_ended(lab: Lab, echo: str) -> None:
    # Sessions of earlier tests do not count.
    lab.host.run("conntrack", "-F")
    neighbour: dict[str, object] = {"scope": "both", "source": f"{NEIGHBOUR}/32"}
    lab.load(document(allow("host", 22), allow("container", 7000), neighbour))
    with (
        listening(lab.host, HOST, 22, "ssh"),
        listening(lab.client, CLIENT, 9000, "outside"),
        connect(lab.client, HOST, 22, source=CLIENT) as ssh,
        connect(lab.client, HOST, 7000, source=CLIENT) as published,
        connect(lab.client, HOST_6, 7000, source=CLIENT_6) as proxied,
        connect(lab.client, HOST, 22, source=NEIGHBOUR) as their_ssh,
        connect(lab.client, HOST, 7000, source=NEIGHBOUR) as their_published,
        connect(lab.host, CLIENT, 9000) as the_host_s_own,
    ):
        lab.docker.docker("exec", "--detach", "plain", "sh", "-c", f"sleep 300 | nc {CLIENT} 9000")
        address = lab.docker.container_address("plain")
        wait_until("the container's own session", lambda: followed(lab, f"src={address} dst={CLIENT}"))
        everyone = {
            "published": published,
            "their ssh": their_ssh,
            "their published": their_published,
            "own": the_host_s_own,
            "ssh": ssh,
            "proxied": proxied,
        }
        for session in everyone.values():
            assert ask(session, "before\n")
        assert from_outside(lab) == {
            group("host", CLIENT, 22, 22),
            group("host", NEIGHBOUR, 22, 22),
            group("container", CLIENT, 7000, 7, destination=echo),
            group("container", NEIGHBOUR, 7000, 7, destination=echo),
            # docker-proxy accepts connections over IPv6.
            group("host", CLIENT_6, 7000, 7000),
        }
        outcome = lab.load(document(neighbour), revision=2, end_sessions=True)
        assert (outcome.steps[-1].name, outcome.steps[-1].detail) == ("sessions", "3 sessions ended")
        for session in (ssh, proxied):
            with pytest.raises((ConnectionError, IndexError)):
                ask(session, "after\n")
        published.settimeout(2)
        with pytest.raises(TimeoutError):
            ask(published, "after\n")
        for session in (their_ssh, their_published, the_host_s_own):
            assert ask(session, "after\n")
        assert followed(lab, f"src={address} dst={CLIENT}")
        assert from_outside(lab) == {
            group("host", NEIGHBOUR, 22, 22),
            group("container", NEIGHBOUR, 7000, 7, destination=echo),
        }


def followed(lab: Lab, words: str) -> bool:
    """Return True if the kernel tracks an established session whose line has these words."""
    listed = lab.host.run("conntrack", "-L", "-f", "ipv4").stdout.decode().splitlines()
    return any(words in line and "ESTABLISHED" in line for line in listed)


def from_outside(lab: Lab) -> set[SessionGroup]:
    """Return the open TCP sessions from outside."""
    with lab.host.entered():
        seen = observe("lab").sessions
    assert seen is not None
    assert seen.whole
    return {each for each in seen.groups if each.inbound.protocol == "tcp"}


def group(place: str, source: str, port: int, inner_port: int, destination: str = "") -> SessionGroup:
    """Return one session from outside."""
    family = 6 if ":" in source else 4
    values = {"family": family, "protocol": "tcp", "source": source, "port": port, "inner_port": inner_port}
    behind = {"destination": destination} if destination else {}
    behind["dialled"] = HOST_6 if family == 6 else HOST
    return SessionGroup.from_json({"place": place, **values, **behind, "interfaces": [EXTERNAL], "count": 1})


def test_a_session_over_ipv6_stays_open(lab: Lab) -> None:
    lab.load(document(allow("host", 22)))
    with listening(lab.host, HOST_6, 22, "ssh"), connect(lab.client, HOST_6, 22) as session:
        assert ask(session, "before\n").startswith("ssh")
        lab.load(document(), revision=2)
        assert try_port(lab.client, HOST_6, 22) == "prohibited"
        assert ask(session, "after\n").startswith("ssh")


def test_a_session_older_than_the_first_apply_stays_open(lab: Lab) -> None:
    lab.unload()
    with listening(lab.host, HOST, 22, "ssh"), connect(lab.client, HOST, 22) as session:
        assert ask(session, "before\n").startswith("ssh")
        lab.load(document())
        assert try_port(lab.client, HOST, 22) == "prohibited"
        assert ask(session, "after\n").startswith("ssh")


def test_an_ipv6_session_older_than_the_first_apply_waits_for_the_host_to_speak(lab: Lab) -> None:
    # Without ip6tables Docker tracks no IPv6 connection. The kernel starts with our first rule that needs it,
    # takes the client's next packet for a new connection, and recognizes the session once the host sends.
    lab.unload()
    with (
        listening(lab.host, HOST_6, 22, "ssh") as server,
        connect(lab.client, HOST_6, 22) as session,
    ):
        assert ask(session, "before\n").startswith("ssh")
        lab.load(document())
        session.settimeout(1)
        with pytest.raises(TimeoutError):
            ask(session, "after\n")
        server.speak("still there\n")
        session.settimeout(PATIENCE)
        assert session.recv(100) == b"still there\n"
        assert session.recv(100).startswith(b"ssh")
