"""An apply of the running product, from the POST until the kernel and the page have it, and its memory."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, NamedTuple

from dockerfw.chains.render import render_restore
from dockerfw.document.document import parse_document
from dockerfw.iptables.parse import parse_save
from scripts.benchmarks.documents import make_object
from scripts.benchmarks.measure import Row, medians, milliseconds, paired_ratio, up_to
from scripts.benchmarks.running import Site
from tests.browser.stack import ROOT
from tests.rig.namespace import FAMILIES, iptables_program, wait_until

# The rounds of each size.
SIZES: Final = {10: 5, 1_000: 5, 5_000: 3, 10_000: 2}
AIMS: Final = {1_000: "at most 100 ms", 5_000: "at most 1.0 x", 10_000: "at most 1.0 x"}


class Seconds(NamedTuple):
    """One apply, beside iptables alone with the same texts."""

    bare: float
    loaded: float
    on_top: float
    answered: float
    shown: float
    done: float


def measure_apply(site: Site, most: int) -> Iterator[Row]:
    """Measure the time from the POST until both families are in the kernel, beside iptables alone."""
    for size in up_to(most, SIZES):
        site.import_rules(size, note="before")
        site.wait_confirmed(site.apply()[1])
        with _watch(site) as watch:
            rounds = [_apply(site, watch, size, f"round {number}") for number in range(SIZES[size])]
        found = Seconds(*medians(rounds))
        loaded, on_top = (paired_ratio(rounds, at, 0) for at in (1, 2))
        what, aim = "apply: from the POST to the rules in the kernel", AIMS.get(size)
        yield from [
            milliseconds(f"{what}, beside iptables", size, found.loaded, found.bare, ratio=loaded),
            milliseconds(
                f"{what}, on top of iptables", size, found.on_top, found.bare, ratio=on_top, aim=aim
            ),
            milliseconds("apply: the answer to the POST", size, found.answered),
            milliseconds(
                "apply: from the rules in the kernel to the outcome on the page",
                size,
                found.shown,
                aim="deliver first" if size >= 1_000 else None,
            ),
            milliseconds("apply: from the POST to Keep being done", size, found.done),
        ]


def _apply(site: Site, watch: Iterator[tuple[float, str]], size: int, note: str) -> Seconds:
    site.import_rules(size, note=note)
    began, page = site.apply()
    loaded = _both_families(watch)
    status = f"{page.url}status/"
    wait_until("the outcome", lambda: 'data-state="awaiting"' in site.alice.get(status).text)
    shown = time.monotonic()
    site.wait_confirmed(page)
    done = time.monotonic() - began
    bare = _restore_alone(site, watch, size, note)
    return Seconds(bare, loaded - began, loaded - began - bare, page.seconds, shown - loaded, done)


@contextmanager
def _watch(site: Site) -> Iterator[Iterator[tuple[float, str]]]:
    """Yield the transactions of the sandbox's kernel as they happen: when, and the families."""
    command = site.inside(sys.executable, "-m", "scripts.benchmarks.watch")
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as watcher:
        assert watcher.stdout is not None
        watcher.stdout.readline()
        try:
            yield ((float(moment), families) for moment, families in map(str.split, watcher.stdout))
        finally:
            watcher.kill()


def _both_families(watch: Iterator[tuple[float, str]]) -> float:
    """Return when both families had changed, on the monotonic clock."""
    touched: set[str] = set()
    for moment, families in watch:
        touched |= set(families)
        if "?" in touched or touched >= {"4", "6"}:
            return moment
    raise LookupError("the watch of the kernel ended")


def _restore_alone(site: Site, watch: Iterator[tuple[float, str]], size: int, note: str) -> float:
    """Load the same texts by iptables alone, and return the seconds until both are in the kernel."""
    document = parse_document(make_object(size, note=note))
    texts = {}
    for family in FAMILIES:
        saved = site.stack.in_sandbox(iptables_program("nft", family, "save"))
        texts[family] = render_restore(document, family, live=parse_save(saved), counters=True)
    began = time.monotonic()
    for family in FAMILIES:
        subprocess.run(
            site.inside(iptables_program("nft", family, "restore"), "-n", "-c"),
            input=texts[family],
            text=True,
            check=True,
            timeout=600,
        )
    return _both_families(watch) - began
