"""The pure part: parse beside a plain split and beside jc, then validate, render and plan."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import jc

from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import render_restore
from dockerfw.document.document import parse_document
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.parse import parse_save, print_save
from scripts.benchmarks.documents import SIZES, make_document, make_object
from scripts.benchmarks.measure import best_of, milliseconds, print_table
from tests.rig.namespace import FAMILIES, Namespace


def measure_parse() -> None:
    """Print parse times; the peers get the same rules, as the kernel printed them."""
    rows = []
    for size in SIZES:
        with _loaded(size) as host:
            text = host.save().decode()
            listing = host.run("iptables-nft", "-nvL").stdout.decode()
        ours, split, printed, peer = best_of(
            [
                partial(parse_save, text),
                partial(_split, text),
                partial(print_save, parse_save(text)),
                partial(jc.parse, "iptables", listing),
            ],
            rounds=10 if size < 10_000 else 5,
        )
        rows.append(
            (
                f"{size:,} rules, {len(text) / 1e6:.2f} MB",
                milliseconds(ours),
                milliseconds(split),
                f"{ours / split:.1f} x",
                milliseconds(peer),
                f"{ours / peer:.2f} x",
                milliseconds(printed),
            )
        )
    print_table(
        "Parse an iptables-save (aim: 3 x the split at 10,000 rules, never 8 x)",
        ("", "parse_save", "split", "ratio", "jc, iptables -nvL", "ratio", "print_save"),
        rows,
    )


def measure_plan() -> None:
    """Print the times of validating, rendering and planning, against a kernel that holds the document."""
    rows = []
    for size in SIZES:
        document, value = make_document(size), make_object(size)
        with _loaded(size) as host:
            saves = {family: host.save(family=family) for family in FAMILIES}
        live: Mapping[Family, Ruleset] = {family: parse_save(save) for family, save in saves.items()}
        assert plan_changes(document, live).empty
        validated, rendered, planned, all_in_all = best_of(
            [
                partial(parse_document, value),
                partial(_render, document, live),
                partial(plan_changes, document, live),
                partial(_parse_and_plan, document, saves),
            ],
            rounds=3,
        )
        times = (validated, rendered, planned, all_in_all)
        rows.append((f"{size:,} rules", *(milliseconds(one) for one in times)))
    print_table(
        "Plan, both families, nothing to do (parsed anew in the last column)",
        ("", "validate", "render", "plan", "parse and plan"),
        rows,
    )


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
        for family in FAMILIES:
            host.restore("*filter\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n", family=family)
            live = parse_save(host.save(family=family))
            host.restore(render_restore(document, family, live=live), family=family)
    except BaseException:
        host.delete()
        raise
    return host
