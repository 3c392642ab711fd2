"""Fold runs of ports that differ by nothing but their number: one line for `8000-8999/tcp`.

The rows of exposure_line_selectors.py stay as they are, and so does the JSON of the command line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable
from dataclasses import replace

from rules.asking.exposure_line_selectors import By, Line, name_of_inner

# Shorter runs are easier to read as lines of their own.
LEAST = 3
SIMILAR = By("similar rules for the other ports")


def fold_runs(lines: Iterable[Line]) -> tuple[Line, ...]:
    """Return the lines in their order; runs of adjacent ports that say the same become the first one."""
    groups: dict[Hashable, list[tuple[int, Line]]] = defaultdict(list)
    for position, line in enumerate(lines):
        groups[_said(line)].append((position, line))
    found: list[tuple[int, Line]] = []
    for group in groups.values():
        group.sort(key=lambda entry: entry[1].row.offer.port)
        run: list[tuple[int, Line]] = []
        for entry in group:
            if run and entry[1].row.offer.port != run[-1][1].row.offer.port + 1:
                found += _folded(run)
                run = []
            run.append(entry)
        found += _folded(run)
    return tuple(line for _, line in sorted(found, key=lambda entry: entry[0]))


def _said(line: Line) -> Hashable:
    """Return what a line says beside its port, and beside the ports of Docker's own rules."""
    offer = line.row.offer
    access = tuple(
        (each.families, each.interfaces, each.words, each.all_networks, each.reasons, _keys(each.by))
        for each in line.access
    )
    actions = tuple((each.action, each.key) for each in line.actions)
    hosts = tuple(text.rpartition(":")[0] for text in offer.inner)
    name = "" if _is_named_by_port(line) else line.name
    said = (offer.protocol, offer.ports, name, line.kind, line.address, offer.detail, line.row.notes)
    return (*said, hosts, access, actions)


def _is_named_by_port(line: Line) -> bool:
    """Return True if the name is the container's address and port, because Docker could not be asked."""
    return line.name == name_of_inner(line.row.offer.inner)


def _keys(deciding: Iterable[By]) -> tuple[str, ...]:
    return tuple(by.rule_key for by in deciding)


def _folded(run: list[tuple[int, Line]]) -> list[tuple[int, Line]]:
    if len(run) < LEAST:
        return run
    first, last = run[0][1], run[-1][1]
    ports = f"{first.row.offer.port}-{last.row.offer.port}"
    access = tuple(
        replace(
            each, by=each.by if all(line.access[number].by == each.by for _, line in run) else _like(each.by)
        )
        for number, each in enumerate(first.access)
    )
    actions = tuple(
        replace(each, values={**each.values, "ports": ports}) if each.values else each
        for each in first.actions
    )
    position = min(place for place, _ in run)
    made = replace(first, last=last, access=access, actions=actions)
    if _is_named_by_port(first):
        made = replace(made, name=name_of_inner(made.inner))
    return [(position, made)]


def _like(deciding: tuple[By, ...]) -> tuple[By, ...]:
    return (*deciding[:1], SIMILAR)
