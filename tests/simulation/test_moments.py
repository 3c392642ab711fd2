"""What `-m time` answers, alone and beside the real kernel."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from dockerfw.iptables.canonical import canonical_rule
from dockerfw.iptables.model import Rule, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore
from dockerfw.simulation.addresses import AddressSet
from dockerfw.simulation.simulate import prepare, simulate
from dockerfw.simulation.state import PacketState
from dockerfw.simulation.time_answers import time_answers
from tests.rig.namespace import BACKENDS, FAMILIES, Backend, Family, Namespace, iptables_program
from tests.simulation.hosts import HOST, UDP, filtered, packet, prepared, trace

WINDOW = "-m time --datestart 2026-11-30T18:00:00 --datestop 2027-01-31T18:00:00"
NIGHTS = "-m time --timestart 22:00 --timestop 06:00 --weekdays Fri"

YES, NO, UNKNOWN = "DROP", "ACCEPT", "UNKNOWN"


def at(text: str) -> int:
    """Return a UTC time such as 2026-11-30T18:00:00 in seconds."""
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp())


@pytest.mark.parametrize(
    ("match", "moment", "expected"),
    [
        (WINDOW, "2026-11-30T17:59:59", NO),
        (WINDOW, "2026-11-30T18:00:00", YES),
        (WINDOW, "2027-01-31T18:00:00", YES),
        (WINDOW, "2027-01-31T18:00:01", NO),
        (f"{WINDOW} --utc", "2027-01-01T00:00:00", YES),
        (f"{WINDOW} --kerneltz", "2027-01-01T00:00:00", UNKNOWN),
        ("-m time --datestart 2027", "2026-12-31T23:59:59", NO),
        ("-m time --datestart 2027", "2038-01-19T03:14:07", YES),
        ("-m time --datestart 2027", "2038-01-19T03:14:08", NO),
        ("-m time --datestop 2038-01-19T03:14:07", "2038-01-19T03:14:07", YES),
        ("-m time --datestop 2038-01-19T03:14:07", "2038-01-19T03:14:08", NO),
        ("-m time --datestop 2027-01-31T18", "1970-01-01T00:00:00", YES),
        ("-m time --datestart 2027-02-30", "2027-06-01T00:00:00", UNKNOWN),
        ("-m time", "2027-01-01T00:00:00", YES),
        ("-m time --timestart 08:00 --timestop 17:30", "2027-01-01T17:30:00", YES),
        ("-m time --timestart 08:00 --timestop 17:30", "2027-01-01T17:30:01", NO),
        ("-m time --timestart 08:00 --timestop 17:30", "2027-01-01T07:59:59", NO),
        ("-m time --timestart 12:00 --timestop 12:00", "2027-01-01T17:30:01", YES),
        # 2027-01-01 is a Friday. Without --contiguous the hours after midnight belong to the next day.
        (NIGHTS, "2027-01-01T23:00:00", YES),
        (NIGHTS, "2027-01-01T12:00:00", NO),
        (NIGHTS, "2027-01-02T05:00:00", NO),
        (f"{NIGHTS} --contiguous", "2027-01-02T05:00:00", YES),
        (f"{NIGHTS} --contiguous", "2027-01-01T05:00:00", NO),
        ("-m time ! --weekdays Fri,Sat", "2027-01-01T05:00:00", NO),
        ("-m time ! --weekdays Mon,Tue,Wed,Thu,Fri,Sat,Sun", "2027-01-01T05:00:00", NO),
        ("-m time --monthdays 1,31", "2027-01-31T05:00:00", YES),
        ("-m time ! --monthdays 1,31", "2027-01-31T05:00:00", NO),
    ],
)
def test_a_moment(match: str, moment: str, expected: str) -> None:
    around = replace(HOST, at=at(moment))
    assert trace(filtered(f"-A INPUT {match} -j DROP"), surroundings=around).verdict.kind == expected


def test_an_unknown_moment_is_undecided_with_the_reason() -> None:
    verdict = trace(filtered(f"-A INPUT {WINDOW} -j DROP")).verdict
    assert verdict.kind == UNKNOWN
    assert verdict.reason == (
        "rule 1 of INPUT in filter: cannot tell whether the time is 2026-11-30 18:00:00 UTC or later"
    )


def test_the_words_name_the_ends() -> None:
    compiled = prepared(filtered(f"-A INPUT {WINDOW} -j DROP"))
    inside = simulate(compiled.at(at("2027-01-01T00:00:00")), packet())
    assert inside.steps[-1].why == (
        "the time is 2026-11-30 18:00:00 UTC or later, "
        "the time is 2027-01-31 18:00:00 UTC or earlier: dropped"
    )
    later = simulate(compiled.at(at("2027-02-01T00:00:00")), packet())
    assert later.steps[1].why == "the time is after 2027-01-31 18:00:00 UTC"


def test_compiled_rules_serve_at_any_moment() -> None:
    compiled = prepared(filtered(f"-A INPUT {WINDOW} -j DROP"))
    later = compiled.at(at("2027-01-01T00:00:00"))
    assert later.chains is compiled.chains
    assert (simulate(compiled, packet()).verdict.kind, simulate(later, packet()).verdict.kind) == (
        UNKNOWN,
        YES,
    )


def test_answers_change_only_at_the_ends() -> None:
    rules = parse_restore(filtered(f"-A INPUT {WINDOW} -j DROP", "-A INPUT -p tcp -j DROP"), family=4)
    moments = ("2026-11-30T17:59:59", "2026-11-30T18:00:00", "2027-01-31T18:00:00", "2027-01-31T18:00:01")
    answers = [time_answers(rules, 4, at(moment)) for moment in moments]
    assert answers == [(False, True), (True, True), (True, True), (True, False)]
    assert time_answers(rules, 4, None) == (None, None)
    assert time_answers(parse_restore(filtered("-A INPUT -j DROP"), family=4), 4, 0) == ()


_CASES = ("--datestart {0}", "--datestop {0}", "--datestart {0} --datestop {0}")
_SEND = """
import socket
with socket.socket(socket.{0}, socket.SOCK_DGRAM) as sender:
    sender.sendto(b"x", ("{1}", 9))
