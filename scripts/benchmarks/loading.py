"""What it takes to load rules, sets and lists: beside iptables and ipset alone, and beside plain lines."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from itertools import product
from pathlib import Path
from typing import Final

from dockerfw.chains.group_sets import bound_group_set, render_group_set
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.render import render, render_rules, write_restore
from dockerfw.document.document import to_json_object
from dockerfw.document.values import Document, Group
from dockerfw.host.loading import load
from dockerfw.host.static_sets import fill_static_sets
from dockerfw.iptables.parse import parse_save
from dockerfw.store.state import StateDirectory
from scripts.benchmarks.measure import Row, in_turn, medians, milliseconds, paired_ratio, up_to
from scripts.benchmarks.sites import CLIENT, HOST, LINES, PORT, document_of, document_of_list, make_site
from tests.rig.host_states import answer, order, run, watchdogs
from tests.rig.namespace import FAMILIES, Namespace, iptables_program, wait_until

ALLOWANCES: Final = (10, 1_000, 10_000, 100_000)
LISTS: Final = (1_000, 100_000, 1_000_000)
SMALL: Final = 10
ROUNDS: Final = 11
LOADS: Final = 41
# Dial until standard input ends, and print the attempts, and those that the port did not answer.
_WATCH = """
import errno, select, socket, sys
tried = failed = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    found = socket.socket()
    found.settimeout(5)
    tried += 1
    failed += found.connect_ex((sys.argv[1], int(sys.argv[2]))) != errno.ECONNREFUSED
    found.close()
    if tried == 1:
        print("dialing", flush=True)
