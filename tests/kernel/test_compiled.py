"""Compiled rules in the kernel: each text loads as it is, and nothing is left to do after it.

Both backends and both families. Each document replaces the one before, so that chains come and go.
"""

from __future__ import annotations

import random
import time
from typing import Final

import pytest

from dockerfw.chains.drift import find_drift
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import body, is_own_chain, own_chains, own_rules
from dockerfw.chains.pairing import pair_chains
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import render, render_restore, write_restore
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.set_texts import render_sets
from dockerfw.chains.static_sets import creation_text
from dockerfw.chains.undo import render_undo
from dockerfw.document.values import Document, Group, Scope
from dockerfw.iptables.model import Ruleset
from dockerfw.iptables.parse import parse_save
from tests.rig.compiled_documents import BOUND, SMALL, compiled, document, random_document, rule
from tests.rig.namespace import FAMILIES, Backend, Family, Namespace, add_bound_sets

pytestmark = pytest.mark.kernel

CHAINED: Final = Thresholds(lines=1, row=1, limited_row=1, fan_out=4, sets=0, chained=1000, inline=1)


KINDS: Final[tuple[tuple[Scope, str, str], ...]] = (
    ("both", "published", ""),
    ("both", "container", ""),
    ("both", "published", "6/minute"),
    ("host", "published", "6/minute"),
    ("host", "published", ""),
)


def read(namespace: Namespace, backend: Backend, family: Family) -> Ruleset:
    """Return the rules of a family with their counters."""
    return parse_save(namespace.save(backend, family, counters=True, table="filter"))


@pytest.mark.parametrize("limits", [USUAL, SMALL], ids=["usual", "small"])
def test_the_texts_load_as_they_are(namespace: Namespace, backend: Backend, limits: Thresholds) -> None:
    wanted = random_document(random.Random(1), 80, times=True)
    for family in FAMILIES:
        rendering = compiled(wanted, family, limits)
        namespace.run("ipset", "restore", stdin=render_sets(rendering))
        namespace.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", backend, family)
        namespace.restore(write_restore(rendering, family), backend, family)
        assert rendering.sets


def load_sets(namespace: Namespace, rendering: Rendering) -> None:
    """Load the sets of a rendering; those that exist stay."""
    namespace.run("ipset", "-exist", "restore", stdin=creation_text(rendering.sets))


def start(namespace: Namespace, backend: Backend, family: Family) -> None:
    """Prepare a host with Docker's chain and the sets that rules of any document may name."""
    add_bound_sets(namespace)
    kind = "inet" if family == 4 else "inet6"
    creation = "".join(f"create {name} hash:net family {kind}\n" for name in BOUND[family])
    namespace.run("ipset", "-exist", "restore", stdin=creation)
    namespace.restore("*filter\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n", backend, family)


@pytest.mark.parametrize("limits", [USUAL, SMALL, CHAINED], ids=["usual", "small", "chained"])
def test_what_is_loaded_is_what_was_written(
    namespace: Namespace, backend: Backend, family: Family, limits: Thresholds
) -> None:
    start(namespace, backend, family)
    dice = random.Random(f"{backend} {family}")
    for size in (40, 3, 80, 0, 30, 30):
        wanted = random_document(dice, size)
        rendering = compiled(wanted, family, limits)
        load_sets(namespace, rendering)
        text = write_restore(rendering, family, live=read(namespace, backend, family), counters=True)
        namespace.restore(text, backend, family, counters=True)
        live = read(namespace, backend, family)
        pairings = pair_chains(rendering.chains, live, family)
        assert set(own_chains(live)) == set(rendering.chains)
        for chain, pairing in pairings.items():
            assert pairing.in_order, chain
            assert not pairing.rest, chain
            assert None not in pairing.live, (chain, rendering.chains[chain], pairing.live)


def test_a_load_leaves_nothing_to_plan_and_can_be_undone(
    namespace: Namespace, backend: Backend, family: Family
) -> None:
    start(namespace, backend, family)
    dice = random.Random(f"plan {backend} {family}")
    moment = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    for size in (60, 0, 5, 90):
        wanted = random_document(dice, size, times=True)
        before = read(namespace, backend, family)
        load_sets(namespace, render(wanted, family))
        text = render_restore(wanted, family, live=before, revision=7, counters=True, moment=moment)
        assert not plan_changes(wanted, {family: before}, revision=7).empty
        namespace.restore(text, backend, family, counters=True)
        live = read(namespace, backend, family)
        plan = plan_changes(wanted, {family: live}, revision=7)
        assert plan.empty, plan.families
        loaded = {family: render(wanted, family, 7, live=before, moment=moment)}
        assert not find_drift(wanted, 7, {family: live}, families=(family,), loaded=loaded).findings
        assert not find_drift(wanted, 7, {family: live}, families=(family,)).findings
        namespace.restore(render_undo(before, live, text), backend, family, counters=True)
        assert _lines(read(namespace, backend, family)) == _lines(before)
        namespace.restore(text, backend, family, counters=True)


def _lines(ruleset: Ruleset) -> list[str]:
    """Return the chains and rules of dockerfw."""
    table = ruleset.tables["filter"]
    chains = [chain for chain in table.chains.values() if is_own_chain(chain.name)]
    return [line for chain in chains for line in (chain.name, *(rule.text for rule in chain.rules))]


