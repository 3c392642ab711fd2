"""The names of dockerfw's things in the kernel: chains, anchors, sets and the comments of its rules."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from dockerfw.iptables.model import Family, Rule, Ruleset

FILTERS: Final = "FILTERS"
FILTERS_CONTAINERS: Final = "FILTERS-CONTAINERS"
FILTERS_HOST: Final = "FILTERS-HOST"
OWN_CHAINS: Final = (FILTERS, FILTERS_CONTAINERS, FILTERS_HOST)
"""The chains that every rendering has."""
# Blocks, only where a document has some. The one chain that may fall off its end.
FILTERS_BLOCK: Final = "FILTERS-BLOCK"

INPUT: Final = "INPUT"
FORWARD: Final = "FORWARD"
DOCKER: Final = "DOCKER"
DOCKER_USER: Final = "DOCKER-USER"

# The chain of `dockerfw panic`. No revision has it, so no load touches it.
PANIC: Final = "FILTERS-PANIC"
PANIC_ANCHOR: Final = f"-j {PANIC}"

# The bound sets, which the root worker fills from what the host shows now. Bridges: (subnet, bridge) of the
# containers' networks, hash:net,iface, matched `src,src`. Proxy: (address, port) that docker-proxy holds,
# hash:net,port, matched `dst,dst`.
BRIDGES_SETS: Final[Mapping[Family, str]] = {4: "dockerfw4-bridges", 6: "dockerfw6-bridges"}
PROXY_SETS: Final[Mapping[Family, str]] = {4: "dockerfw4-proxy", 6: "dockerfw6-proxy"}

HOST_ANCHOR: Final = f"-j {FILTERS_HOST}"

# The chains of dispatch.py: by home (all, containers, host, block) and phase (limited, block), then the end,
# the root, the sources of one match, what goes to one network, or a protocol with a range of its published or
# destination ports.
_DISPATCH_CHAIN = re.compile(
    r"FILTERS-D[ACHB][LB]?-(?:END|LIMITS|ROOT|[st][0-9a-f]{12}|[0-9]{1,3}(?:d|[pd][0-9]{1,2}-[0-9]{1,5})?)",
    re.ASCII,
)
HOST_DISPATCH: Final = "FILTERS-DH"
"""What the names of the dispatch chains begin with that only packets to the host enter."""
_RULE_ID = re.compile(r'--comment "?dockerfw:([a-z0-9]{4,12})"?(?= |$)', re.ASCII)
_LABEL = re.compile(r'--comment "dockerfw r([0-9]{1,12}) ([0-9a-f]{12})"', re.ASCII)
_NAMED_SET = re.compile(r" --match-set (dockerfw\S{0,23}) ", re.ASCII)
_NO_LABEL = '--comment "dockerfw"'
_LOG_LINE = re.compile(
    r" -j NFLOG (?:--nflog-\S+ \S+ )*?"
    r'--nflog-prefix "dockerfw r[0-9]{1,16} (?:refused|block|loopback)"(?: |$)',
    re.ASCII,
)


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


def is_own_chain(name: str) -> bool:
    """Return True if a chain of this name is one that a revision loads, flushes and removes."""
    return name in OWN_CHAINS or name == FILTERS_BLOCK or _DISPATCH_CHAIN.fullmatch(name) is not None


def own_chains(*live: Ruleset | None) -> tuple[str, ...]:
    """Return the names of dockerfw's chains that live filter tables have, in the order of `sort_chains`."""
    tables = [ruleset.tables.get("filter") for ruleset in live if ruleset is not None]
    return sort_chains(name for table in tables if table for name in table.chains if is_own_chain(name))


def sort_chains(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of dockerfw's chains, each once: those that every rendering has first, then by name."""
    found = set(names)
    return (*(name for name in OWN_CHAINS if name in found), *sorted(found.difference(OWN_CHAINS)))


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


def is_refusal(rule: Rule | None) -> bool:
    """Return True for dockerfw's line that refuses what no rule allows; a line that leads to it is none."""
    if rule is None or rule.target is None or rule.target.goto:
        return False
    return label_of(rule.text) is not None


def without_label(text: str) -> str:
    """Return a rule's text without revision and digest in its comment, for comparison."""
    return _LABEL.sub(_NO_LABEL, text, count=1) if '"dockerfw r' in text else text


def body(rule: Rule) -> str:
    """Return a saved rule without `-A CHAIN `."""
    return rule.text[len(rule.chain) + 4 :]


def own_sets_named(text: str) -> tuple[str, ...]:
    """Return the names of dockerfw's sets that the rules of a save or restore text match, sorted."""
    return tuple(sorted(set(_NAMED_SET.findall(text))))


def is_dockerfw_rule(text: str) -> bool:
    """Return True if dockerfw wrote the rule, by its comment."""
    return rule_id_of(text) is not None or label_of(text) is not None


def is_log_line(text: str) -> bool:
    """Return True for a line that only logs what dockerfw's next line refuses (log_lines.py)."""
    return " -j NFLOG " in text and _LOG_LINE.search(text) is not None


def own_rules(live: Ruleset | None, chain: str) -> tuple[Rule, ...]:
    """Return the rules of one of dockerfw's chains in a live filter table; none without the chain.

    Its log lines are left out: they decide nothing, and are no part of what is compared.
    """
    found = live.chain("filter", chain) if live is not None else None
    if found is None:
        return ()
    rules = [rule for rule in found.rules if " -j NFLOG " not in rule.text or not is_log_line(rule.text)]
    return found.rules if len(rules) == len(found.rules) else tuple(rules)


def last_own_rule(live: Ruleset, chain: str) -> Rule | None:
    """Return the last of these rules, without reading those before it."""
    found = live.chain("filter", chain)
    rules = reversed(found.rules) if found is not None else ()
    return next((rule for rule in rules if not is_log_line(rule.text)), None)
