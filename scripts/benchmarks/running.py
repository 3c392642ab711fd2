"""The whole product as scripts/run starts it: pages, an apply from the POST to the kernel, memory."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from dockerfw.chains.render import render_restore
from dockerfw.document.document import parse_document
from dockerfw.iptables.parse import parse_save
from scripts.benchmarks.documents import SIZES, make_object
from scripts.benchmarks.measure import Row, median, milliseconds, up_to
from scripts.benchmarks.person import Answer, Person
from tests.browser.stack import PROCESS_WORDS, ROOT, Stack
from tests.rig.namespace import FAMILIES, iptables_program

APPLY_RULES = 1_000
ROUNDS = 5
HOST = "/hosts/local"
PAGES: Final[Mapping[str, str]] = {
    "dashboard": "",
    "rules": "rules/",
    "live": "live/",
    "live poll": "live/poll/",
    "history": "history/",
}


class Site:
    """A running stack in its sandbox, with alice signed in."""

    def __init__(self) -> None:
        self.stack = Stack()
        self.alice = Person(self.stack.address)
        self.alice.become_first_admin(self.stack.setup_link)
        self._messages = 0

    def import_rules(self, rules: int, *, note: str = "") -> None:
        """Make a document of this size the draft."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
            json.dump(make_object(rules, note=note), file)
            file.flush()
            # Started by root, the verb reads it as the user of the web process.
            Path(file.name).chmod(0o644)
            environment = {
                **os.environ,
                "DOCKERFW_DATA_DIR": str(self.stack.data),
            }
            subprocess.run(
                ["scripts/firewall", "import", file.name],
                cwd=ROOT,
                env=environment,
                capture_output=True,
                check=True,
                timeout=120,
            )

    def apply(self) -> tuple[float, Answer]:
        """Send the review's form; return when that was, on the monotonic clock, and the apply's page."""
        fields = self.alice.fields(f"{HOST}/review/", "message")
        self._messages += 1
        began = time.monotonic()
        return began, self.alice.post(
            f"{HOST}/review/", {**fields, "message": f"measurement {self._messages}"}
        )

    def wait_confirmed(self, page: Answer, seconds: float = 120) -> None:
        """Keep an apply as soon as it is loaded, and wait until it is done; LookupError when it failed."""
        deadline = time.monotonic() + seconds
        kept = False
        while time.monotonic() < deadline:
            output = self.stack_status(page)
            if output == "awaiting" and not kept:
                keep = f"{page.url.rstrip('/')}/keep/"
                self.alice.post(keep, self.alice.fields(keep, "nonce"))
                kept = True
            if output == "confirmed":
                return
            if output in {"failed", "rolled_back"}:
                raise LookupError(f"the apply ended as {output}: {page.url}")
            time.sleep(0.1)
        raise LookupError(f"the apply was not done within {seconds} s: {page.url}")

    def stack_status(self, page: Answer) -> str:
        """Read an apply's state from the database."""
        apply = page.url.rstrip("/").rsplit("/", 1)[1].replace("-", "")
        path = self.stack.data / "web" / "dockerfw.sqlite3"
        with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
            row = database.execute("SELECT state FROM rules_apply WHERE id = ?", (apply,)).fetchone()
        return str(row[0]) if row else ""


def measure_pages(site: Site, most: int) -> list[Row]:
    """Measure the median time of the pages with 100, 1,000 and 10,000 rules in draft and kernel."""
    rows = []
    for size in up_to(most, SIZES):
        site.import_rules(size)
        review = site.alice.get(f"{HOST}/review/")
        site.wait_confirmed(site.apply()[1])
        live = site.alice.get(f"{HOST}/live/")
        for name, page in PAGES.items():
            seconds = median(site.alice.get(f"{HOST}/{page}").seconds for _ in range(ROUNDS))
            rows.append(milliseconds(f"page {name}, to the last byte", size, seconds))
        rows += [
            milliseconds("page review with every rule new, to the last byte", size, review.seconds),
            Row("size of the page live", size, len(live.text) / 1024, "kB"),
        ]
    return rows


def measure_apply(site: Site, most: int) -> list[Row]:
    """Measure the time from the POST to both families being in the kernel, beside that of iptables alone."""
    if most < APPLY_RULES:
        return []
    site.import_rules(APPLY_RULES)
    if "nothing to do" not in site.alice.get(f"{HOST}/review/").text.lower():
        site.wait_confirmed(site.apply()[1])
    watcher = _start_watch(site.stack)
    assert watcher.stdout is not None
    through, bare, whole = [], [], []
    try:
        for number in range(ROUNDS):
            note = f"round {number}"
            site.import_rules(APPLY_RULES, note=note)
            began, page = site.apply()
            through.append(_both_families(watcher) - began)
            site.wait_confirmed(page)
            whole.append(time.monotonic() - began)
            bare.append(_bare_restore(site.stack, watcher, note))
    finally:
        watcher.kill()
        watcher.wait()
    ours, floor = median(through), median(bare)
    return [
        milliseconds("from the POST to the rules in the kernel, beside iptables", APPLY_RULES, ours, floor),
        milliseconds("that without the time of iptables", APPLY_RULES, ours - floor, aim="at most 250 ms"),
        milliseconds("from the POST to the outcome in the database", APPLY_RULES, median(whole)),
    ]


def _start_watch(stack: Stack) -> subprocess.Popen[str]:
    watcher = subprocess.Popen(
        [*_inside(stack), sys.executable, "-m", "scripts.benchmarks.watch"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert watcher.stdout is not None
    watcher.stdout.readline()
    return watcher


def _inside(stack: Stack) -> list[str]:
    own_user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={stack.pid('root worker')}", "--net", *own_user, "--"]


def _both_families(watcher: subprocess.Popen[str]) -> float:
    """Return when both families had changed, on the monotonic clock."""
    assert watcher.stdout is not None
    touched: set[str] = set()
    while True:
        moment, families = watcher.stdout.readline().split()
        touched |= set(families)
        if "?" in touched or touched >= {"4", "6"}:
            return float(moment)


def _bare_restore(stack: Stack, watcher: subprocess.Popen[str], note: str) -> float:
    """Load the same texts by iptables alone, and return the seconds until both are in the kernel."""
    document = parse_document(make_object(APPLY_RULES, note=note))
    texts = {}
    for family in FAMILIES:
        saved = stack.in_sandbox(iptables_program("nft", family, "save"))
        texts[family] = render_restore(document, family, live=parse_save(saved), counters=True)
    began = time.monotonic()
    for family in FAMILIES:
        subprocess.run(
            [*_inside(stack), iptables_program("nft", family, "restore"), "-n", "-c"],
            input=texts[family],
            text=True,
            check=True,
            timeout=60,
        )
    return _both_families(watcher) - began


def measure_memory(site: Site, _most: int) -> list[Row]:
    """Measure the memory (proportional set size) of each process of the stack, its children included."""
    return [
        Row(f"memory of the {name}", 1, _tree_megabytes(site.stack.pid(name)), "MB", aim="under 100 MB")
        for name in PROCESS_WORDS
    ]


def _tree_megabytes(pid: int) -> float:
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    own = next(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return own / 1024 + sum(_tree_megabytes(int(child)) for child in children)
