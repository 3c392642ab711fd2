"""Rules of others that tell packets of IPsec tunnels apart, which dockerfw cannot."""

from __future__ import annotations

from collections.abc import Iterator

from dockerfw.chains import sentences
from dockerfw.chains.warnings import PlanWarning
from dockerfw.iptables.model import Family, Ruleset

_MODULE = "policy"


def ipsec_warnings(family: Family, live: Ruleset) -> Iterator[PlanWarning]:
    """Warn once if a rule of any table has `-m policy`, and quote the first one."""
    for table in live.tables.values():
        for chain in table.chains.values():
            for rule in chain.rules:
                # Of thousands of rules hardly one has the word, and is read.
                if _MODULE in rule.text and any(match.module == _MODULE for match in rule.matches):
                    yield PlanWarning("ipsec", sentences.ipsec(family, rule.text), family)
                    return
