"""The names of dockerfw's things in the kernel: its chains, its anchors and the comments of its rules."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from dockerfw.iptables.model import Rule, Ruleset

FILTERS: Final = "FILTERS"
FILTERS_CONTAINERS: Final = "FILTERS-CONTAINERS"
FILTERS_HOST: Final = "FILTERS-HOST"
OWN_CHAINS: Final = (FILTERS, FILTERS_CONTAINERS, FILTERS_HOST)

INPUT: Final = "INPUT"
FORWARD: Final = "FORWARD"
DOCKER: Final = "DOCKER"
DOCKER_USER: Final = "DOCKER-USER"

# The chain of `dockerfw panic`. No revision has it, so no load touches it.
PANIC: Final = "FILTERS-PANIC"
PANIC_ANCHOR: Final = f"-j {PANIC}"

HOST_ANCHOR: Final = f"-j {FILTERS_HOST}"

_RULE_ID = re.compile(r'--comment "?dockerfw:([a-z0-9]{4,12})"?(?= |$)', re.ASCII)
_LABEL = re.compile(r'--comment "dockerfw r([0-9]{1,12}) ([0-9a-f]{12})"', re.ASCII)
_NO_LABEL = '--comment "dockerfw"'


@dataclass(frozen=True, slots=True)
class Label:
    """The revision named in the comment of the last rule; 0 is a document that was never a revision."""

    revision: int
    digest: str

    def __str__(self) -> str:
        return f"dockerfw r{self.revision} {self.digest}"


def container_anchor(interface: str) -> str:
    """Return the anchor for an interface, without `-A DOCKER-USER`."""
    return f"-i {interface} -j {FILTERS_CONTAINERS}"


def rule_comment(rule_id: str) -> str:
    """Return the match that carries a document rule's id into the kernel."""
    return f'-m comment --comment "dockerfw:{rule_id}"'


def rule_id_of(text: str) -> str | None:
    """Return the id of the document rule in a saved or rendered rule's comment."""
    found = _RULE_ID.search(text)
    return found[1] if found else None


def label_of(text: str) -> Label | None:
    """Return the label in a saved or rendered rule's comment."""
    found = _LABEL.search(text)
    return Label(int(found[1]), found[2]) if found else None


def without_label(text: str) -> str:
    """Return a rule's text without revision and digest in its comment, for comparison."""
    return _LABEL.sub(_NO_LABEL, text, count=1) if '"dockerfw r' in text else text


def body(rule: Rule) -> str:
    """Return a saved rule without `-A CHAIN `."""
    return rule.text[len(rule.chain) + 4 :]


def is_dockerfw_rule(text: str) -> bool:
    """Return True if dockerfw wrote the rule, by its comment."""
    return rule_id_of(text) is not None or label_of(text) is not None


def own_rules(live: Ruleset | None, chain: str) -> tuple[Rule, ...]:
    """Return the rules of one of dockerfw's chains in a live filter table; none without the chain."""
    found = live.chain("filter", chain) if live is not None else None
    return found.rules if found is not None else ()
