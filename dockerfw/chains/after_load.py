"""The filter table that a load of a document would leave behind."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from types import MappingProxyType

from dockerfw.chains.match_groups import USUAL, Thresholds
from dockerfw.chains.names import is_own_chain
from dockerfw.chains.render import render_restore
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Rule, Ruleset
from dockerfw.iptables.replay import compose_lines, parse_restore


def filter_after_load(
    live: Ruleset, document: Document, family: Family, limits: Thresholds = USUAL
) -> Ruleset:
    """Return the filter table after a load over live rules. Raises ParseError if it cannot be replayed."""
    return replay_load(
        "\n".join(_filter_lines(live)), render_restore(document, family, live=live, limits=limits), family
    )


def replay_load(kept: str, load: str, family: Family) -> Ruleset:
    """Return the ruleset after a restore text that dockerfw rendered, over the lines of a save.

    The rules of its own chains are appended as they were rendered, and not replayed one by one, which takes
    seconds for thousands. Raises ParseError for what cannot be replayed.
    """
    first = kept.count("\n") + 2
    own: dict[str, list[Rule]] = {}
    names: dict[str, str] = {}
    replayed = []
    for number, line in enumerate(load.split("\n"), start=first):
        name = line[3:].partition(" ")[0] if line.startswith("-A ") else ""
        # Thousands of rules of one chain share its name.
        name = names.setdefault(name, name)
        if is_own_chain(name):
            own.setdefault(name, []).append(Rule("filter", name, None, line, number))
            replayed.append("")
        else:
            replayed.append(line)
    around = parse_restore("\n".join((kept, *replayed)), family=family)
    table = around.tables.get("filter")
    chains = dict(table.chains) if table else {}
    if table is None or any(name not in chains or chains[name].rules for name in own):
        return parse_restore(f"{kept}\n{load}", family=family)
    for name, rules in own.items():
        chains[name] = replace(chains[name], rules=tuple(rules))
    tables = {**around.tables, "filter": replace(table, chains=MappingProxyType(chains))}
    return replace(around, tables=MappingProxyType(tables), lines=tuple(compose_lines(tables.values())))


def _filter_lines(live: Ruleset) -> Iterator[str]:
    table = live.tables.get("filter")
    chains = table.chains.values() if table else ()
    yield "*filter"
    yield from (f":{chain.name} {chain.policy or '-'} [0:0]" for chain in chains)
    yield from (rule.text for chain in chains for rule in chain.rules)
    yield "COMMIT"
