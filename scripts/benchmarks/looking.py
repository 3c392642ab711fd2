"""A look of the root worker at the kernel, beside the saves of both families alone."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from dockerfw.agent.drift_monitor import DriftMonitor
from dockerfw.document.document import to_json_object
from dockerfw.store.state import StateDirectory
from scripts.benchmarks.documents import make_document
from scripts.benchmarks.measure import (
    Row,
    in_turn,
    medians,
    milliseconds,
    paired_ratio,
    processor_seconds,
    up_to,
)
from tests.rig.host_states import HOST, answer, order, run, watchdogs
from tests.rig.namespace import FAMILIES, Namespace, wait_until

SIZES: Final = (10, 1_000, 10_000)
ROUNDS: Final = 5


def measure_look(most: int) -> Iterator[Row]:
    """Measure a look at a kernel that holds the confirmed rules, and what it takes on top of the saves."""
    for size in up_to(most, SIZES):
        with Namespace("bench") as host, host.entered(), tempfile.TemporaryDirectory() as folder:
            host.add_interface()
            host.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n")
            state = StateDirectory(Path(folder) / "state")
            state.prepare()
            outcome = run(order(to_json_object(make_document(size))), state)
            if outcome.state != "awaiting" or answer("keep", state).state != "confirmed":
                raise LookupError(f"the apply was not kept: {outcome.error}")
            wait_until("the watchdog's end", partial(_watchdog_ended, state))
            monitor = DriftMonitor(state, host=HOST, tell=lambda _: None)
            # As the supervisor does for the processes that it forks.
            monitor.remember()
            rounds, processor = (
                in_turn([partial(_save, host, clock), partial(_look, monitor, clock)], rounds=ROUNDS)
                for clock in (time.perf_counter, processor_seconds)
            )
        (saves, look), ratio = medians(rounds), paired_ratio(rounds, 1, 0)
        on_top, busy = (medians((look - saves,) for saves, look in one)[0] for one in (rounds, processor))
        yield from [
            milliseconds("look at the kernel, beside a save for each family", size, look, saves, ratio=ratio),
            milliseconds("look at the kernel, on top of the saves", size, on_top, aim="at most 20 ms"),
            milliseconds(
                "look at the kernel: processor, on top of the saves", size, busy, aim="at most 20 ms"
            ),
        ]


def _watchdog_ended(state: StateDirectory) -> bool:
    return not watchdogs(state)


def _look(monitor: DriftMonitor, clock: Callable[[], float]) -> float:
    began = clock()
    snapshot = monitor.look()
    took = clock() - began
    if snapshot.errors:
        raise LookupError(f"the look failed: {snapshot.errors[0].stderr}")
    return took


def _save(host: Namespace, clock: Callable[[], float]) -> float:
    began = clock()
    for family in FAMILIES:
        host.save(family=family, counters=True)
    return clock() - began
