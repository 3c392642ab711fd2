"""The pure part: parse beside a plain split and beside jc, then import, validate, render and plan."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

import jc

from dockerfw.chains.importing import import_save
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import render_restore
from dockerfw.document.document import parse_document
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.parse import parse_save, print_save
from dockerfw.iptables.replay import parse_restore
from rules.seen.memory import paused_collector
from scripts.benchmarks.documents import SIZES, make_document, make_object
from scripts.benchmarks.measure import (
    Row,
    best_of,
    forget_results,
    in_turn,
    medians,
    milliseconds,
    paired_ratio,
    processor_seconds,
    up_to,
)
from tests.rig.namespace import FAMILIES, Namespace, add_bound_sets

_DOCKER: Final = "*filter\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n"


def measure_parse(most: int) -> Iterator[Row]:
    """Measure parse times; the peers get the same rules, as the kernel printed them.

    A restore file is the text of an apply.
    """
    for size in up_to(most, SIZES):
        with _loaded(size) as host:
            text = host.save().decode()
            listing = host.run("iptables-nft", "-nvL").stdout.decode()
        file = _DOCKER + render_restore(make_document(size), 4, live=None)
        ours, split, printed, peer, restore, lines = best_of(
            [
                partial(parse_save, text),
                partial(_split, text),
                partial(print_save, parse_save(text)),
                partial(jc.parse, "iptables", listing),
                partial(parse_restore, file),
                partial(_split, file),
            ],
            rounds=10 if size < 10_000 else 5,
        )
        aim = "at most 3 x" if size == 10_000 else "at most 8 x"
        yield from [
            milliseconds("parse an iptables-save, beside a plain split", size, ours, split, aim=aim),
            milliseconds("parse an iptables-save, beside jc with iptables -nvL", size, ours, peer),
            milliseconds("print an iptables-save", size, printed),
            milliseconds(
                "parse a restore file, beside a plain split", size, restore, lines, aim="at most 5 x"
            ),
        ]
        (imported,) = best_of([partial(import_save, file)], rounds=1)
        yield milliseconds("import a restore file, beside a plain split", size, imported, lines)


def measure_plan(most: int) -> Iterator[Row]:
    """Measure validating, rendering and planning both families, against a kernel that holds the document."""
    for size in up_to(most, SIZES):
        document, value = make_document(size), make_object(size)
        with _loaded(size) as host:
            saves = {family: host.save(family=family) for family in FAMILIES}
        live: Mapping[Family, Ruleset] = {family: parse_save(save) for family, save in saves.items()}
        assert plan_changes(document, live).empty
        calls: dict[str, Callable[[], object]] = {
            "validate a document": partial(parse_document, value),
            "render a document": partial(_render, document, live),
            "plan with nothing to do": partial(plan_changes, document, live),
            "parse the saves and plan": partial(_parse_and_plan, document, saves),
        }
        times = best_of(list(calls.values()), rounds=3)
        yield from (milliseconds(what, size, each) for what, each in zip(calls, times, strict=True))
        yield _plan_all(size, live)


def _plan_all(size: int, live: Mapping[Family, Ruleset]) -> Row:
    """Time a plan in which every rule is new, beside iptables-restore of them, both of the processor."""
    document = make_document(size, first=size)
    texts = {family: render_restore(document, family, live=live[family]) for family in FAMILIES}
    with _loaded(size) as host:
        calls: list[Callable[[], object]] = [
            partial(_restore, host, texts),
            partial(plan_changes, document, live),
        ]
        rounds = in_turn([partial(_seconds, call) for call in calls], rounds=3)
    (restore, plan), ratio = medians(rounds), paired_ratio(rounds, 1, 0)
    what, aim = "plan where every rule differs", "at most 300 ms" if size == SIZES[-1] else None
    return milliseconds(f"{what}, beside iptables-restore", size, plan, restore, ratio=ratio, aim=aim)


def _restore(host: Namespace, texts: Mapping[Family, str]) -> None:
    for family, text in texts.items():
        host.restore(text, family=family)


def _seconds(call: Callable[[], object]) -> float:
    forget_results()
    # As pages and commands compute it.
    with paused_collector():
        began = processor_seconds()
        call()
        return processor_seconds() - began


def _split(text: str) -> object:
    return [line.split() for line in text.splitlines()]


def _render(document: Document, live: Mapping[Family, Ruleset]) -> object:
    return [render_restore(document, family, live=live[family]) for family in FAMILIES]


def _parse_and_plan(document: Document, saves: Mapping[Family, bytes]) -> object:
    return plan_changes(document, {family: parse_save(save) for family, save in saves.items()})


def _loaded(size: int) -> Namespace:
    """Make a namespace whose kernel holds a document of this size."""
    document = make_document(size)
    host = Namespace("bench")
    try:
        add_bound_sets(host)
        for family in FAMILIES:
            host.restore(_DOCKER, family=family)
            live = parse_save(host.save(family=family))
            host.restore(render_restore(document, family, live=live), family=family)
    except BaseException:
        host.delete()
        raise
    return host
