"""Injects faults at random and counts what was lost: `python -m tests.faults.soak --faults 200 --seed 1`."""

from __future__ import annotations

import argparse
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue

from tests.faults.rig import Rig
from tests.faults.scenario import Lost, Scenario, deal, play
from tests.kernel.namespace import CommandError, why_unavailable

RIG_LIVES = 25


@dataclass(slots=True)
class Tally:
    """What was injected, what was lost, and how long after a deadline the rules were right at the latest."""

    counts: Counter[str] = field(default_factory=Counter)
    endings: Counter[str] = field(default_factory=Counter)
    words: Counter[str] = field(default_factory=Counter)
    losses: list[tuple[Scenario, str]] = field(default_factory=list)
    latest: float = 0.0
    restarts: int = 0


def soak(faults: int, seed: int, *, rigs: int = 3, say: Callable[[str], None] = print) -> Tally:
    """Inject so many faults, on so many hosts side by side."""
    dice = random.Random(seed)
    waiting: SimpleQueue[Scenario] = SimpleQueue()
    for scenario in deal(faults, dice):
        waiting.put(scenario)
    tally = Tally()
    threads = [threading.Thread(target=_work, args=(waiting, tally, say)) for _ in range(min(rigs, faults))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return tally


def _work(waiting: SimpleQueue[Scenario], tally: Tally, say: Callable[[str], None]) -> None:
    while not waiting.empty():
        rig = Rig()
        try:
            for _ in range(RIG_LIVES):
                scenario = waiting.get_nowait()
                if not _one(rig, scenario, tally, say):
                    break
        except Empty:
            return
        finally:
            tally.restarts += rig.restarts
            rig.close()


def _one(rig: Rig, scenario: Scenario, tally: Tally, say: Callable[[str], None]) -> bool:
    began = time.monotonic()
    try:
        word, late = play(rig, scenario)
    except (Lost, CommandError) as error:
        tally.losses.append((scenario, str(error)))
        log = rig.log.read_text()[-3000:]
        say(f"LOST {scenario}: {error}\n{log}")
        return False
    finally:
        tally.counts[scenario.row] += 1
        tally.endings[scenario.ending + (" + Docker" if scenario.noise else "")] += 1
    tally.latest = max(tally.latest, late)
    tally.words[word] += 1
    say(
        f"{sum(tally.counts.values()):4} {scenario.row:32} at {scenario.point:16} {scenario.ending:9}"
        f" -> {word:12} {time.monotonic() - began:5.1f} s"
    )
    return True


def table(tally: Tally) -> str:
    """Return the table of what was injected and what was lost."""
    lost = Counter(scenario.row for scenario, _ in tally.losses)
    lines = [f"{'fault':40} {'injected':>8} {'lost':>5}"]
    lines += [f"{row:40} {count:8} {lost[row]:5}" for row, count in sorted(tally.counts.items())]
    lines.append(f"{'all':40} {tally.counts.total():8} {len(tally.losses):5}")
    lines += [f"{'ending in ' + row:40} {count:8}" for row, count in sorted(tally.endings.items())]
    lines += [f"{'last word ' + row:40} {count:8}" for row, count in sorted(tally.words.items())]
    lines.append(f"right at the latest {tally.latest:.1f} s after the deadline; {tally.restarts} restarts")
    return "\n".join(lines)


def main() -> int:
    """Run from the command line; status 1 when anything was lost."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=__doc__)
    parser.add_argument("--faults", type=int, default=200, help="how many faults (200)")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="repeats a run")
    parser.add_argument("--hosts", type=int, default=3, help="how many hosts side by side (3)")
    options = parser.parse_args()
    if reason := why_unavailable():
        print(f"no network namespace can be made here: {reason}", file=sys.stderr)
        return 2
    print(f"{options.faults} faults, --seed {options.seed}", flush=True)
    tally = soak(options.faults, options.seed, rigs=options.hosts, say=lambda text: print(text, flush=True))
    print(table(tally))
    return 1 if tally.losses else 0


if __name__ == "__main__":
    sys.exit(main())
