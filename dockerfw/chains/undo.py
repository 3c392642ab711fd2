"""The restore text that undoes a load: it restores one family's filter table as it was before.

It restores dockerfw's chains, the anchors, the rules that the load deleted, and removes DOCKER-USER if the
load created it. Changes by other processes in the meantime stay: the text never flushes or deletes anything
that the load did not bring.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dockerfw.chains.names import PANIC_ANCHOR, own_chains
from dockerfw.iptables.model import Chain, Rule, Ruleset

_INSERTED = re.compile(r"^(?:\[\d+:\d+\] )?-I (\S+)(?: \d+)? (.*)$")
_DELETED = re.compile(r"^-D (\S+) (.*)$")
_CREATED = re.compile(r"^-N (\S+)$")


@dataclass(frozen=True, slots=True)
class _Edits:
    """The changes of a restore text outside dockerfw's chains, as (chain, rule) and chain names."""

    inserted: tuple[tuple[str, str], ...]
    deleted: tuple[tuple[str, str], ...]
    created: tuple[str, ...]


def render_undo(before: Ruleset, now: Ruleset, restore_text: str) -> str:
    """Return the restore text that leads from `now` back to `before`; empty if there is nothing to undo."""
    edits = _read_edits(restore_text)
    lines = [
        *_declarations(before, now),
        *_deletions(before, now, edits),
        *_own_rules(before),
        *_insertions(before, now, edits),
        *_chain_removals(before, now, edits),
    ]
    return "\n".join(["*filter", *lines, "COMMIT", ""]) if lines and not is_undone(before, now, edits) else ""


def is_undone(before: Ruleset, now: Ruleset, edits: _Edits | str) -> bool:
    """Return True if everything that the restore text changes is in `now` as in `before`, except counters."""
    edits = _read_edits(edits) if isinstance(edits, str) else edits
    if own_chains(before) != own_chains(now):
        return False
    if any(_texts(before, name) != _texts(now, name) for name in own_chains(before)):
        return False
    touched = set(edits.inserted) | set(edits.deleted)
    for name in {chain for chain, _ in touched}:
        own = {rule for chain, rule in touched if chain == name}
        if not _same_places(_bodies(before, name), _bodies(now, name), own):
            return False
    return not list(_chain_removals(before, now, edits))


def _same_places(before: list[str], now: list[str], own: set[str]) -> bool:
    """Return True if dockerfw's rules have their old places among themselves and the rules that stayed."""
    if [rule for rule in before if rule in own] != [rule for rule in now if rule in own]:
        return False
    stayed = set(before) & set(now)
    foreign = [[rule for rule in rules if rule in stayed - own] for rules in (before, now)]
    if foreign[0] != foreign[1]:
        # Another process has moved its own rules: there is no place to compare with.
        return True
    return [rule for rule in before if rule in stayed] == [rule for rule in now if rule in stayed]


def _read_edits(restore_text: str) -> _Edits:
    inserted, deleted, created = [], [], []
    for line in restore_text.split("\n"):
        if found := _INSERTED.match(line):
            inserted.append((found.group(1), found.group(2)))
        elif found := _DELETED.match(line):
            deleted.append((found.group(1), found.group(2)))
        elif found := _CREATED.match(line):
            created.append(found.group(1))
    return _Edits(tuple(inserted), tuple(deleted), tuple(created))


def _chain(ruleset: Ruleset, name: str) -> Chain | None:
    return ruleset.chain("filter", name)


def _has(ruleset: Ruleset, name: str) -> bool:
    return _chain(ruleset, name) is not None


def _rules(ruleset: Ruleset, name: str) -> tuple[Rule, ...]:
    chain = _chain(ruleset, name)
    return chain.rules if chain else ()


def _texts(ruleset: Ruleset, name: str) -> list[str]:
    return [rule.text for rule in _rules(ruleset, name)]


def _bodies(ruleset: Ruleset, name: str) -> list[str]:
    """Return the rules of a chain without their `-A CHAIN `."""
    prefix = len(f"-A {name} ")
    return [rule.text[prefix:] for rule in _rules(ruleset, name)]


def _declarations(before: Ruleset, now: Ruleset) -> Iterator[str]:
    # Declaring a chain under -n empties it. A chain that is in neither is not created.
    yield from (f":{name} - [0:0]" for name in own_chains(before, now))


def _deletions(before: Ruleset, now: Ruleset, edits: _Edits) -> Iterator[str]:
    for name, rule in edits.inserted:
        surplus = _bodies(now, name).count(rule) - _bodies(before, name).count(rule)
        # The load deleted and inserted an anchor that was not first: delete it here, and insert it below.
        moved = (name, rule) in edits.deleted and _bodies(now, name).count(rule)
        if surplus > 0 or moved:
            yield f"-D {name} {rule}"


def _own_rules(before: Ruleset) -> Iterator[str]:
    for name in own_chains(before):
        for rule in _rules(before, name):
            yield _counted(rule) + rule.text


def _insertions(before: Ruleset, now: Ruleset, edits: _Edits) -> Iterator[str]:
    for name in dict.fromkeys(chain for chain, _ in edits.deleted):
        current = _without_inserted(before, now, edits, name)
        taken = _deleted_places(
            _bodies(before, name), [rule for chain, rule in edits.deleted if chain == name]
        )
        # A panic that was started meanwhile stays first, or the restored rules would allow what it refuses.
        position = 1 if current[:1] == [PANIC_ANCHOR] else 0
        for index, rule in enumerate(_rules(before, name)):
            text = _bodies(before, name)[index]
            if index in taken:
                current.insert(position, text)
                position += 1
                yield f"{_counted(rule)}-I {name} {position} {text}"
            elif text in current[position:]:
                position = current.index(text, position) + 1


def _without_inserted(before: Ruleset, now: Ruleset, edits: _Edits, name: str) -> list[str]:
    """Return the rules of the chain without those that the restore text inserted."""
    current = _bodies(now, name)
    deleted = [rule for chain, rule in edits.deleted if chain == name]
    for chain, rule in edits.inserted:
        brought = rule in deleted or current.count(rule) > _bodies(before, name).count(rule)
        if chain == name and rule in current and brought:
            current.remove(rule)
    return current


def _deleted_places(rules: list[str], deleted: list[str]) -> set[int]:
    """Return the places of the rules that `-D` deletes: the first that matches, one for each line."""
    taken: set[int] = set()
    for text in deleted:
        places = (place for place, rule in enumerate(rules) if rule == text and place not in taken)
        if (place := next(places, None)) is not None:
            taken.add(place)
    return taken


def _chain_removals(before: Ruleset, now: Ruleset, edits: _Edits) -> Iterator[str]:
    yield from (f"-X {name}" for name in own_chains(now) if not _has(before, name))
    for name in edits.created:
        brought = [rule for chain, rule in edits.inserted if chain == name]
        foreign = [rule for rule in _bodies(now, name) if rule not in brought]
        if _has(now, name) and not _has(before, name) and not foreign and not _referenced(now, name):
            yield f"-X {name}"


def _referenced(ruleset: Ruleset, name: str) -> bool:
    table = ruleset.tables.get("filter")
    jump = re.compile(rf" -[jg] {re.escape(name)}(?: |$)")
    return table is not None and any(
        jump.search(rule.text) for chain in table.chains.values() for rule in chain.rules
    )


def _counted(rule: Rule) -> str:
    return f"[{rule.counters.packets}:{rule.counters.bytes}] " if rule.counters else ""
