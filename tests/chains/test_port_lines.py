"""The ports of lines in their usual form are those that the options say, and other lines are left alone."""

from __future__ import annotations

from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dockerfw.chains import packet_classes
from dockerfw.chains.packet_classes import _Named
from dockerfw.chains.port_lines import PortLine, read_port_line
from dockerfw.iptables.model import Rule


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("-p tcp -m tcp --dport 22 -j RETURN", ("", 6, ((22, 22),))),
        ("-s 192.0.2.0/24 -i eth0 -p 17 -m udp --dport 1:9 -j DROP", ("eth0", 17, ((1, 9),))),
        ("-d 192.0.2.1/32 -p tcp -m multiport --dports 80,90:99 -j RETURN", ("", 6, ((80, 80), (90, 99)))),
        (
            "-p tcp -m conntrack --ctorigdst 192.0.2.1 --ctorigdstport 80 --ctdir ORIGINAL "
            '-m comment --comment "dockerfw:a1" -j RETURN',
            ("", 6, ((80, 80),)),
        ),
    ],
)
def test_usual_lines(text: str, found: tuple[str, int, tuple[tuple[int, int], ...]]) -> None:
    assert read_port_line(f"-A FILTERS {text}") == PortLine(*found)


@pytest.mark.parametrize(
    "text",
    [
        "-p tcp -j RETURN",
        "-p tcp -m tcp ! --dport 22 -j RETURN",
        "! -p tcp -m tcp --dport 22 -j RETURN",
        "-p tcp -m tcp --dport ssh -j RETURN",
        "-p tcp -m tcp --dport 22 -m multiport --dports 1,2 -j RETURN",
        "-p tcp -m tcp --dport 22 -i eth0 -j RETURN",
        "-p tcp -m tcp --dport 22 -ieth0 -j RETURN",
        "-p tcp -m tcp --dport 22 --in-interface eth0 -j RETURN",
        '-p tcp -m tcp --dport 22 -m comment --comment "a\nport" -j RETURN',
        "-p tcp -m tcp --dport 22 -g FILTERS-DA-6",
        "-i + -p tcp -m tcp --dport 22 -j RETURN",
        "-p none -m tcp --dport 22 -j RETURN",
    ],
)
def test_other_lines(text: str) -> None:
    assert read_port_line(f"-A FILTERS {text}") is None


PARTS = st.lists(
    st.sampled_from(
        (
            *(
                "-s 192.0.2.1/32",
                "-d 192.0.2.2",
                "-i eth0",
                "! -i eth1",
                "-i +",
                "-p tcp",
                "-p udp",
                "-p 132",
            ),
            *(
                "-m tcp --dport 22",
                "-m tcp --dport 5:9",
                "-m tcp --dport 0:65535",
                "-m multiport --dports 1,7:8",
            ),
            *("-m conntrack --ctorigdstport 80 --ctdir ORIGINAL", "-m conntrack --ctstate NEW"),
            *("-m tcp ! --dport 99", "-m tcp --sport 3", '-m comment --comment "dockerfw:a1"', "-j RETURN"),
            *('-m comment --comment "-p udp"', "-g FILTERS"),
        )
    ),
    max_size=7,
)


@given(PARTS, PARTS.map(sorted))
def test_kinds_of_packets_are_the_same_without_the_short_way(mixed: list[str], ordered: list[str]) -> None:
    for parts in (mixed, ordered):
        rule = Rule("filter", "FILTERS", None, " ".join(["-A FILTERS", *parts]), 1)
        short, full = _Named(), _Named()
        short.read(rule, 4, ports=True)
        with patch.object(packet_classes, "read_port_line", return_value=None):
            full.read(rule, 4, ports=True)
        assert (short.interfaces, short.protocols) == (full.interfaces, full.protocols)
        assert set(short.kinds(4)) == set(full.kinds(4))
