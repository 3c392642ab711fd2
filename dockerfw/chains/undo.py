"""Work out how to put one family's filter table back to how it was before a restore text was loaded.

Pure text work on what iptables-save printed before and prints now. Owned are our three chains, the anchors,
the rules that the restore text deleted, and DOCKER-USER if the text created it. Whatever anybody else changed
in the meantime stays; it must not flush or delete anything that the restore text did not bring.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dockerfw.chains.names import OWN_CHAINS, PANIC_ANCHOR
from dockerfw.iptables.model import Chain, Rule, Ruleset

_INSERTED = re.compile(r"^(?:\[\d+:\d+\] )?-I (\S+)(?: \d+)? (.*)$")
_DELETED = re.compile(r"^-D (\S+) (.*)$")
_CREATED = re.compile(r"^-N (\S+)$")


@dataclass(frozen=True, slots=True)
class _Edits:
    """What a restore text does outside of our own chains, as (chain, rule) and chain names."""

    inserted: tuple[tuple[str, str], ...]
    deleted: tuple[tuple[str, str], ...]
    created: tuple[str, ...]


def render_undo(before: Ruleset, now: Ruleset, restore_text: str) -> str:
    """Return the restore text that leads from `now` back to `before`; empty when there is nothing to undo."""
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
    """Say whether `now` holds, of all that the restore text touches, what `before` held (counters aside)."""
    edits = _read_edits(edits) if isinstance(edits, str) else edits
    if any(_texts(before, name) != _texts(now, name) for name in OWN_CHAINS):
        return False
    if any(_has(before, name) != _has(now, name) for name in OWN_CHAINS):
        return False
    touched = set(edits.inserted) | set(edits.deleted)
    for name in {chain for chain, _ in touched}:
        ours = {rule for chain, rule in touched if chain == name}
        if not _same_places(_bodies(before, name), _bodies(now, name), ours):
            return False
    return not list(_chain_removals(before, now, edits))


def _same_places(before: list[str], now: list[str], ours: set[str]) -> bool:
    """Say whether our rules stand where they stood, among each other and among the rules that stayed."""
    if [rule for rule in before if rule in ours] != [rule for rule in now if rule in ours]:
        return False
    stayed = set(before) & set(now)
    foreign = [[rule for rule in rules if rule in stayed - ours] for rules in (before, now)]
    if foreign[0] != foreign[1]:
        # Somebody else has moved their own rules: there is no place to compare with.
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
    # Declaring a chain under -n empties it; one that is in neither stays away.
    for name in OWN_CHAINS:
        if _has(before, name) or _has(now, name):
            yield f":{name} - [0:0]"


def _deletions(before: Ruleset, now: Ruleset, edits: _Edits) -> Iterator[str]:
    for name, rule in edits.inserted:
        surplus = _bodies(now, name).count(rule) - _bodies(before, name).count(rule)
        # An anchor that was there but not first was deleted and inserted: it goes, and comes back below.
        moved = (name, rule) in edits.deleted and _bodies(now, name).count(rule)
        if surplus > 0 or moved:
            yield f"-D {name} {rule}"


def _own_rules(before: Ruleset) -> Iterator[str]:
    for name in OWN_CHAINS:
        for rule in _rules(before, name):
            yield _counted(rule) + rule.text


def _insertions(before: Ruleset, now: Ruleset, edits: _Edits) -> Iterator[str]:
    for name in dict.fromkeys(chain for chain, _ in edits.deleted):
        current = _without_ours(before, now, edits, name)
        taken = _taken_out(_bodies(before, name), [rule for chain, rule in edits.deleted if chain == name])
        # A panic that was called meanwhile stays first, or what comes back would let pass what it refuses.
        position = 1 if current[:1] == [PANIC_ANCHOR] else 0
        for index, rule in enumerate(_rules(before, name)):
            text = _bodies(before, name)[index]
            if index in taken:
                current.insert(position, text)
                position += 1
                yield f"{_counted(rule)}-I {name} {position} {text}"
            elif text in current[position:]:
                position = current.index(text, position) + 1


def _without_ours(before: Ruleset, now: Ruleset, edits: _Edits, name: str) -> list[str]:
    """Return the rules that the chain holds once what the restore text inserted is deleted again."""
    current = _bodies(now, name)
    deleted = [rule for chain, rule in edits.deleted if chain == name]
    for chain, rule in edits.inserted:
        brought = rule in deleted or current.count(rule) > _bodies(before, name).count(rule)
        if chain == name and rule in current and brought:
            current.remove(rule)
    return current


def _taken_out(rules: list[str], deleted: list[str]) -> set[int]:
    """Return the places of the rules that `-D` takes out: the first that matches, one for each line."""
    taken: set[int] = set()
    for text in deleted:
        places = (place for place, rule in enumerate(rules) if rule == text and place not in taken)
        if (place := next(places, None)) is not None:
            taken.add(place)
    return taken


def _chain_removals(before: Ruleset, now: Ruleset, edits: _Edits) -> Iterator[str]:
    for name in OWN_CHAINS:
        if _has(now, name) and not _has(before, name):
            yield f"-X {name}"
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
