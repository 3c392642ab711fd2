"""The memory of the running product, also while an admin reviews one large draft after the other."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from scripts.benchmarks.documents import SIZES
from scripts.benchmarks.measure import Row
from scripts.benchmarks.running import HOST, Site
from tests.browser.stack import PROCESS_WORDS

REVIEWS: Final = (0, 1, 10, 50, 100, 200)
# A change and its review took 4 to 7 s on a busy machine, most of it in queues and the wait for a look.
LONGEST_SECONDS: Final = 3600
RULE: Final = f"{HOST}/rules/r00001"


def measure_memory(site: Site, most: int) -> Iterator[Row]:
    """Measure the memory (proportional set size) of each process, then of the web over 200 reviews."""
    for name in PROCESS_WORDS:
        megabytes = _tree_megabytes(site.stack.pid(name))
        yield Row(f"memory of the {name}", 1, megabytes, "MB", aim="under 100 MB")
    rules = max((size for size in SIZES if size <= most), default=0)
    if not rules:
        return
    site.hold(rules)
    done, deadline = 0, time.monotonic() + LONGEST_SECONDS
    for count in REVIEWS:
        for number in range(done, count):
            if time.monotonic() > deadline:
                raise TimeoutError(f"{number} reviews took {LONGEST_SECONDS} s")
            _change_draft(site, enabled=bool(number % 2))
            site.alice.get(f"{HOST}/review/?effects=yes")
        done = count
        megabytes = _tree_megabytes(site.stack.pid("web"))
        what = f"memory of the web after reviews of {rules:,} rules"
        yield Row(what, count, megabytes, "MB", aim="at most 150 MB")


def _change_draft(site: Site, *, enabled: bool) -> None:
    """Disable or enable one rule."""
    fields = site.alice.fields(f"{RULE}/edit/", "version")
    fields = {name: fields[name] for name in ("csrfmiddlewaretoken", "version")}
    fields["on" if enabled else "off"] = fields["version"]
    site.alice.post(f"{RULE}/toggle/", fields)


def _tree_megabytes(pid: int) -> float:
    """Return the proportional set size of a process and its children; a job that has ended has none."""
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    own = sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return own / 1024 + sum(_tree_megabytes(int(child)) for child in children)
