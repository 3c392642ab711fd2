"""Chains: the order of rules, jumps, gotos, RETURN, policies, and the effect of undecided rules."""

from __future__ import annotations

import pytest

from dockerfw.simulation import sentences
from tests.simulation.hosts import filtered, trace, verdict

UNDECIDED = "-m recent --rcheck"


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["-A INPUT -j ACCEPT", "-A INPUT -j DROP"], "ACCEPT"),
        (["-A INPUT -s 203.0.113.5", "-A INPUT -j DROP"], "DROP"),
        ([":INPUT DROP"], "DROP"),
        ([":INPUT DROP", "-A INPUT -j RETURN", "-A INPUT -j ACCEPT"], "DROP"),
        ([":A -", "-A INPUT -j A", "-A INPUT -j DROP", "-A A -j RETURN", "-A A -j ACCEPT"], "DROP"),
        ([":A -", "-A INPUT -j A", "-A INPUT -j DROP", "-A A -s 10.0.0.1 -j ACCEPT"], "DROP"),
        ([":A -", "-A INPUT -g A", "-A INPUT -j DROP", "-A A -j RETURN"], "ACCEPT"),
        ([":A -", ":B -", "-A INPUT -j A", "-A INPUT -j DROP", "-A A -g B", "-A A -j ACCEPT"], "DROP"),
        ([":A -", ":B -", "-A INPUT -g A", "-A INPUT -j DROP", "-A A -j B", "-A A -j ACCEPT"], "ACCEPT"),
        (["-A INPUT -j LOG --log-prefix DROP", "-A INPUT -j NFLOG", "-A INPUT -j DROP"], "DROP"),
        (["-A INPUT -j TTL --ttl-set 5", "-A INPUT -j DROP"], "DROP"),
        ([":LOG -", "-A INPUT -j LOG", "-A LOG -j DROP"], "DROP"),
    ],
)
def test_verdicts_of_chains(lines: list[str], expected: str) -> None:
    assert verdict(filtered(*lines)) == expected


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        # The verdict is the same whether the rule matches or not.
        ([f"-A INPUT {UNDECIDED} -j ACCEPT"], "ACCEPT"),
        ([f"-A INPUT {UNDECIDED} -j LOG", "-A INPUT -j DROP"], "DROP"),
        ([f"-A INPUT {UNDECIDED} -j RETURN"], "ACCEPT"),
        ([":A -", f"-A INPUT {UNDECIDED} -j A", "-A INPUT -j DROP", "-A A -j DROP"], "DROP"),
        ([":A -", f"-A INPUT {UNDECIDED} -g A", "-A INPUT -j DROP", "-A A -j DROP"], "DROP"),
        (
            [":A -", "-A INPUT -j A", f"-A A {UNDECIDED} -j RETURN", "-A A -j DROP", "-A INPUT -j DROP"],
            "DROP",
        ),
        ([f"-A INPUT {UNDECIDED} -s 10.0.0.1 -j DROP"], "ACCEPT"),
        (["-A INPUT -j ACCEPT", f"-A INPUT {UNDECIDED} -j DROP"], "ACCEPT"),
        # The rule makes a difference.
        ([f"-A INPUT {UNDECIDED} -j DROP"], "UNKNOWN"),
        ([f"-A INPUT {UNDECIDED} -j REJECT", "-A INPUT -j DROP"], "UNKNOWN"),
        ([f"-A INPUT {UNDECIDED} -j RETURN", "-A INPUT -j DROP"], "UNKNOWN"),
        ([":A -", f"-A INPUT {UNDECIDED} -j A", "-A A -j DROP"], "UNKNOWN"),
        ([":A -", f"-A INPUT {UNDECIDED} -g A", "-A INPUT -j DROP"], "UNKNOWN"),
        ([":A -", "-A INPUT -j A", f"-A A {UNDECIDED} -j RETURN", "-A A -j DROP"], "UNKNOWN"),
        (["-A INPUT -j NFQUEUE"], "UNKNOWN"),
        (["-A INPUT -j WHATEVER", "-A INPUT -j DROP"], "UNKNOWN"),
        ([f"-A INPUT {UNDECIDED} -j WHATEVER"], "UNKNOWN"),
        ([":INPUT DROP", f"-A INPUT {UNDECIDED} -j WHATEVER"], "UNKNOWN"),
        (["-A INPUT -g NOWHERE"], "UNKNOWN"),
    ],
)
def test_an_undecided_rule_matters_only_if_both_paths_differ(lines: list[str], expected: str) -> None:
    assert verdict(filtered(*lines)) == expected


def test_unknown_names_the_rule_and_the_match() -> None:
    found = trace(filtered("-A INPUT -i lo -j ACCEPT", f"-A INPUT {UNDECIDED} --name x -j DROP")).verdict
    assert found.reason == (
        sentences.at_place(
            sentences.rule_place(2, "INPUT", "filter"),
            sentences.cannot_tell_whether(sentences.option_matches("-m recent --rcheck --name x")),
        )
    )
    assert found.passes is None
    assert found.step is not None
    assert (found.step.outcome, found.step.number) == ("unknown", 2)


def test_unknown_names_the_rule_that_matters() -> None:
    found = trace(
        filtered(f"-A INPUT {UNDECIDED} -j ACCEPT", "-A INPUT -p tcp --sport 9 -j DROP"), source_port=None
    )
    assert found.verdict.reason == "rule 2 of INPUT in filter: cannot tell whether source port is 9"


