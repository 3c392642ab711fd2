"""The words for one rule of the kernel, on the live page and in traces.

An option without words is shown as iptables prints it, so nothing that matches is left out.
"""

from __future__ import annotations

from dockerfw.iptables import spellings
from dockerfw.iptables.model import Option, Rule
from dockerfw.iptables.tokens import printable

_WORDS = {
    "-p": "{}",
    "-s": "from {}",
    "-d": "to {}",
    "-i": "in by {}",
    "-o": "out by {}",
    "--dport": "to port {}",
    "--dports": "to ports {}",
    "--sport": "from port {}",
    "--sports": "from ports {}",
    "--ports": "from or to ports {}",
    "--ctstate": "state {}",
    "--state": "state {}",
    "--ctorigdst": "dialled address {}",
    "--ctorigdstport": "dialled port {}",
    "--ctdir": "direction {}",
    "--icmp-type": "icmp type {}",
    "--icmpv6-type": "icmpv6 type {}",
    "--match-set": "in set {}",
    "--src-type": "source is {}",
    "--dst-type": "destination is {}",
    "--limit": "at most {}",
    "--hashlimit-upto": "at most {}",
    "--hashlimit-above": "more than {}",
    "--hashlimit-burst": "the first {} at once",
    "--hashlimit-mode": "counted by {}",
    "--hashlimit-srcmask": "sources by their first {} bits",
    "--hashlimit-htable-max": "for at most {} of these",
    "--datestart": "from {} UTC",
    "--datestop": "until {} UTC",
    "--comment": "",
    # How the kernel keeps its table, which the text of the rule shows.
    "--hashlimit-name": "",
    "--hashlimit-htable-expire": "",
}
_RATES = {"--limit", "--hashlimit-upto", "--hashlimit-above"}


def readable_rule(rule: Rule) -> str:
    """Return the packets that a rule matches, such as `tcp, from 1.2.3.4/32, to port 22`, or `anything`."""
    parts = [_option(match.module, option) for match in rule.matches for option in match.options]
    bare = [match.module for match in rule.matches if match.module and not match.options]
    parts += [name for name in bare if name not in {"tcp", "udp", "sctp", "dccp", "icmp", "icmp6"}]
    return ", ".join(part for part in parts if part) or "anything"


def readable_target(rule: Rule) -> str:
    """Return the target of a rule with its options, `goto NAME`, or `count only`."""
    target = rule.target
    if target is None:
        return "count only"
    words = [f"goto {target.name}" if target.goto else target.name]
    words += [
        " ".join(("not " if option.negated else "", option.name, *option.values)).strip()
        for option in target.options
    ]
    return printable(" ".join(words))


def _option(module: str | None, option: Option) -> str:
    values = spellings.rate(option.values, 4) if option.name in _RATES else option.values
    value = printable(" ".join(values))
    wording = _WORDS.get(option.name)
    if wording is None:
        plain = f"{option.name} {value}".strip()
        text = f"{module} {plain}" if module else plain
    else:
        text = wording.format(value.replace(",", ", "))
    return f"not {text}" if option.negated and text else text
