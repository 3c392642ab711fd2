"""Rules read back from the lines, sets and dispatch chains that dockerfw has compiled from them.

A rule counts as read only if compiling it again gives exactly what the kernel holds under its id. What the
kernel does not say is listed with the reason: a feed, DNS names, countries or a container's name.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from dockerfw.chains import import_sentences
from dockerfw.chains.group_sets import BOUND_GROUP_SET
from dockerfw.chains.line_matches import port_range_match, rule_matches
from dockerfw.chains.names import (
    FILTERS,
    FILTERS_BLOCK,
    FILTERS_CONTAINERS,
    FILTERS_HOST,
    OWN_CHAINS,
    own_chains,
    own_rules,
    rule_id_of,
)
from dockerfw.chains.new_connections import LAST_TIME, limit_match, without_start
from dockerfw.chains.set_matches import static_set_of
from dockerfw.chains.sources import SourceReader
from dockerfw.document.document import FORMAT_2, parse_document
from dockerfw.document.values import DocumentRule, Group
from dockerfw.iptables.canonical import canonical_text
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Family, Rule, Ruleset
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS, protocol_name
from dockerfw.simulation.surroundings import IpSet

ANYONE: Final = ""
Pieces = Mapping[str, frozenset[str]]
"""What lines match beside the source, each with one port, and the sources: networks and bound sets."""

_HOMES: Final = {"A": FILTERS, "C": FILTERS_CONTAINERS, "H": FILTERS_HOST, "B": FILTERS_BLOCK}
_CHAINS_OF_SCOPES: Final = {
    "both": (FILTERS, FILTERS_BLOCK),
    "host": (FILTERS_HOST,),
    "forwarded": (FILTERS_CONTAINERS,),
    "container": (FILTERS_CONTAINERS,),
}
EVERYONE: Final[Mapping[Family, str]] = {4: "0.0.0.0/0", 6: "::/0"}
_DISPATCH = re.compile(r"FILTERS-D([ACHB])", re.ASCII)
_BLOCKS = re.compile(r"FILTERS-D[CH]?B-", re.ASCII)
_SOURCE_CHAIN = re.compile(r"-s[0-9a-f]{12}$", re.ASCII)
_SOURCE = re.compile(r" -s (\S+)")
_COMMENT = re.compile(r" -m comment --comment \"?dockerfw:[a-z0-9]+\"?")
_SET = re.compile(r" -m set --match-set (dockerfw[46]-[sb][0-9a-f]{20}) src\b")
_PORTS = re.compile(r" -m multiport --dports (\S+)")
_CONTAINER_SET = re.compile(r" --match-set dockerfw[46]-c[0-9a-f]{20} ")
_MEMBER = re.compile(r'(\S+)(?:.* comment "([^"]*)")?')


@dataclass(slots=True)
class _Found:
    """What the kernel holds of one rule, by family; `lines` are those that hold it."""

    pieces: dict[Family, dict[str, set[str]]] = field(default_factory=dict)
    lines: list[Rule] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ReadBack:
    """The rules by id, why others could not be read, and the lines of all of them.

    `lost` are lines that belong to rules nobody can name, with the reason.
    """

    rules: Mapping[str, DocumentRule]
    unread: Mapping[str, str]
    lines: Mapping[str, Sequence[Rule]]
    lost: Sequence[tuple[Rule, str]] = ()


def is_compiled_line(line: Rule) -> bool:
    """Return True if a line is more or less than a line of one rule: only the whole can be read."""
    return line.chain not in OWN_CHAINS or bool(static_set_of(line.text))


def is_block_chain(name: str) -> bool:
    """Return True for a chain of blocks, which packets may leave at its end."""
    return name == FILTERS_BLOCK or _BLOCKS.match(name) is not None


def read_back(
    live: Mapping[Family, Ruleset],
    known: Iterable[DocumentRule],
    groups: Sequence[Group],
    sets: Mapping[str, IpSet],
) -> ReadBack:
    """Read the rules in dockerfw's chains; a rule in `known` whose lines these are stays as it is."""
    found: dict[str, _Found] = {}
    lost = [each for family, ruleset in live.items() for each in _take(ruleset, family, sets, found)]
    all_held = _All(tuple(live), found.values())
    rules: dict[str, DocumentRule] = {}
    unread: dict[str, str] = {}
    for rule in known:
        # One without a line of its own may share those of other rules.
        if all_held.has(rule, found.get(rule.id, _Found()), groups):
            rules[rule.id] = rule
    for rule_id in found.keys() - rules.keys():
        read, reason = _read_rule(rule_id, found[rule_id], all_held)
        if read is None:
            unread[rule_id] = reason
        else:
            rules[rule_id] = read
    return ReadBack(rules, unread, {name: one.lines for name, one in found.items()}, lost)


