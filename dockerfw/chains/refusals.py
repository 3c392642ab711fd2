"""The reasons not to load a document over live rules. Where there is one, nothing may be loaded.

A warning is for what an admin should know (warnings.py); a refusal is for what a load would break, or for
what nobody can tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from dockerfw.chains import sentences
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset


@dataclass(frozen=True, slots=True)
class Refusal:
    """One reason not to load, of one family: a code for programs and a sentence for people."""

    code: str
    message: str
    family: Family


def find_refusals(document: Document, live: Mapping[Family, Ruleset]) -> tuple[Refusal, ...]:
    """Return the reasons not to load a document over these rulesets; none if it may be loaded."""
    return tuple(
        refusal for family, ruleset in live.items() for refusal in _of_family(document, family, ruleset)
    )


def describe_refusals(refusals: Iterable[Refusal]) -> str:
    """Return the reasons as one text, each once."""
    return " ".join(dict.fromkeys(refusal.message for refusal in refusals))


def _of_family(document: Document, family: Family, live: Ruleset) -> Iterator[Refusal]:
    for one in live.unprinted:
        yield Refusal("not-printed", sentences.rules_not_printed(family, one.sentence), family)
