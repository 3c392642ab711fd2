"""The check, right after a load, whether the document's expectations hold for what the kernel has now."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dockerfw.agent import sentences
from dockerfw.chains.names import is_own_chain
from dockerfw.chains.static_sets import StaticSet
from dockerfw.chains.ways_in import outside_interfaces
from dockerfw.document.document import Document
from dockerfw.document.words import describe_count
from dockerfw.host.errors import HostError
from dockerfw.host.observation import observe
from dockerfw.host.reading import Seen
from dockerfw.iptables.model import Ruleset
from dockerfw.messages.snapshot_values import listening_of, surroundings_of, with_static_members
from dockerfw.reach.expectations import (
    ExpectationContext,
    ExpectationResult,
    check_expectations,
    find_failures,
)
from dockerfw.simulation.simulate import prepare

# Rules of other programs, which packets pass one after the other, take some kilobytes each when they are
# compiled, and the systemd unit bounds the root worker's memory. An apply whose process is killed for it
# could not report why. Of dockerfw's own chains only those that a packet can enter are compiled.
MOST_LINES = 60_000
_NAMED = 5


class ExpectationsNotMet(HostError):  # noqa: N818 - it states a fact
    """The loaded rules break expectations; the text names them."""

    def __init__(self, broken: tuple[ExpectationResult, ...]) -> None:
        named = "; ".join(str(each) for each in broken[:_NAMED])
        more = sentences.MORE.format(count=len(broken) - _NAMED) if len(broken) > _NAMED else ""
        super().__init__(
            sentences.NOT_MET.format(
                expectations=describe_count(len(broken), "expectation"), named=f"{named}{more}"
            )
        )


def check_loaded(
    document: Document,
    seen: Seen,
    *,
    override: bool,
    docker_socket: Path | None = None,
    sets: Sequence[StaticSet] = (),
) -> str:
    """Check a document's expectations against what was just read back; return the detail of the step.

    `sets` are the static sets that were loaded with it. Raises ExpectationsNotMet when one fails, unless the
    order overrides that.
    """
    if not document.expectations:
        return sentences.NO_EXPECTATIONS
    lines = sum(map(_count_rules, seen.rulesets.values()))
    if lines > MOST_LINES:
        expectations = describe_count(len(document.expectations), "expectation")
        return sentences.NOT_CHECKED.format(expectations=expectations, lines=lines, most=MOST_LINES)
    snapshot = observe("", seen=seen, docker_socket=docker_socket, static_sets=sets)
    snapshot = with_static_members(snapshot, sets)
    surroundings = surroundings_of(snapshot)
    sight = ExpectationContext(
        {family: prepare(ruleset, surroundings, family) for family, ruleset in seen.rulesets.items()},
        outside_interfaces(document.settings, surroundings),
        listening_of(snapshot, seen.rulesets),
        document.rules,
    )
    findings = check_expectations(document.expectations, sight)
    broken = find_failures(findings)
    if broken and not override:
        raise ExpectationsNotMet(broken)
    return _describe(findings, broken)


def _count_rules(ruleset: Ruleset) -> int:
    """Return the number of rules that are not dockerfw's."""
    return sum(
        len(chain.rules)
        for table in ruleset.tables.values()
        for chain in table.chains.values()
        if not (table.name == "filter" and is_own_chain(chain.name))
    )


def _describe(findings: tuple[ExpectationResult, ...], broken: tuple[ExpectationResult, ...]) -> str:
    unknown = [each for each in findings if each.state == "unknown"]
    held = len(findings) - len(broken) - len(unknown)
    parts = [sentences.HOLD.format(count=held, total=len(findings))]
    if broken:
        parts.append(sentences.OVERRIDDEN.format(named="; ".join(str(each) for each in broken[:_NAMED])))
    parts += [str(each) for each in unknown[:_NAMED]]
    return ". ".join(parts)[:3500]