def _take(
    live: Ruleset, family: Family, sets: Mapping[str, IpSet], found: dict[str, _Found]
) -> Iterator[tuple[Rule, str]]:
    """Sort what the lines match by the ids of their rules, and yield those whose rules are unknown."""
    leads = {
        rule.target.name: rule.text.partition(f"-A {rule.chain} ")[2].partition(" -g ")[0]
        for chain in own_chains(live)
        for rule in own_rules(live, chain)
        if rule.target is not None and rule.target.goto
    }
    for chain in own_chains(live):
        dispatch = _DISPATCH.match(chain)
        home = _HOMES[dispatch[1]] if dispatch else chain
        lead = f"{leads.get(chain, '')} " if _SOURCE_CHAIN.search(chain) else ""
        for rule in own_rules(live, chain):
            if rule.target is None or rule.target.goto:
                continue
            rule_id, name = rule_id_of(rule.text), static_set_of(rule.text)
            if rule_id is None and not name:
                continue
            text = canonical_text(f"-A {home} {lead}{rule.text[len(chain) + 4 :]}", family)
            sources = _sources(text, rule_id, sets.get(name) if name else None)
            if sources is None:
                yield rule, import_sentences.UNKNOWN_MEMBERS.format(name=name)
                continue
            for each, networks in sources.items():
                one = found.setdefault(each, _Found())
                one.lines.append(rule)
                pieces = one.pieces.setdefault(family, {})
                for piece in _each_port(_bare(text), family):
                    pieces.setdefault(piece, set()).update(networks)


def _sources(text: str, rule_id: str | None, members: IpSet | None) -> dict[str, set[str]] | None:
    """Return the sources of a line by rule id, None where the members of its set are unknown."""
    named = _SET.search(text)
    if named is not None and not BOUND_GROUP_SET.fullmatch(named[1]):
        if members is None or members.members is None:
            return None
        found: dict[str, set[str]] = {}
        for member in members.members:
            read = _MEMBER.match(member)
            for each in (rule_id,) if rule_id else (read[2] or "").split() if read else ():
                found.setdefault(each, set()).add(_network(member.partition(" ")[0]))
        return found
    source = _SOURCE.search(text)
    return {rule_id: {named[1] if named else source[1] if source else ANYONE}} if rule_id else {}


def _network(member: str) -> str:
    return member if "/" in member else f"{member}/{128 if ':' in member else 32}"


def _bare(text: str) -> str:
    return _SET.sub("", _COMMENT.sub("", _SOURCE.sub("", text, count=1), count=1), count=1)


def _each_port(text: str, family: Family) -> Iterator[str]:
    """Yield a line for each port of a match on several."""
    several = _PORTS.search(text)
    if several is None:
        yield text
        return
    protocol = _protocol(_after(text.split(), "-p"))
    for port in several[1].split(","):
        one = port_range_match(protocol, "destination", port.replace(":", "-"))
        yield canonical_text(text.replace(several[0], f" {one}", 1), family)


def rule_pieces(rule: DocumentRule, family: Family, groups: Iterable[Group]) -> Pieces:
    """Return what the lines of a rule match, whatever form the compiler gives them."""
    sources = SourceReader(groups, family).read(rule) if family in rule.families and rule.enabled else None
    if sources is None:
        return {}
    named = frozenset(
        (*((ANYONE,) if sources.anyone else ()), *map(_network, sources.networks), *sources.bound)
    )
    found = {}
    for chain, _, match in rule_matches(rule, family):
        for one in [match.with_port(port) for port in match.ports] or [match]:
            for ports in one.port_matches():
                found[canonical_text(f"-A {chain} {one.line(ports)}", family)] = named
    return found


class _All:
    """What the kernel holds of all rules, to compare one with."""

    def __init__(self, families: tuple[Family, ...], found: Iterable[_Found]) -> None:
        self.families = families
        self._sources: dict[tuple[Family, str], set[str]] = {}
        for one in found:
            for family, pieces in one.pieces.items():
                for text, named in pieces.items():
                    for spelled in {text, without_start(text)}:
                        self._sources.setdefault((family, spelled), set()).update(named)

    def has(
        self, rule: DocumentRule, one: _Found, groups: Sequence[Group] = (), *, alone: bool = False
    ) -> bool:
        """Return True if the kernel holds exactly what a rule compiles to.

        Unless it has to be `alone`, a source may be at the line of another rule that matches the same. An
        allowance may be once more in a chain before, where a limit must not drop its packets.
        """
        spelled = without_start if rule.expires else str
        is_any = False
        for family in self.families:
            wanted = {spelled(text): named for text, named in rule_pieces(rule, family, groups).items()}
            is_any = is_any or bool(wanted)
            held = {spelled(text): frozenset(named) for text, named in one.pieces.get(family, {}).items()}
            for text, named in held.items():
                twin = re.sub(f"^-A (?:{FILTERS_HOST}|{FILTERS_CONTAINERS}) ", f"-A {FILTERS} ", text)
                if not named <= wanted.get(text, wanted.get(twin, frozenset())):
                    return False
            for text, named in wanted.items():
                others: set[str] = set() if alone else self._sources.get((family, text), set())
                if not named - held.get(text, frozenset()) <= others:
                    return False
        return is_any


