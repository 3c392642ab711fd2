"""A session that was open before an apply goes on, though a new one like it is refused."""

from __future__ import annotations

import pytest

from tests.lab.docker_host import IMAGE
from tests.lab.documents import allow, document
from tests.lab.lab import HOST, HOST_6, Lab
from tests.lab.network import ask, connect, listening, try_port

pytestmark = pytest.mark.lab


def test_a_session_with_the_host_lives_on(lab: Lab) -> None:
    lab.load(document(allow("host", 22)))
    with listening(lab.host, HOST, 22, "ssh"), connect(lab.client, HOST, 22) as session:
        assert ask(session, "before\n").startswith("ssh")
        lab.load(document(), revision=2)
        assert try_port(lab.client, HOST, 22) == "prohibited"
        assert ask(session, "after\n").startswith("ssh")


def test_a_session_with_a_container_lives_on(lab: Lab) -> None:
    lab.load(document(allow("container", 7000)))
    lab.docker.docker(
        "run", "--detach", "--name=echo", "--publish=7000:7", IMAGE, "nc", "-ll", "-p", "7", "-e", "cat"
    )
    try:
        with connect(lab.client, HOST, 7000) as session:
            assert ask(session, "before\n") == "before"
            lab.load(document(), revision=2)
            assert try_port(lab.client, HOST, 7000) == "prohibited"
            assert ask(session, "after\n") == "after"
    finally:
        lab.docker.remove(["echo"])


def test_a_session_over_ipv6_lives_on(lab: Lab) -> None:
    lab.load(document(allow("host", 22)))
    with listening(lab.host, HOST_6, 22, "ssh"), connect(lab.client, HOST_6, 22) as session:
        assert ask(session, "before\n").startswith("ssh")
        lab.load(document(), revision=2)
        assert try_port(lab.client, HOST_6, 22) == "prohibited"
        assert ask(session, "after\n").startswith("ssh")


def test_a_session_older_than_the_first_apply_lives_on(lab: Lab) -> None:
    lab.unload()
    with listening(lab.host, HOST, 22, "ssh"), connect(lab.client, HOST, 22) as session:
        assert ask(session, "before\n").startswith("ssh")
        lab.load(document())
        assert try_port(lab.client, HOST, 22) == "prohibited"
        assert ask(session, "after\n").startswith("ssh")


def test_an_ipv6_session_older_than_the_first_apply_waits_for_the_host_to_speak(lab: Lab) -> None:
    # Without ip6tables Docker tracks no IPv6 connection: the kernel begins with our first rule that asks for
    # it, takes the client's next packet for a new one, and knows the session again when the host has sent.
    lab.unload()
    with (
        listening(lab.host, HOST_6, 22, "ssh") as server,
        connect(lab.client, HOST_6, 22, seconds=1) as session,
    ):
        assert ask(session, "before\n").startswith("ssh")
        lab.load(document())
        with pytest.raises(TimeoutError):
            ask(session, "after\n")
        server.speak("still there\n")
        session.settimeout(10)
        assert session.recv(100) == b"still there\n"
        assert session.recv(100).startswith(b"ssh")
