"""One rule of a foreign ruleset in a document's terms, or the reason why no document rule can express it.

Rules are read in their canonical form, whatever their spelling. importing.py decides by the rule's chain.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, Literal

from dockerfw.chains import import_sentences
from dockerfw.chains.names import BRIDGES_SETS, PROXY_SETS
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.matches import Option, read_matches
from dockerfw.iptables.model import Family, Rule
from dockerfw.iptables.protocols import protocol_name, protocol_number
from dockerfw.iptables.tokens import printable, split_tokens

RuleAction = Literal["allow", "refuse", "jump"]

_ALLOWING: Final = ("ACCEPT", "RETURN")
_REFUSING: Final = ("DROP", "REJECT")
_PORT_MODULES: Final = ("tcp", "udp", "sctp", "dccp", "udplite", "multiport")
_ANY_ICMP_TYPE: Final = "255"
_OWN_SETS: Final = frozenset(
    (
        *(f"{name} src,src" for name in BRIDGES_SETS.values()),
        *(f"{name} dst,dst" for name in PROXY_SETS.values()),
    )
)
_SYN: Final = "FIN,SYN,RST,ACK SYN"


class InexpressibleError(Exception):
    """A rule that no document can express; the message is the reason."""


@dataclass(slots=True)
class RuleContent:
    """What a rule matches, in a document's terms; `target` is its target in iptables' words.

    `own_set` is the bound set of dockerfw that it names, if it matches that as dockerfw does.
    """

    action: RuleAction
    target: str
    source: str = "any"
    to: str = ""
    protocol: str = "any"
    ports: list[str] = field(default_factory=list)
    published: bool = False
    interface: str | None = None
    established: bool = False
    own_set: str = ""
    comment: str = ""

    @property
    def matches_everything(self) -> bool:
        """True if the rule matches every packet on its interfaces."""
        everything = (self.source, self.to, self.protocol) == ("any", "", "any")
        return everything and not (self.established or self.own_set)


def read_rule(rule: Rule, family: Family) -> RuleContent:
    """Read one rule. Raises InexpressibleError."""
    matches, target = read_matches(split_tokens(canonical_text(rule.text, family))[2:])
    if target is None:
        raise InexpressibleError(import_sentences.NO_TARGET)
    if target.goto:
        raise InexpressibleError(import_sentences.GOTO)
    if target.name in _ALLOWING:
        found = RuleContent("allow", target.name)
    elif target.name in _REFUSING:
        found = RuleContent("refuse", target.name)
    elif target.options:
        raise InexpressibleError(import_sentences.unknown_target(target.name))
    else:
        found = RuleContent("jump", target.name)
    for match in matches:
        # An error names what the admin wrote before what is only the default.
        for option in sorted(match.options, key=lambda option: option.name not in rule.text):
            if option.negated:
                raise InexpressibleError(import_sentences.negated(option.name))
            _take(found, match.module, option)
    return found


def _take(found: RuleContent, module: str | None, option: Option) -> None:
    value = " ".join(option.values)
    match (module, option.name):
        case (None, "-s"):
            if "," in value:
                raise InexpressibleError(import_sentences.SEVERAL_SOURCES)
            found.source = value
        case (None, "-d"):
            if "," in value:
                raise InexpressibleError(import_sentences.SEVERAL_DESTINATIONS)
            found.to = value
        case (None, "-p"):
            number = protocol_number(value)
            if number is None:
                raise InexpressibleError(import_sentences.unknown_protocol(value))
            found.protocol = protocol_name(number)
        case (None, "-i"):
            found.interface = value
        case ("conntrack", _):
            _take_conntrack(found, option.name, value)
        case (_, "--dport" | "--dports") if module in _PORT_MODULES:
            found.ports += _ports(value)
        case ("icmp", "--icmp-type") if value == _ANY_ICMP_TYPE:
            pass
        case ("tcp", "--tcp-flags") if value == _SYN:
            # Rules are for new connections, which begin with such a packet.
            pass
        case ("set", "--match-set") if value in _OWN_SETS:
            found.own_set = option.values[0]
        case ("comment", "--comment"):
            found.comment = printable(value)
        case _:
            raise InexpressibleError(import_sentences.no_counterpart(_words(module, option)))


def _take_conntrack(found: RuleContent, name: str, value: str) -> None:
    if name == "--ctstate":
        states = set(value.split(","))
        if states <= {"ESTABLISHED", "RELATED"}:
            found.established = True
        elif not ("NEW" in states and states <= {"NEW", "ESTABLISHED", "RELATED"}):
            raise InexpressibleError(import_sentences.states_of_new_connections(value))
    elif name == "--ctorigdstport":
        found.ports += _ports(value)
        found.published = True
    elif not (name == "--ctdir" and value == "ORIGINAL"):
        raise InexpressibleError(import_sentences.no_counterpart(f"{name} {value}"))


def _ports(value: str) -> Iterator[str]:
    yield from (port.replace(":", "-") for port in value.split(","))


def _words(module: str | None, option: Option) -> str:
    words = " ".join((option.name, *(printable(value) for value in option.values)))
    return words if module is None else f"-m {module} {words}"
