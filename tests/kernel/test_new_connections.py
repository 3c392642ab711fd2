"""The matches of dates and limits are written as iptables-save prints them, so they are saved as they are."""

from __future__ import annotations

import pytest

from dockerfw.chains.new_connections import LAST_TIME, limit_match, time_match
from dockerfw.iptables.canonical import canonical_text
from tests.rig.namespace import Backend, Family, Namespace, iptables_program

pytestmark = pytest.mark.kernel

MOMENT = "2026-11-30T18:00:00Z"
COUNTS = (*range(1, 64), 90, 100, 119, 120, 600, 997, 999, 1000, 1440, 3600, 5000, 7777, 10_000)
UNITS = ("second", "minute", "hour")


def saved(namespace: Namespace, backend: Backend, family: Family, lines: list[str], zone: str) -> list[str]:
    """Load lines in an own chain, and return them as they are saved."""
    text = "\n".join(["*filter", ":OWN - [0:0]", *lines, "COMMIT", ""])
    zones = {"TZ": zone}
    namespace.run(iptables_program(backend, family, "restore"), stdin=text, environment=zones)
    save = namespace.run(iptables_program(backend, family, "save"), "-t", "filter", environment=zones)
    return [line for line in save.stdout.decode().splitlines() if line.startswith("-A OWN ")]


@pytest.mark.parametrize("zone", ["UTC", "EST5EDT", "ABC-5:30"])
def test_dates_are_saved_as_written(
    namespace: Namespace, backend: Backend, family: Family, zone: str
) -> None:
    ends = [("", "2001-02-03T04:05:06Z"), (MOMENT, MOMENT), (MOMENT, ""), ("", f"{LAST_TIME}Z")]
    ends += [("1970-01-01T00:00:01Z", "1970-01-01T00:00:02Z"), (MOMENT, "2038-01-19T03:14:06Z")]
    lines = [f"-A OWN -p tcp -m tcp --dport 22 {time_match(*each)} -j RETURN" for each in ends]
    assert "-m time --datestart 2026-11-30T18:00:00 --datestop 2038-01-19T03:14:07 " in lines[2]
    assert saved(namespace, backend, family, lines, zone) == lines


def test_limits_are_saved_as_written(namespace: Namespace, backend: Backend, family: Family) -> None:
    lines = [
        f"-A OWN {time_match(MOMENT, '')} {limit_match('k3f9', f'{count}/{unit}', family)} -j RETURN"
        for unit in UNITS
        for count in COUNTS
    ]
    assert saved(namespace, backend, family, lines, "UTC") == lines


def test_limits_as_people_write_them_are_the_same_rule(
    namespace: Namespace, backend: Backend, family: Family
) -> None:
    """The save names another unit for some, and the expiry for some that are written without one."""
    lines = [
        f"-A OWN -m hashlimit --hashlimit-upto {count}/{unit} --hashlimit-burst {count}"
        f" --hashlimit-mode srcip --hashlimit-name q{family}-{unit}-{count}{expiry} -j RETURN"
        for unit in UNITS
        for count in COUNTS
        for expiry in ("", " --hashlimit-htable-expire 60000")
    ]
    found = saved(namespace, backend, family, lines, "UTC")
    assert found != lines
    assert [canonical_text(line, family) for line in found] == [
        canonical_text(line, family) for line in lines
    ]
