"""What limits ask of a first packet: `-m limit`, `-m hashlimit`, `-m connlimit` and `-m recent`.

No limit has seen a packet before. Its table is taken to have room for one more source.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from dockerfw.iptables.extensions import MATCHES
from dockerfw.iptables.matches import Option
from dockerfw.simulation import sentences
from dockerfw.simulation.conditions import (
    AnyCondition,
    MatchQuestion,
    always,
    never,
    number,
    undecided_condition,
)

_DEFAULT_BURST: Final = "5"
_UPTO: Final = "--hashlimit-upto"
_ABOVE: Final = "--hashlimit-above"
# With this option the rate alone counts, and a first packet has none.
_BY_RATE: Final = "--hashlimit-rate-match"


def limit(question: MatchQuestion) -> list[AnyCondition]:
    """Read --limit and --limit-burst: the first packet is within the limit."""
    named = {option.name: option for option in question.options}
    return [always(_words(named, "--limit", "--limit-burst", ""))]


def hashlimit(question: MatchQuestion) -> list[AnyCondition]:
    """Read --hashlimit-upto, which the first packet of each source meets, and --hashlimit-above."""
    named = {option.name: option for option in question.options}
    known = named.keys() <= MATCHES["hashlimit"].options.keys()
    rates = [option for option in question.options if option.name in (_UPTO, _ABOVE)]
    burst = number(_value(named, "--hashlimit-burst") or _DEFAULT_BURST)
    if not known or len(rates) != 1 or _BY_RATE in named or burst == 0:
        return [undecided_condition(question)]
    words = _words(named, rates[0].name, "--hashlimit-burst", _counted(named))
    above = (rates[0].name == _ABOVE) != rates[0].negated
    return [never(words) if above else always(words)]


def _words(named: Mapping[str, Option], rate: str, burst: str, counted: str) -> str:
    """Return in words that a limit is not reached, and which."""
    count, slash, unit = _value(named, rate).partition("/")
    if not slash or number(count) is None:
        return sentences.LIMIT_NOT_REACHED
    first = number(_value(named, burst) or _DEFAULT_BURST)
    return sentences.limit_not_reached(int(count), unit, counted, first)


def _counted(named: Mapping[str, Option]) -> str:
    """Return in words what has a limit of its own."""
    modes = frozenset(_value(named, "--hashlimit-mode").split(","))
    source, destination = (
        sentences.network_length(_value(named, f"--hashlimit-{side}mask")) for side in ("src", "dst")
    )
    return sentences.counted_for(modes, source, destination)


def _value(named: Mapping[str, Option], name: str) -> str:
    return named[name].values[0] if name in named and named[name].values else ""


def connlimit(question: MatchQuestion) -> list[AnyCondition]:
    """Read --connlimit-upto and --connlimit-above; the packet's own connection counts."""
    limits = {
        option.name: number(" ".join(option.values)) for option in question.options if not option.negated
    }
    for name in limits.keys() & {"--connlimit-upto", "--connlimit-above"}:
        most = limits[name]
        if most is not None:
            said = sentences.LIMIT_NOT_REACHED if most else sentences.NO_CONNECTION_ALLOWED
            return [always(said) if (name == "--connlimit-upto") == (most > 0) else never(said)]
    return [undecided_condition(question)]


def recent(question: MatchQuestion) -> list[AnyCondition]:
    """Read --set, which every packet meets, and checks for several packets, which a first one does not meet.

    Whether a source is on a list at all is not known.
    """
    options = {option.name: option for option in question.options}
    hits = number(" ".join(options["--hitcount"].values)) if "--hitcount" in options else None
    if "--set" in options:
        negated = options["--set"].negated
        return [never(sentences.SOURCE_LISTED) if negated else always(sentences.SOURCE_LISTED)]
    for name in options.keys() & {"--rcheck", "--update"}:
        if hits is not None and hits > 1:
            negated = options[name].negated
            return [always(sentences.LIMIT_NOT_REACHED) if negated else never(sentences.LIMIT_NOT_REACHED)]
    return [undecided_condition(question)]
