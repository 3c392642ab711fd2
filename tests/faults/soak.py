"""Injects faults at random and counts what was lost: `python -m tests.faults.soak --faults 200 --seed 1`."""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from tests.faults.play import Lost, play
from tests.faults.rig import Rig
from tests.faults.scenario import Scenario, deal
from tests.rig.namespace import BACKENDS, Backend, CommandError, why_unavailable

RIG_LIVES = 25


@dataclass(slots=True)
class Tally:
    """The injected faults, what was lost, and the longest delay until the rules were right."""

    counts: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    hosts: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    losses: list[tuple[Scenario, str]] = field(default_factory=list)
    latest: float = 0.0
    unbroken: int = 0
    restarts: int = 0


def soak(
    faults: int,
    seed: int,
    *,
    rigs: int = 3,
    backends: Sequence[Backend] = BACKENDS,
    say: Callable[[str], None] = print,
) -> Tally:
    """Inject so many faults, on so many hosts side by side."""
    dice = random.Random(seed)
    waiting: SimpleQueue[Scenario] = SimpleQueue()
    for scenario in deal(faults, dice, backends):
        waiting.put(scenario)
    tally = Tally()
    threads = [threading.Thread(target=_work, args=(waiting, tally, say)) for _ in range(min(rigs, faults))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def _work(waiting: SimpleQueue[Scenario], tally: Tally, say: Callable[[str], None]) -> None:
    rig, lives = None, 0
    try:
        while True:
            scenario = waiting.get_nowait()
            if rig is None or not lives or not _fits(rig, scenario):
                _end(rig, tally)
                rig, lives = Rig(backend=scenario.backend, books=scenario.books), RIG_LIVES
            lives = lives - 1 if _one(rig, scenario, tally, say) else 0
    except Empty:
        return
    finally:
        _end(rig, tally)


def _fits(rig: Rig, scenario: Scenario) -> bool:
    return (rig.backend, rig.books is not None) == (scenario.backend, scenario.books)


def _end(rig: Rig | None, tally: Tally) -> None:
    if rig is not None:
        tally.restarts += rig.restarts
        rig.close()


def _one(rig: Rig, scenario: Scenario, tally: Tally, say: Callable[[str], None]) -> bool:
    began = time.monotonic()
    try:
        played = play(rig, scenario)
    except (Lost, CommandError) as error:
        tally.losses.append((scenario, str(error)))
        books = rig.books.words()[-3000:] if rig.books is not None else ""
        say(f"LOST {scenario}: {error}\n{rig.log.read_text()[-3000:]}\n{books}")
        return False
    finally:
        tally.counts[scenario.row] += 1
        tally.endings[scenario.ending + (" + Docker" if scenario.noise else "")] += 1
        tally.hosts[f"{scenario.backend}{' + clerk and database' if scenario.books else ''}"] += 1
    tally.latest = max(tally.latest, played.late)
    tally.words[played.word] += 1
    tally.unbroken += not played.broke
    say(
        f"{sum(tally.counts.values()):4} {scenario.backend:6} {'books' if scenario.books else 'notes'}"
        f" {scenario.row:32} at {scenario.point:16} {scenario.ending:9}"
        f" -> {played.word:12} {time.monotonic() - began:5.1f} s{'' if played.broke else ', not reached'}"
    )
    return True


def table(tally: Tally) -> str:
    """Return the table of what was injected and what was lost."""
    lost = Counter(scenario.row for scenario, _ in tally.losses)
    lines = [f"{'fault':40} {'injected':>8} {'lost':>5}"]
    lines += [f"{row:40} {count:8} {lost[row]:5}" for row, count in sorted(tally.counts.items())]
    lines.append(f"{'all':40} {tally.counts.total():8} {len(tally.losses):5}")
    lines += [f"{'ending in ' + row:40} {count:8}" for row, count in sorted(tally.endings.items())]
    lines += [f"{'on a host with ' + row:40} {count:8}" for row, count in sorted(tally.hosts.items())]
    lines += [f"{'last outcome ' + row:40} {count:8}" for row, count in sorted(tally.words.items())]
    lines.append(f"{'of all, never came to the fault':40} {tally.unbroken:8}")
    lines.append(f"right at the latest {tally.latest:.1f} s after the deadline; {tally.restarts} restarts")
    return "\n".join(lines)


def main() -> int:
    """Run from the command line; status 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="how many faults (200)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run")
    parser.add_argument("--hosts", type=int, default=3, help="how many hosts side by side (3)")
    parser.add_argument("--backend", choices=(*BACKENDS, "both"), default="both", help="of the hosts (both)")
    options = parser.parse_args()
    if reason := why_unavailable():
        print(f"no network namespace can be made here: {reason}", file=sys.stderr)
        return 2
    print(f"{options.faults} faults, --seed {options.seed}", flush=True)
    tally = soak(
        options.faults,
        options.seed,
        rigs=options.hosts,
        backends=BACKENDS if options.backend == "both" else (options.backend,),
        say=lambda text: print(text, flush=True),
    )
    print(table(tally))
    return 1 if tally.losses else 0


if __name__ == "__main__":
    sys.exit(main())