"""
_LOOPBACK: dict[Family, tuple[str, str]] = {4: ("AF_INET", "127.0.0.1"), 6: ("AF_INET6", "::1")}


@pytest.mark.kernel
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_kernel_takes_both_ends_in_utc(backend: Backend, family: Family) -> None:
    """One packet meets rules for each second around it, and their counters tell which second it was."""
    now = int(time.time())
    texts = [f"{datetime.fromtimestamp(now + each, UTC):%Y-%m-%dT%H:%M:%S}" for each in range(-5, 25)]
    day = f"{datetime.fromtimestamp(now, UTC):%a}"
    matches = [case.format(text) for text in texts for case in _CASES]
    matches += [f"--weekdays {day}", f"! --weekdays {day}"]
    rules = filtered(*(f"-A INPUT -p udp -m time {match}" for match in matches))
    namespace = Namespace("moments")
    try:
        # The time zone of the programs changes nothing.
        restore = iptables_program(backend, family, "restore")
        namespace.run(restore, stdin=rules, environment={"TZ": "America/New_York"})
        first = int(time.time())
        namespace.run("python3", "-c", _SEND.format(*_LOOPBACK[family]))
        last = int(time.time())
        saved = parse_save(namespace.save(backend, family, counters=True))
    finally:
        namespace.delete()
    assert [canonical_rule(rule, family) for rule in rules_of(saved)] == [
        canonical_rule(rule, family) for rule in rules_of(parse_restore(rules, family=family))
    ]
    counted = [rule.counters is not None and rule.counters.packets == 1 for rule in rules_of(saved)]
    compiled = prepare(saved, HOST, family).chains["filter", "INPUT"].rules
    states = [PacketState(family, UDP, None, at=moment) for moment in range(first, last + 1)]
    everyone = AddressSet.everything(family)
    assert counted in [[rule.decide(state, everyone) for rule in compiled] for state in states]


def rules_of(ruleset: Ruleset) -> tuple[Rule, ...]:
    chain = ruleset.chain("filter", "INPUT")
    assert chain is not None
    return chain.rules
