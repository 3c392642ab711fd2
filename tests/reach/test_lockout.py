"""Whether somebody would still get in: from where, by which interface, to which address and port."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from dockerfw.reach.listening import Listener
from dockerfw.reach.lockout import (
    LockoutAnswer,
    check_access,
    check_access_from_anywhere,
    ssh_ports,
    worst,
)
from dockerfw.simulation.surroundings import HostInterface, Surroundings
from tests.rig.docker_world import SURROUNDINGS, loaded
from tests.rig.documents import document

RULES = (
    {"scope": "host", "protocol": "tcp", "ports": ["22"], "source": "203.0.113.0/24"},
    {"scope": "container", "protocol": "tcp", "ports": ["8080"]},
)
LATER = ("-I INPUT 1 -s 203.0.113.5 -m quota --quota 9 -j DROP",)


def ask(source: str, port: int = 22, dialled: str = "", **settings: Any) -> LockoutAnswer:
    """Ask for one address after a load of RULES."""
    return check_access(
        loaded(document(*RULES, **settings), above=LATER),
        SURROUNDINGS,
        what="SSH",
        source=ip_address(source),
        port=port,
        dialled=ip_address(dialled) if dialled else None,
    )


@pytest.mark.parametrize(
    ("source", "port", "dialled", "can", "reason"),
    [
        ("203.0.113.7", 22, "", "yes", "203.0.113.7 gets through to 22/tcp"),
        ("203.0.113.7", 22, "192.0.2.1", "yes", "203.0.113.7 gets through to 22/tcp"),
        (
            "198.51.100.7",
            22,
            "",
            "no",
            "198.51.100.7 would be refused at 22/tcp by rule 1 of filter FILTERS",
        ),
        ("198.51.100.7", 8080, "", "yes", "198.51.100.7 gets through to 8080/tcp"),
        ("198.51.100.7", 5432, "", "no", "198.51.100.7 would be refused at 5432/tcp by"),
        ("2001:db8:9::1", 22, "", "no", "2001:db8:9::1 would be refused at 22/tcp by"),
        ("203.0.113.7", 22, "192.0.2.77", "unknown", "192.0.2.77, which you dial, is not an address of"),
        ("127.0.0.1", 8000, "127.0.0.1", "yes", "you are on the host itself (127.0.0.1)"),
        ("192.0.2.1", 8000, "", "yes", "you are on the host itself (192.0.2.1)"),
        ("::1", 8000, "", "yes", "you are on the host itself (::1)"),
    ],
)
def test_who_gets_in(source: str, port: int, dialled: str, can: str, reason: str) -> None:
    found = ask(source, port, dialled)
    assert (found.what, found.can, found.reason[: len(reason)]) == ("SSH", can, reason)


def test_the_host_itself_is_shut_out_too_where_lo_is_not_trusted() -> None:
    assert ask("127.0.0.1", 8000, trusted_interfaces=[]).can == "no"


def test_what_cannot_be_decided_is_said() -> None:
    found = ask("203.0.113.5")
    assert found.can == "unknown"
    assert "quota" in found.reason


def test_without_a_way_back_or_rules_nothing_is_claimed() -> None:
    nowhere = Surroundings(SURROUNDINGS.interfaces, {})
    prepared = loaded(document(*RULES))
    source = ip_address("203.0.113.7")
    found = check_access(prepared, nowhere, what="SSH", source=source, port=22)
    assert (found.can, found.reason) == ("unknown", "by which interface 203.0.113.7 comes in is not known")
    found = check_access({6: prepared[6]}, SURROUNDINGS, what="SSH", source=source, port=22)
    assert (found.can, found.reason) == ("unknown", "the rules of IPv4 could not be read")
    bare = Surroundings((HostInterface("ens33", (), True),), {4: ("ens33",)})
    found = check_access(prepared, bare, what="SSH", source=source, port=22)
    assert (found.can, found.reason) == ("unknown", "ens33 has no IPv4 address")


def test_the_worst_answer_counts_and_sshd_says_its_port() -> None:
    yes, no, unknown = (
        LockoutAnswer("", "yes", ""),
        LockoutAnswer("", "no", ""),
        LockoutAnswer("", "unknown", ""),
    )
    assert (worst([yes, no, unknown]), worst([yes, unknown]), worst([yes]), worst([])) == (
        "no",
        "unknown",
        "yes",
        "yes",
    )
    assert worst([LockoutAnswer("", "no", "", already=True), unknown]) == "unknown"
    assert ssh_ports([]) == (22,)
    found = [
        Listener(4, "tcp", None, 2222, process="sshd"),
        Listener(6, "tcp", None, 2022, unit="ssh.socket"),
        Listener(4, "tcp", None, 80, process="nginx"),
        Listener(4, "udp", None, 22, process="sshd"),
    ]
    assert ssh_ports(found) == (2022, 2222)


@pytest.mark.parametrize(
    ("dialled", "port", "can", "reason"),
    [
        # Over IPv6 Docker's proxy listens on the host for the container's published port.
        ("2001:db8::1", 8080, "yes", "anybody gets through to 8080/tcp"),
        ("2001:db8::1", 5432, "no", "everybody would be refused at 5432/tcp over IPv6"),
        ("192.0.2.1", 22, "unknown", "Docker's own proxy passes you on, and hides the address"),
        ("192.0.2.77", 22, "unknown", "192.0.2.77, which you dial, is not an address of this host"),
        ("", 8080, "unknown", "Docker's own proxy passes you on, and hides the address"),
    ],
)
def test_who_gets_in_whose_address_is_hidden(dialled: str, port: int, can: str, reason: str) -> None:
    found = check_access_from_anywhere(
        loaded(document(*RULES), above=()),
        SURROUNDINGS,
        what="this dashboard",
        port=port,
        dialled=ip_address(dialled) if dialled else None,
    )
    assert (found.can, found.reason[: len(reason)]) == (can, reason)