def test_a_load_that_fails_leaves_the_chains_of_the_former_revision(
    namespace: Namespace, backend: Backend
) -> None:
    start(namespace, backend, 4)
    many = document(rule(f"r{at:04}", "host", protocol="tcp", ports=str(at)) for at in range(1000, 1040))
    namespace.restore(render_restore(many, 4, live=read(namespace, backend, 4)), backend)
    before = read(namespace, backend, 4)
    text = render_restore(document([]), 4, live=before)
    assert "-X FILTERS-DH-6" in text
    broken = text.replace("COMMIT", "-A FILTERS -j NOT-THERE\nCOMMIT")
    assert namespace.restore(broken, backend, check=False).returncode != 0
    assert _lines(read(namespace, backend, 4)) == _lines(before)
    namespace.restore(text, backend)
    assert own_chains(read(namespace, backend, 4)) == ("FILTERS", "FILTERS-CONTAINERS", "FILTERS-HOST")


def test_a_chain_that_another_rule_calls_is_emptied_and_stays(namespace: Namespace, backend: Backend) -> None:
    start(namespace, backend, 4)
    many = document(rule(f"r{at:04}", "host", protocol="tcp", ports=str(at)) for at in range(1000, 1040))
    namespace.restore(render_restore(many, 4, live=read(namespace, backend, 4)), backend)
    namespace.iptables("-A", "OUTPUT", "-j", "FILTERS-DH-6", backend=backend)
    text = render_restore(document([]), 4, live=read(namespace, backend, 4))
    namespace.restore(text, backend)
    live = read(namespace, backend, 4)
    chain = live.chain("filter", "FILTERS-DH-6")
    assert chain is not None
    assert not chain.rules


def test_a_rule_keeps_its_counters_where_its_line_moves_to(namespace: Namespace, backend: Backend) -> None:
    start(namespace, backend, 4)
    rules = [rule(f"r{at:04}", "host", protocol="tcp", ports=str(at)) for at in range(1000, 1040)]
    namespace.restore(render_restore(document(rules[:3]), 4, live=read(namespace, backend, 4)), backend)
    text = namespace.save(backend, counters=True).decode()
    seen = text.replace("[0:0] -A FILTERS-HOST -p tcp", "[12:3456] -A FILTERS-HOST -p tcp")
    namespace.restore(seen, backend, noflush=False, counters=True)
    for wanted in (document(rules), document(rules[:17]), document(rules[:3])):
        text = render_restore(wanted, 4, live=read(namespace, backend, 4), counters=True)
        namespace.restore(text, backend, counters=True)
        saved = namespace.save(backend, counters=True).decode().splitlines()
        assert sum(line.startswith("[12:3456] -A FILTERS-D") for line in saved) == (
            3 if len(wanted.rules) > 16 else 0
        )
        assert sum(line.startswith("[12:3456] -A FILTERS") for line in saved) == 3


def test_the_chains_may_be_as_deep_as_they_get(namespace: Namespace, backend: Backend) -> None:
    """Every phase of both chains is dispatched, with thousands of groups."""
    start(namespace, backend, 4)
    rules = [
        rule(f"{scope[0]}{kind[0]}{limit[:1]}{at:05}", scope, protocol="tcp", ports=str(at), **keys)
        for at in range(1, 2000)
        for scope, kind, limit in KINDS
        for keys in [{"limit": limit} if limit else {"port_kind": kind}]
        if (at < 1000 or scope == "both") and (at < 300 or not limit)
    ]
    wanted: Document = document(rules)
    rendering = render(wanted, 4)
    namespace.restore(write_restore(rendering, 4, live=read(namespace, backend, 4)), backend)
    assert set(own_chains(read(namespace, backend, 4))) == set(rendering.chains)


def test_large_documents_load_and_are_what_was_written(namespace: Namespace, backend: Backend) -> None:
    start(namespace, backend, 4)
    dice = random.Random(3)
    ranges = [sorted((dice.randrange(1, 65536), dice.randrange(1, 65536))) for _ in range(2_000)]
    overlapping = document(
        rule(f"r{at:05}", "both", protocol="tcp", ports=f"{first}-{last}")
        for at, (first, last) in enumerate(ranges)
        if first < last
    )
    groups = document(
        rule(
            f"r{at:05}",
            "both",
            [f"10.{at >> 8}.{at & 255}.{last}/32" for last in range(5)],
            protocol="tcp",
            ports=str(at + 1),
        )
        for at in range(2_000)
    )
    entries = tuple(f"10.{at >> 16}.{at >> 8 & 255}.{at & 255}/32" for at in range(100_000))
    listed = document([rule("sshd", "host", ["@list"])], [Group("list", entries=entries)])
    places = document(
        rule(f"r{at:05}", "both", protocol="tcp", ports="443", to=f"10.{at >> 8}.{at & 255}.0/{24 + at % 9}")
        for at in range(2_000)
    )
    for wanted in (overlapping, groups, listed, places):
        rendering = render(wanted, 4)
        load_sets(namespace, rendering)
        text = write_restore(rendering, 4, live=read(namespace, backend, 4))
        namespace.restore(text, backend)
        live = read(namespace, backend, 4)
        assert set(own_chains(live)) == set(rendering.chains)
        for chain, lines in rendering.chains.items():
            assert [body(each) for each in own_rules(live, chain)] == list(lines)
