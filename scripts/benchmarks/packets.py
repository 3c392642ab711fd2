"""What a new connection and a refused attempt cost by the number of allowances, through real packets.

Each size has hosts of its own: with an empty chain, with the allowances as dockerfw writes them, and with one
line for each. They are measured in turn in many short slices, and a ratio is the median of those of the
slices, so that a busy moment hits all three.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from typing import Final

from dockerfw.chains.anchors import wanted_anchors
from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import FILTERS, FILTERS_CONTAINERS, FILTERS_HOST
from dockerfw.chains.render import render_rules
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.document.values import Scope
from scripts.benchmarks.measure import Row, exponent, in_turn, medians, paired_ratio, up_to
from scripts.benchmarks.senders import make_connector, make_flooder
from scripts.benchmarks.sites import LINES, Site, document_of, make_site

ALLOWANCES: Final = (0, 10, 1_000, 10_000, 100_000)
PLACES: Final[Mapping[Scope, str]] = {"host": "a port of the host", "container": "a published port"}
AIM: Final = "at least 0.9 x"
ROUNDS: Final = 200
CONNECTIONS: Final = 10
BURSTS: Final = 5
_REFUSED = re.compile(r"\[(\d+):\d+\] -A \S+ .*-j REJECT ")


def measure_packets(most: int) -> Iterator[Row]:
    """Measure connections that are let in and attempts that are refused, to the last port of the document."""
    for scope, place in PLACES.items():
        costs: dict[str, dict[int, float]] = {"new connections": {}, "refused attempts": {}}
        for allowances in up_to(most, ALLOWANCES):
            # One line for each of 100,000 sources takes iptables minutes where ports are published.
            forms = [USUAL, LINES] if allowances <= 10_000 else [USUAL]
            with ExitStack() as stack:
                sites = [stack.enter_context(make_site(scope)) for _ in (None, *forms)]
                for what, rounds in (
                    ("new connections", _connections(sites, scope, allowances, forms)),
                    ("refused attempts", _refusals(sites, scope, allowances, forms)),
                ):
                    yield from _rows(f"{what}, {place}", allowances, rounds)
                    costs[what][allowances] = medians(rounds)[1]
        yield from [
            Row(f"{what}, {place}: growth exponent of the cost", max(found), exponent(found), "")
            for what, found in costs.items()
            if len(found) > 2
        ]


def _rows(what: str, allowances: int, rounds: list[tuple[float, ...]]) -> list[Row]:
    """Return the figures of dockerfw's rules and, if they were measured, of their lines."""
    floor, *found = (1 / seconds for seconds in medians(rounds))
    return [
        Row(f"{what}{form}", allowances, each, "/s", floor, paired_ratio(rounds, 0, at), aim)
        for at, (each, form, aim) in enumerate(zip(found, ("", ", as lines"), (AIM, None), strict=False), 1)
    ]


def _connections(
    sites: list[Site], scope: Scope, allowances: int, forms: list[Thresholds]
) -> list[tuple[float, ...]]:
    """Return the seconds of a connection: with empty chains, and with the allowances in each form."""
    _load(sites, scope, allowances, forms, refusal=False)
    with ExitStack() as stack:
        connectors = [stack.enter_context(make_connector(site, scope)) for site in sites]
        return in_turn([partial(one.seconds, CONNECTIONS) for one in connectors], rounds=ROUNDS)


def _refusals(
    sites: list[Site], scope: Scope, allowances: int, forms: list[Thresholds]
) -> list[tuple[float, ...]]:
    """Return the seconds of a refused attempt. Raises LookupError if the refusal did not count each one."""
    _load(sites, scope, allowances, forms, refusal=True)
    with ExitStack() as stack:
        flooders = [stack.enter_context(make_flooder(site)) for site in sites]
        rounds = in_turn([partial(one.seconds, BURSTS) for one in flooders], rounds=ROUNDS)
    for site, flooder in zip(sites, flooders, strict=True):
        refused = sum(map(int, _REFUSED.findall(site.host.save(counters=True).decode())))
        if refused != flooder.sent:
            raise LookupError(f"{refused} of {flooder.sent} attempts were refused")
    return rounds


def _load(
    sites: list[Site], scope: Scope, allowances: int, forms: list[Thresholds], *, refusal: bool
) -> None:
    """Load empty chains into the first site, and the allowances into the others.

    Without `refusal` the chains have none, which only matters where nothing else lets the client in.
    """
    document = document_of(scope, allowances)
    renderings = [render_rules(document, 4, limits=form) for form in forms]
    ending = renderings[0].chains[FILTERS][-1:]
    if not refusal and not allowances:
        renderings = [replace(one, chains={**one.chains, FILTERS: ()}) for one in renderings]
    lines = ending if refusal else ()
    empty = {FILTERS_HOST: lines, FILTERS_CONTAINERS: lines}
    for site, rendering in zip(
        sites, [Rendering(empty, wanted_anchors(document.settings)), *renderings], strict=True
    ):
        site.load(rendering)
