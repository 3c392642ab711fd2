"""Whether the lists of a loaded revision hold what its rules count on: feeds, DNS names and countries.

The kernel may hold a revision exactly as it was applied while a list behind a block was never fetched. Such a
host is not simply protected.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dockerfw.chains.group_sets import group_definition
from dockerfw.document.values import Document
from rules.lists.list_selectors import ListState, list_states, versions_on_host
from rules.models import Host


@dataclass(frozen=True, slots=True)
class ListDoubt:
    """What is wrong with one list, as a sentence; `blocks` is True if less is blocked than rules say."""

    text: str
    blocks: bool


def list_doubts(host: Host, document: Document) -> tuple[ListDoubt, ...]:
    """Return what is wrong with the lists that the enabled rules of a document name, blocks first."""
    lists = [group for group in document.groups if group.kind != "static"]
    # Most documents have no list, and are asked about with each page.
    if not lists:
        return ()
    used: dict[str, set[str]] = {}
    for rule in document.rules:
        for source in rule.sources if rule.enabled else ():
            used.setdefault(source, set()).add(rule.action)
    states = {state.definition: state for state in list_states(host)}
    held = versions_on_host(host)
    found: list[ListDoubt] = []
    for group in lists:
        actions = used.get(f"@{group.name}", set())
        definition = group_definition(group)
        state = states.get(definition)
        on_host = held is None or definition in held
        blocks = "block" in actions
        wrong = _doubts_about(state, on_host=on_host, blocks=blocks) if actions else ()
        found.extend(ListDoubt(f"@{group.name} {each}", blocks) for each in wrong)
    return tuple(sorted(found, key=lambda doubt: not doubt.blocks))


def _doubts_about(state: ListState | None, *, on_host: bool, blocks: bool) -> Iterator[str]:
    """Yield the rest of a sentence for what is wrong with a list; the first thing is enough."""
    if state is None or state.current is None:
        why = f" {state.error}" if state is not None and state.error else ""
        effect = "nothing is blocked by it" if blocks else "nobody is allowed by it"
        yield f"has no networks yet: {effect}.{why}"
    elif state.state == "stale":
        effect = "it may block too little" if blocks else "it may allow former owners of addresses"
        yield f"was not fetched for three periods: {effect}. {state.error}".rstrip()
    elif state.problem:
        yield f"is not held by the host as it should be. {state.problem}"
    elif not on_host:
        yield "has not reached the host yet."
    elif blocks and not state.current.entries4 + state.current.entries6:
        yield "has no networks: nothing is blocked by it."