def test_an_unknown_target_is_named() -> None:
    found = trace(filtered("-A INPUT -j NFQUEUE --queue-num 3"))
    assert found.verdict.reason == (
        sentences.at_place(
            sentences.rule_place(1, "INPUT", "filter"),
            sentences.cannot_tell_effect("-j NFQUEUE --queue-num 3"),
        )
    )


@pytest.mark.parametrize(
    ("family", "lines", "answer"),
    [
        (4, ["-A INPUT -j REJECT"], "icmp-port-unreachable"),
        (6, ["-A INPUT -j REJECT"], "icmp6-port-unreachable"),
        (4, ["-A INPUT -j REJECT --reject-with icmp-host-prohibited"], "icmp-host-prohibited"),
        (4, ["-A INPUT -j REJECT --reject-with host-prohib"], "icmp-host-prohibited"),
        (4, ["-A INPUT -p tcp -j REJECT --reject-with tcp-reset"], "tcp-reset"),
    ],
)
def test_reject_has_its_answer(family: int, lines: list[str], answer: str) -> None:
    found = trace(filtered(*lines), 4 if family == 4 else 6).verdict
    assert (found.kind, found.reject_with) == ("REJECT", answer)


def test_chains_that_jump_in_circles_end() -> None:
    lines = [":A -", ":B -", "-A INPUT -j A", "-A A -j B", "-A B -j A"]
    found = trace(filtered(*lines)).verdict
    assert found.kind == "UNKNOWN"
    assert found.reason in {sentences.endless_jumps(chain, "filter") for chain in "AB"}


def test_chains_that_multiply_end() -> None:
    lines = [f":C{number} -" for number in range(12)]
    lines += [f"-A C{number} -j C{number + 1}" for number in range(11) for _ in range(6)]
    found = trace(filtered(*lines, "-A INPUT -j C0")).verdict
    assert found.kind == "UNKNOWN"


def test_many_undecided_rules_are_one_walk() -> None:
    lines = [f"-A INPUT {UNDECIDED} --name l{number} -j RETURN" for number in range(300)]
    assert verdict(filtered(*lines, "-A INPUT -j ACCEPT")) == "ACCEPT"
    assert verdict(filtered(*lines, "-A INPUT -j DROP")) == "UNKNOWN"


MARKS = [
    (["-A PREROUTING -j MARK --set-mark 5"], "-m mark --mark 5", "DROP"),
    (["-A PREROUTING -j MARK --set-xmark 0x5/0xffffffff"], "-m mark --mark 5", "DROP"),
    (["-A PREROUTING -j MARK --or-mark 6", "-A PREROUTING -j MARK --and-mark 4"], "-m mark --mark 4", "DROP"),
    (["-A PREROUTING -s 10.0.0.1 -j MARK --set-mark 5"], "-m mark --mark 5", "ACCEPT"),
    (["-A PREROUTING -j CONNMARK --set-mark 5"], "-m connmark --mark 5", "DROP"),
    (
        ["-A PREROUTING -j MARK --set-mark 5", "-A PREROUTING -j CONNMARK --save-mark"],
        "-m connmark --mark 5",
        "DROP",
    ),
    (
        ["-A PREROUTING -j CONNMARK --set-mark 5", "-A PREROUTING -j CONNMARK --restore-mark"],
        "-m mark --mark 5",
        "DROP",
    ),
    ([f"-A PREROUTING {UNDECIDED} -j MARK --set-mark 5"], "-m mark --mark 5", "UNKNOWN"),
    (
        [f"-A PREROUTING {UNDECIDED} -j MARK --set-mark 5", "-A PREROUTING -j MARK --set-mark 5"],
        "-m mark --mark 5",
        "DROP",
    ),
    ([f"-A PREROUTING {UNDECIDED} -j MARK --set-mark 0"], "-m mark --mark 0", "DROP"),
    # Only the bits that differ are unknown.
    ([f"-A PREROUTING {UNDECIDED} -j MARK --set-xmark 0x10/0xffffffff"], "-m mark ! --mark 0x1/0x1", "DROP"),
    ([f"-A PREROUTING {UNDECIDED} -j MARK --set-xmark 0x10/0xffffffff"], "-m mark --mark 0x1/0x11", "ACCEPT"),
    (
        [f"-A PREROUTING {UNDECIDED} -j MARK --set-xmark 0x10/0xffffffff"],
        "-m mark --mark 0x10/0x10",
        "UNKNOWN",
    ),
    (
        [f"-A PREROUTING {UNDECIDED} -j MARK --or-mark 0x10", "-A PREROUTING -j MARK --set-xmark 0x0/0x10"],
        "-m mark --mark 0x0/0x10",
        "DROP",
    ),
    (
        [f"-A PREROUTING {UNDECIDED} -j MARK --or-mark 0x10", "-A PREROUTING -j CONNMARK --save-mark"],
        "-m connmark --mark 0x1/0x1",
        "UNKNOWN",
    ),
    (["-A PREROUTING -j HMARK --hmark-mod 3"], "-m mark --mark 5", "UNKNOWN"),
]


@pytest.mark.parametrize(("lines", "match", "expected"), MARKS)
def test_marks_that_rules_set(lines: list[str], match: str, expected: str) -> None:
    rules = "\n".join(["*mangle", *lines, "COMMIT", filtered(f"-A INPUT {match} -j DROP")])
    assert verdict(rules) == expected


def test_a_set_that_rules_change_is_unknown() -> None:
    lines = ["-A INPUT -m set --match-set addresses src -j DROP"]
    assert verdict(filtered(*lines)) == "DROP"
    assert verdict(filtered(*lines, "-A INPUT -j SET --add-set addresses src")) == "UNKNOWN"
