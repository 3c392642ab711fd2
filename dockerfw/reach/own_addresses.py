"""The rows of containers' own addresses beside those of published ports, which often say the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from dockerfw.reach.exposure import LEVELS, Access, ExposureRow
from dockerfw.reach.listening import Address
from dockerfw.reach.offers import OfferKey
from dockerfw.simulation.addresses import union_of


def add_own_addresses(rows: Iterable[ExposureRow], own: Iterable[ExposureRow]) -> tuple[ExposureRow, ...]:
    """Return the rows, and those in `own` by which clients reach more, the widest first.

    `own` are rows of containers' own addresses. Where the same clients reach the same port of the container
    by an address of the host, one row is enough.
    """
    found, own = tuple(rows), tuple(own)
    repeats = find_repeats(found, own)
    added = [row for row in own if row.offer.key not in repeats]
    return tuple(sorted((*found, *added), key=lambda row: LEVELS.index(row.level)))


def find_repeats(rows: Iterable[ExposureRow], own: Iterable[ExposureRow]) -> frozenset[OfferKey]:
    """Return the keys of the rows in `own` by which no client reaches more than by `rows`."""
    published: dict[tuple[str, Address | None, int], list[Access]] = {}
    for row in rows:
        for each in row.offer.published:
            end = (row.offer.protocol, each.to_address, each.to_port)
            published.setdefault(end, []).extend(row.access)
    return frozenset(
        row.offer.key
        for row in own
        if all(
            _adds_nothing(each, published.get((row.offer.protocol, row.offer.address, row.offer.port), ()))
            for each in row.access
        )
    )


def _adds_nothing(answer: Access, others: Sequence[Access]) -> bool:
    same = [each for each in others if each.family == answer.family]
    passes = union_of(answer.family, [each.passes for each in same])
    unknown = union_of(answer.family, [each.unknown for each in same])
    more = answer.passes.difference(passes)
    return not more and not answer.unknown.difference(passes).difference(unknown)