print(tried, failed)
"""


def measure_sets(most: int) -> list[Row]:
    """Measure loads into a kernel without the rules, of as many ports as allowances and of one port."""
    rows = []
    for allowances, one_port in product(up_to(most, ALLOWANCES), (False, True)):
        document = document_of("host", allowances, one_port=one_port)
        calls = [
            partial(_load_by_dockerfw, document),
            partial(_load_bare, document, USUAL),
            partial(_load_bare, document, LINES),
        ]
        rounds = in_turn(calls, rounds=3 if allowances <= 10_000 else 1)
        ours, bare, lines = medians(rounds)
        of = "allowances for one port" if one_port else "allowances for as many ports"
        aim = "at most 0.33 x" if (allowances, one_port) == (10_000, True) else None
        rows += [
            milliseconds(
                f"load {of}, beside iptables and ipset",
                allowances,
                ours,
                bare,
                ratio=paired_ratio(rounds, 0, 1),
            ),
            milliseconds(
                f"load {of}, beside their lines",
                allowances,
                bare,
                lines,
                ratio=paired_ratio(rounds, 1, 2),
                aim=aim,
            ),
        ]
    return rows


def measure_small(most: int) -> list[Row]:
    """Measure a small apply: beside the same without sets and dispatch, and beside iptables alone."""
    if most < SMALL:
        return []
    document = document_of("host", SMALL)
    with Namespace("bench") as host, host.entered(), tempfile.TemporaryDirectory() as folder:
        host.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n")
        _compile_and_load(host, document, USUAL)
        calls = [partial(_compile_and_load, host, document, limits) for limits in (USUAL, LINES)]
        rounds = in_turn(calls, rounds=LOADS)
        state = StateDirectory(Path(folder) / "state")
        state.prepare()
        numbers = iter(range(1, ROUNDS + 1))
        applies = in_turn(
            [lambda: _apply(state, document, next(numbers)), lambda: _restore_both(host, document)],
            rounds=ROUNDS,
        )
    (ours, lines), (whole, bare) = medians(rounds), medians(applies)
    compiled, plain = (
        {
            line
            for family in FAMILIES
            for line in write_restore(render_rules(document, family, limits=limits), family).splitlines()
        }
        for limits in (USUAL, LINES)
    )
    return [
        Row("lines of the text that sets and dispatch change", SMALL, len(compiled ^ plain), "", aim="0"),
        milliseconds(
            "compile and load rules, beside lines only", SMALL, ours, lines, ratio=paired_ratio(rounds, 0, 1)
        ),
        milliseconds(
            "apply rules until the window is open, beside iptables",
            SMALL,
            whole,
            bare,
            ratio=paired_ratio(applies, 0, 1),
        ),
    ]


def measure_lists(most: int) -> list[Row]:
    """Measure how long the contents of a list take to change, while a client that both name dials on."""
    rows = []
    for size in up_to(most, LISTS):
        with make_site() as site:
            former, new = (
                [*(f"{first}.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(size - 1)), CLIENT]
                for first in (11, 12)
            )
            group = Group("list", "feed", url="https://lists.example.org/")
            name = bound_group_set(group, 4)
            site.host.run("ipset", "restore", stdin=render_group_set(name, former), timeout=600)
            site.load(render_rules(document_of_list(group), 4))
            bare = f"create bare hash:net family inet maxelem {size}\n"
            bare += "".join(f"add bare {each}\n" for each in new)
            floor = _seconds_of(site.host, "ipset", "restore", stdin=bare)
            site.host.run("ipset", "destroy", "bare")
            swap = render_group_set(name, new)
            with _watched(site.client) as watch:
                took = _seconds_of(site.host, "ipset", "-exist", "restore", stdin=swap)
            tried, failed = map(int, watch)
            memory = re.search(r"Size in memory: (\d+)", site.host.output("ipset", "list", "-terse", name))
        aim = "at most 1,000 ms" if size == 100_000 else None
        rows += [
            milliseconds("change a list by a swap, beside filling a bare set", size, took, floor, aim=aim),
            Row("attempts of an allowed client during a swap", size, tried, ""),
            Row("attempts of an allowed client that failed", size, failed, "", aim="0"),
        ]
        if memory:
            rows.append(Row("kernel memory of a list", size, int(memory[1]) / 1e6, "MB"))
    return rows


def _load_by_dockerfw(document: Document) -> float:
    """Return the seconds of the steps of an apply that fill sets and load rules."""
    with make_site() as site, site.host.entered():
        rendering = render_rules(document, 4)
        text = write_restore(rendering, 4, live=parse_save(site.host.save()))
        began = time.perf_counter()
        fill_static_sets(rendering.sets)
        load("nft", 4, text, seconds=600)
        return time.perf_counter() - began


def _load_bare(document: Document, limits: Thresholds) -> float:
    with make_site() as site:
        return site.load(render_rules(document, 4, limits=limits))


def _compile_and_load(host: Namespace, document: Document, limits: Thresholds) -> float:
    """Return the seconds from a document to its rules in the kernel, both families."""
    live = {family: parse_save(host.save(family=family)) for family in FAMILIES}
    began = time.perf_counter()
    for family in FAMILIES:
        text = write_restore(render_rules(document, family, limits=limits), family, live=live[family])
        load("nft", family, text)
    return time.perf_counter() - began


def _apply(state: StateDirectory, document: Document, sequence: int) -> float:
    """Return the seconds of an apply by the root worker's code; it is then kept."""
    wanted = order(to_json_object(document), sequence=sequence)
    began = time.perf_counter()
    outcome = run(wanted, state)
    took = time.perf_counter() - began
    if outcome.state != "awaiting" or answer("keep", state).state != "confirmed":
        raise LookupError(f"the apply was not kept: {outcome.error}")
    wait_until("the watchdog's end", lambda: not watchdogs(state))
    return took


def _restore_both(host: Namespace, document: Document) -> float:
    """Return the seconds of iptables alone with the texts of an apply."""
    took = 0.0
    for family in FAMILIES:
        live = parse_save(host.save(family=family, counters=True))
        text = write_restore(render(document, family), family, live=live, counters=True)
        took += _seconds_of(host, iptables_program("nft", family, "restore"), "-n", "-c", stdin=text)
    return took


def _seconds_of(host: Namespace, *command: str, stdin: str) -> float:
    began = time.perf_counter()
    host.run(*command, stdin=stdin, timeout=600)
    return time.perf_counter() - began


@contextmanager
def _watched(client: Namespace) -> Iterator[list[bytes]]:
    """Dial on during a `with` block; the list is then the attempts and those that failed."""
    words = [*client.prefix, sys.executable, "-c", _WATCH, HOST, str(PORT)]
    found: list[bytes] = []
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as dialing:
        assert dialing.stdout is not None
        dialing.stdout.readline()
        yield found
        found += dialing.communicate(b"", timeout=600)[0].split()