def _read_rule(rule_id: str, one: _Found, all_held: _All) -> tuple[DocumentRule | None, str]:
    """Return the rule that compiles to what was found, or the reason why none is known."""
    pieces = [(text, named) for found in one.pieces.values() for text, named in found.items()]
    if any(BOUND_GROUP_SET.fullmatch(source) for _, named in pieces for source in named):
        return None, import_sentences.BOUND_SOURCES
    if any(_CONTAINER_SET.search(text) for text, _ in pieces):
        return None, import_sentences.BOUND_CONTAINER
    texts = [text for text, _ in pieces]
    choices = itertools.product(
        _CHAINS_OF_SCOPES, ("", f"{LAST_TIME}Z"), _source_choices(one, all_held.families)
    )
    for scope, last, sources in choices:
        try:
            (rule,) = parse_document(_document(rule_id, scope, last, texts, sources)).rules
        except NetfilterError:
            continue
        # What another rule allows to everyone must not become a part of this one.
        if all_held.has(rule, one, alone=not sources):
            return rule, ""
    return None, import_sentences.NOT_COMPILED_FROM


def _document(
    rule_id: str, scope: str, last: str, texts: Sequence[str], sources: Sequence[str]
) -> dict[str, Any]:
    """Return the document with the rule of a scope that lines suggest; `last` is what the last time means."""
    own = [text for text in texts if text.split()[1] in _CHAINS_OF_SCOPES[scope]] or texts
    words = own[0].split()
    protocol = _protocol(_after(words, "-p"))
    published = "--ctorigdstport" in words
    ports = dict.fromkeys(
        (
            _after(each.split(), "--ctorigdstport")
            or _after(each.split(), "--dport")
            or _after(each.split(), "--dports")
        ).replace(":", "-")
        for each in own
    )
    # A canonical line leaves out the last time that the kernel knows.
    ends = _after(words, "--datestop") or (LAST_TIME if "time" in words else "")
    rule = {
        "id": rule_id,
        "scope": scope,
        "action": "block" if words[-1] == "DROP" else "allow",
        "sources": list(sources),
        "protocol": protocol,
        "ports": [port for port in ports if port]
        or (["all"] if protocol in ("any", *PROTOCOLS_WITH_PORTS) else []),
        "port_kind": "container" if any(ports) and not published and scope != "host" else "",
        "to": _after(words, "--ctorigdst") or _after(words, "-d"),
        "interface": _after(words, "-i"),
        "limit": _limit(rule_id, words),
        "starts": f"{start}Z" if (start := _after(words, "--datestart")) else "",
        "expires": last if ends == LAST_TIME else ends and f"{ends}Z",
    }
    return {
        "format": FORMAT_2,
        "settings": {"external_interfaces": [rule["interface"] or "eth0"], "trusted_interfaces": []},
        "rules": [{key: value for key, value in rule.items() if value}],
    }


def _source_choices(one: _Found, families: Iterable[Family]) -> list[list[str]]:
    """Return the sources of a rule; a destination of one IP version may be why the other has none."""
    named = {
        source or EVERYONE[family]
        for family in families
        for sources in one.pieces.get(family, {}).values()
        for source in sources
    }
    return [*([[]] if named <= {*EVERYONE.values()} else []), sorted(named)]


def _after(words: Sequence[str], option: str) -> str:
    return words[words.index(option) + 1] if option in words else ""


def _protocol(word: str) -> str:
    name = protocol_name(int(word)) if word.isdigit() else word or "any"
    return "icmp" if name == "ipv6-icmp" else name


def _limit(rule_id: str, words: Sequence[str]) -> str:
    """Return the limit whose match a line has, such as `6/minute`; the name of its table tells."""
    # A canonical line leaves out the default of a burst.
    count, name = _after(words, "--hashlimit-burst") or "5", _after(words, "--hashlimit-name")
    for unit, family in itertools.product(("second", "minute", "hour") if name else (), FAMILIES):
        if f" {name} " in limit_match(rule_id, f"{count}/{unit}", family):
            return f"{count}/{unit}"
    return ""
