"""Warnings about the interfaces of the settings: a bridge of Docker's as external, loopback not trusted."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from dockerfw.chains import sentences
from dockerfw.chains.names import DOCKER
from dockerfw.document.fields import interfaces_overlap
from dockerfw.document.values import Settings
from dockerfw.iptables.model import Rule, Ruleset

_USUAL: Final = ("docker0", "docker_gwbridge")
_NETWORK_BRIDGE: Final = re.compile(r"br-[0-9a-f]{12}", re.ASCII)


def docker_bridges(rulesets: Iterable[Ruleset], interfaces: Iterable[str] = ()) -> tuple[str, ...]:
    """Return the bridges of Docker's networks: those of its rules, and `interfaces` with a usual name."""
    found = {name for name in interfaces if name in _USUAL or _NETWORK_BRIDGE.fullmatch(name)}
    for ruleset in rulesets:
        table = ruleset.tables.get("filter")
        chains = table.chains.values() if table else ()
        # The text first: reading the words of 100,000 rules takes seconds.
        named = [rule for chain in chains for rule in chain.rules if DOCKER in rule.text]
        found |= {name for rule in named if _calls_docker(rule) for name in _outputs(rule)}
    return tuple(sorted(found))


def _calls_docker(rule: Rule) -> bool:
    return rule.target is not None and rule.target.name == DOCKER


def _outputs(rule: Rule) -> Iterable[str]:
    options = (option for match in rule.matches for option in match.options)
    return (each.values[0] for each in options if each.name == "-o" and not each.negated and each.values)


def interface_warnings(settings: Settings, bridges: Iterable[str]) -> Iterable[tuple[str, str]]:
    """Yield the code and the sentence of each warning; `bridges` are those of Docker's networks."""
    for name in settings.external_interfaces:
        covered = [bridge for bridge in sorted({*bridges, *_USUAL}) if interfaces_overlap(name, bridge)]
        if covered or _NETWORK_BRIDGE.fullmatch(name):
            yield "bridge-external", sentences.bridge_is_external(name)
    if not any(interfaces_overlap(name, "lo") for name in settings.trusted_interfaces):
        yield "loopback-not-trusted", sentences.LOOPBACK_NOT_TRUSTED
