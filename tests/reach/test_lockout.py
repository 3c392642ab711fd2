"""Lock-out: whether an admin could still connect, by source, interface, address and port."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from dockerfw.reach import sentences
from dockerfw.reach.listening import Listener
from dockerfw.reach.lockout import LockoutAnswer, check_access, check_access_from_anywhere, ssh_ports, worst
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
        ("203.0.113.7", 22, "", "yes", "203.0.113.7 can reach 22/tcp"),
        ("203.0.113.7", 22, "192.0.2.1", "yes", "203.0.113.7 can reach 22/tcp"),
        (
            "198.51.100.7",
            22,
            "",
            "no",
            "198.51.100.7 would be refused at 22/tcp by rule 1 of filter FILTERS",
        ),
        ("198.51.100.7", 8080, "", "yes", "198.51.100.7 can reach 8080/tcp"),
        ("198.51.100.7", 5432, "", "no", "198.51.100.7 would be refused at 5432/tcp by"),
        ("2001:db8:9::1", 22, "", "no", "2001:db8:9::1 would be refused at 22/tcp by"),
        ("203.0.113.7", 22, "192.0.2.77", "unknown", "you connect to 192.0.2.77, which is not an address of"),
        ("127.0.0.1", 8000, "127.0.0.1", "yes", "you are on the host itself (127.0.0.1)"),
        ("192.0.2.1", 8000, "", "yes", "you are on the host itself (192.0.2.1)"),
        ("::1", 8000, "", "yes", "you are on the host itself (::1)"),
    ],
)
def test_access_of_one_address(source: str, port: int, dialled: str, can: str, reason: str) -> None:
    found = ask(source, port, dialled)
    assert (found.what, found.can, found.reason[: len(reason)]) == ("SSH", can, reason)


def test_the_host_itself_is_locked_out_if_lo_is_not_trusted() -> None:
    assert ask("127.0.0.1", 8000, trusted_interfaces=[]).can == "no"


def test_undecidable_rules_give_unknown() -> None:
    found = ask("203.0.113.5")
    assert found.can == "unknown"
    assert "quota" in found.reason


def test_without_route_or_rules_the_answer_is_unknown() -> None:
    nowhere = Surroundings(SURROUNDINGS.interfaces, {})
    prepared = loaded(document(*RULES))
    source = ip_address("203.0.113.7")
    found = check_access(prepared, nowhere, what="SSH", source=source, port=22)
    assert (found.can, found.reason) == ("unknown", sentences.incoming_interface_unknown(source))
    found = check_access({6: prepared[6]}, SURROUNDINGS, what="SSH", source=source, port=22)
    assert (found.can, found.reason) == ("unknown", sentences.rules_unread(4))
    bare = Surroundings((HostInterface("ens33", (), True),), {4: ("ens33",)})
    found = check_access(prepared, bare, what="SSH", source=source, port=22)
    assert (found.can, found.reason) == ("unknown", sentences.no_address("ens33", 4))


def test_the_worst_answer_counts_and_sshd_names_its_ports() -> None:
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
        ("2001:db8::1", 8080, "yes", sentences.every_address_reaches(8080)),
        ("2001:db8::1", 5432, "no", sentences.every_address_refused(5432, 6)),
        ("192.0.2.1", 22, "unknown", sentences.HIDDEN_BY_PROXY),
        ("192.0.2.77", 22, "unknown", "you connect to 192.0.2.77, which is not an address of this host"),
        ("", 8080, "unknown", sentences.HIDDEN_BY_PROXY),
    ],
)
def test_access_with_a_hidden_address(dialled: str, port: int, can: str, reason: str) -> None:
    found = check_access_from_anywhere(
        loaded(document(*RULES), above=()),
        SURROUNDINGS,
        what="this dashboard",
        port=port,
        dialled=ip_address(dialled) if dialled else None,
    )
    assert (found.can, found.reason[: len(reason)]) == (can, reason)
