"""Ask, right after a load, whether the document's expectations hold of what the kernel has now.

Owns the look around that this needs (interfaces, sockets, containers) and the decision whether the load may
stay. Whether an expectation holds is for dockerfw.reach.expectations; this changes nothing.
"""

from __future__ import annotations

from pathlib import Path

from dockerfw.document.document import Document
from dockerfw.document.words import counted
from dockerfw.host.errors import HostError
from dockerfw.host.observation import observe
from dockerfw.host.reading import Seen
from dockerfw.iptables.model import Ruleset
from dockerfw.messages.snapshot_values import listening_of, surroundings_of
from dockerfw.reach.expectations import (
    ExpectationContext,
    ExpectationResult,
    check_expectations,
    find_failures,
)
from dockerfw.reach.exposure import external_interfaces
from dockerfw.simulation.simulate import prepare

# Compiled rules take some kilobytes each, and the unit bounds the root worker's memory: killed for it, an
# apply could not say why. The 20,000 rules of the largest document, for the host in both families, are fewer.
MOST_LINES = 60_000
_NAMED = 5


class Unexpected(HostError):  # noqa: N818 - it states a fact
    """What is loaded breaks expectations; the text names them."""

    def __init__(self, broken: tuple[ExpectationResult, ...]) -> None:
        named = "; ".join(str(each) for each in broken[:_NAMED])
        more = f"; and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
        super().__init__(f"{counted(len(broken), 'expectation')} not met. {named}{more}")


def check_loaded(
    document: Document,
    seen: Seen,
    *,
    override: bool,
    docker_socket: Path | None = None,
) -> str:
    """Check a document's expectations against what was just read back; return what there is to say.

    Raises Unexpected when one fails and nobody overrode that.
    """
    if not document.expectations:
        return "there are none"
    lines = sum(map(_lines, seen.rulesets.values()))
    if lines > MOST_LINES:
        expected = counted(len(document.expectations), "expectation")
        return f"{expected} not checked: the kernel holds {lines} rules, and up to {MOST_LINES} are looked at"
    snapshot = observe("", seen=seen, docker_socket=docker_socket)
    surroundings = surroundings_of(snapshot)
    sight = ExpectationContext(
        {family: prepare(ruleset, surroundings, family) for family, ruleset in seen.rulesets.items()},
        external_interfaces(document.settings.external_interfaces, surroundings),
        listening_of(snapshot, seen.rulesets.get(4)),
        document.rules,
    )
    findings = check_expectations(document.expectations, sight)
    broken = find_failures(findings)
    if broken and not override:
        raise Unexpected(broken)
    return _words(findings, broken)


def _lines(ruleset: Ruleset) -> int:
    return sum(len(chain.rules) for table in ruleset.tables.values() for chain in table.chains.values())


def _words(findings: tuple[ExpectationResult, ...], broken: tuple[ExpectationResult, ...]) -> str:
    doubtful = [each for each in findings if each.state == "unknown"]
    parts = [f"{len(findings) - len(broken) - len(doubtful)} of {len(findings)} hold"]
    if broken:
        parts.append(f"overridden: {'; '.join(str(each) for each in broken[:_NAMED])}")
    parts += [str(each) for each in doubtful[:_NAMED]]
    return ". ".join(parts)[:3500]
