"""Which rules of documents use a group, and how: the measure by which its list is judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dockerfw.chains.list_judgement import Uses, uses_by_definition
from dockerfw.document.values import Document, Group


@dataclass(frozen=True, slots=True)
class WantedList:
    """A group that is not static, with the uses of its definition in all documents and in loaded ones."""

    group: Group
    uses: Uses
    loaded: Uses


def wanted_lists(loaded: Iterable[Document], drafts: Iterable[Document]) -> dict[str, WantedList]:
    """Return the lists that documents need, by definition.

    Of groups with the same definition the first one's name and period count, and a loaded document's before a
    draft's.
    """
    found: dict[str, WantedList] = {}
    for documents, are_loaded in ((loaded, True), (drafts, False)):
        for document in documents:
            for definition, (group, own) in uses_by_definition(document).items():
                known = found.get(definition, WantedList(group, Uses(), Uses()))
                loaded_uses = known.loaded | own if are_loaded else known.loaded
                found[definition] = WantedList(known.group, known.uses | own, loaded_uses)
    return found
