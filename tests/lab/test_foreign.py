"""Other rules stay byte for byte where they were: fail2ban's, an admin's, all of Docker's."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from tests.rig.connections import fetch, listening, try_port
from tests.rig.lab import CLIENT, HOST, NEIGHBOUR, STRANGER, Lab
from tests.rig.lab_documents import allow, document
from tests.rig.namespace import FAMILIES, Family

pytestmark = pytest.mark.lab

FAIL2BAN = f"""*filter
:f2b-sshd - [0:0]
-A f2b-sshd -s {STRANGER}/32 -j REJECT --reject-with icmp-port-unreachable
-A f2b-sshd -j RETURN
-I INPUT 1 -p tcp -m multiport --dports 22 -j f2b-sshd
-I DOCKER-USER 1 -s {NEIGHBOUR}/32 -m comment --comment "an admin's own" -j DROP
COMMIT
"""
UNDO = f"""*filter
-D INPUT -p tcp -m multiport --dports 22 -j f2b-sshd
-D DOCKER-USER -s {NEIGHBOUR}/32 -m comment --comment "an admin's own" -j DROP
-F f2b-sshd
-X f2b-sshd
COMMIT
"""


@pytest.fixture
def shared(lab: Lab) -> Iterator[Lab]:
    """The lab with rules of fail2ban and of an admin, and none of dockerfw."""
    # Even if this test is the first, there is a table for IPv6.
    lab.load_unseen(document())
    lab.unload()
    lab.host.restore(FAIL2BAN)
    yield lab
    lab.unload()
    lab.host.restore(UNDO)


def foreign_lines(lab: Lab) -> dict[Family, list[str]]:
    """Return every line of both saves that is not dockerfw's, with policies, without counters and dates."""
    return {
        family: [
            re.sub(r" \[\d+:\d+\]$", "", line)
            for line in lab.host.save(family=family).decode().splitlines()
            if "FILTERS" not in line and not line.startswith("#")
        ]
        for family in FAMILIES
    }


def test_foreign_rules_stay_byte_for_byte(shared: Lab) -> None:
    lab = shared
    # dockerfw creates Docker's chain for IPv6, empty; everything else must be unchanged.
    before = {
        4: foreign_lines(lab)[4],
        6: [":DOCKER-USER -", *_without_docker_user(foreign_lines(lab)[6])],
    }
    lab.load(document(allow("container", 8080), allow("host", 22)))
    assert foreign_lines(lab)[4] == before[4]
    # Docker up to 28.2.1 has the first one, later releases the second.
    assert {"-A DOCKER-USER -j RETURN", "-A FORWARD -j DOCKER-FORWARD"} & set(before[4])
    assert sorted(foreign_lines(lab)[6]) == sorted(before[6])
    lab.load(document(allow("container", 8081)), revision=2)
    lab.load(document(), revision=3)
    assert foreign_lines(lab)[4] == before[4]


def _without_docker_user(lines: list[str]) -> list[str]:
    return [line for line in lines if not line.startswith(":DOCKER-USER")]


def test_an_allowed_source_is_still_banned_by_fail2ban(shared: Lab) -> None:
    lab = shared
    lab.load(document(allow("container", 8080), allow("host", 22)))
    with listening(lab.host, HOST, 22):
        assert try_port(lab.client, HOST, 22, source=CLIENT) == "connected"
        # fail2ban rejects with port-unreachable, which looks like a closed port to a client.
        assert try_port(lab.client, HOST, 22, source=STRANGER) == "closed"
    assert fetch(lab.client, HOST, 8080, source=CLIENT) == "web"
    assert try_port(lab.client, HOST, 8080, source=NEIGHBOUR) == "silent"


def test_a_rule_before_our_jump_is_noticed_and_our_jump_moves_first(shared: Lab) -> None:
    lab = shared
    lab.load(document(allow("host", 22)))
    lab.host.iptables("-I", "INPUT", "1", "-p", "udp", "-m", "multiport", "--dports", "53", "-j", "f2b-sshd")
    try:
        assert not lab.plan().empty
        before = foreign_lines(lab)[4]
        lab.load(document(allow("host", 22)))
        assert foreign_lines(lab)[4] == before
    finally:
        lab.host.iptables("-D", "INPUT", "-p", "udp", "-m", "multiport", "--dports", "53", "-j", "f2b-sshd")
