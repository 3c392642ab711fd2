"""Static ipsets: the sources of a revision's rules, in sets named by their content.

A set with the same members has the same name, so that an unchanged one survives an apply with its counters,
and the old and the new rules can be loaded side by side while a window is open. Here are their values and
texts; the commands are in dockerfw/host/static_sets.py.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Final, NamedTuple

from dockerfw.chains.names import rule_id_of
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Family, Ruleset

MOST_COMMENT_BYTES: Final = 255
TYPE: Final = "hash:net"
# The least that the kernel takes (IPSET_MIMINAL_HASHSIZE): a thousand small sets cost little memory.
_LEAST_HASHSIZE: Final = 64
_MOST_HASHSIZE: Final = 1 << 20

_STATIC = re.compile(r"dockerfw[46]-s[0-9a-f]{20}", re.ASCII)
_TEMPORARY = re.compile(r"dockerfw[46]-t[0-9a-f]{20}", re.ASCII)
_FILLED = re.compile(r"dockerfw([46])-[a-z]([0-9a-f]{20})", re.ASCII)
_NAMED = re.compile(r" --match-set (dockerfw[46]-s[0-9a-f]{20}) ", re.ASCII)
_NETWORK = re.compile(r"[0-9a-f.:]{2,45}(?:/[1-9][0-9]{0,2})?", re.ASCII)
_ID = re.compile(r"[a-z0-9]{1,32}", re.ASCII)
_CREATE = re.compile(r"^create (\S+) (\S+) ?(.*)$", re.MULTILINE)
_ADD = re.compile(
    r'^add (\S+) (\S+)(?: packets (\d+) bytes (\d+))?(?: comment "([^"\n]*)")?( .*)?$', re.MULTILINE
)


class UnusableSet(NetfilterError):  # noqa: N818 - it states a fact
    """A text or a value is no set of dockerfw's; the text says why."""


class Element(NamedTuple):
    """An element of a set in the kernel: its comment, and the packets and bytes that it has let through."""

    comment: str
    packets: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class SetContents:
    """A set as the kernel holds it: its type, the options of its `create` line, the elements by network."""

    type: str
    options: str
    elements: Mapping[str, Element]


@dataclass(frozen=True, slots=True)
class StaticSet:
    """A set of type hash:net. `members` has for each network, as ipset prints it, the ids of its rules.

    Networks are canonical, a single address is written without its length, and none has the length 0. The
    `name` in the kernel has at most 31 bytes: the family and a digest of the members with their ids. It can
    be given for a set whose contents are not its name.
    """

    family: Family
    members: Mapping[str, tuple[str, ...]]
    name: str = ""
    comments: Mapping[str, str] = field(init=False, repr=False, compare=False)
    """The comment of each network: its ids, as far as they fit whole."""

    def __post_init__(self) -> None:
        """Compute the comments and the name once, since a set can have 100,000 members."""
        known: dict[tuple[str, ...], str] = {}
        comments = {
            network: known[ids] if ids in known else known.setdefault(ids, comment_of(ids))
            for network, ids in self.members.items()
        }
        object.__setattr__(self, "comments", comments)
        if not self.name:
            object.__setattr__(self, "name", static_name(self.family, comments))


@dataclass(frozen=True, slots=True)
class SetDifference:
    """The elements, as "NETWORK IDS", that a set in the kernel lacks and that it has beyond its own."""

    lost: tuple[str, ...] = ()
    added: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Return True if anything differs."""
        return bool(self.lost or self.added)


def comment_of(ids: Iterable[str]) -> str:
    """Return the comment of an element: the ids, as many as fit whole into 255 bytes."""
    text = " ".join(ids)
    return text if len(text) <= MOST_COMMENT_BYTES else text[: MOST_COMMENT_BYTES + 1].rpartition(" ")[0]


def static_name(family: Family, comments: Mapping[str, str]) -> str:
    """Return the name of the set with these networks and comments."""
    text = "\n".join(f"{network} {comment}" for network, comment in sorted(comments.items()))
    return f"dockerfw{family}-s{hashlib.sha256(text.encode('utf-8', 'replace')).hexdigest()[:20]}"


def is_static_name(name: str) -> bool:
    """Return True if the name is that of a static set."""
    return _STATIC.fullmatch(name) is not None


def is_temporary_name(name: str) -> bool:
    """Return True if the name is that of a set which is being filled, or was when its process was killed."""
    return _TEMPORARY.fullmatch(name) is not None


def family_of(name: str) -> Family:
    """Return the family in the name of a set of dockerfw's."""
    return 6 if name.startswith("dockerfw6") else 4


def static_sets_named(text: str) -> tuple[str, ...]:
    """Return the names of the static sets that the rules of a save or restore text match, sorted."""
    return tuple(sorted(set(_NAMED.findall(text))))


def static_sets_in(live: Ruleset) -> tuple[str, ...]:
    """Return the names of the static sets that the rules of a filter table match, sorted."""
    table = live.tables.get("filter")
    return tuple(
        sorted(
            {
                name
                for chain in (table.chains.values() if table is not None else ())
                for rule in chain.rules
                if " --match-set dockerfw" in rule.text
                for name in _NAMED.findall(rule.text)
            }
        )
    )


def without_static_set(line: str) -> str:
    """Return a line without the name of the static set that it matches."""
    return _NAMED.sub(" --match-set  ", line) if " --match-set dockerfw" in line else line


def owners_of(lines: Iterable[str]) -> dict[str, str]:
    """Return the ids of rules whose sources alone are in a set, by its name.

    The id is on the line that matches the set, and not on its elements. A set that several lines match is
    left out: its elements do not tell which line counted a packet.
    """
    found: dict[str, list[str]] = {}
    for line in lines:
        if " --match-set dockerfw" in line:
            for name in _NAMED.findall(line):
                found.setdefault(name, []).append(rule_id_of(line) or "")
    return {name: ids[0] for name, ids in found.items() if len(ids) == 1 and ids[0]}


def empty_creation_text(names: Iterable[str]) -> str:
    """Return the text for `ipset -exist restore` that creates static sets of these names without members."""
    return "".join(f"create {name} {TYPE} {_options(family_of(name), 1)}\n" for name in names)


def creation_text(sets: Iterable[StaticSet]) -> str:
    """Return the text for `ipset restore` that creates and fills sets which do not exist.

    Raises UnusableSet.
    """
    return "".join(f"{_creation(one, one.name)}\n{_adding(one, one.name)}" for one in sets)


Counters = Mapping[str, tuple[int, int]]
"""Packets and bytes by network."""


def filling_text(sets: Iterable[StaticSet], counters: Mapping[str, Counters] | None = None) -> str:
    """Return the text for `ipset -exist restore` that gives each set its contents in one step.

    A set that exists is swapped, also while rules use it. `counters` are those of the elements by the set's
    name. Each set is filled under another name first, so that one of its own name is never half filled.
    Raises UnusableSet.
    """
    return "".join(_filling(one, (counters or {}).get(one.name, {})) for one in sets)


def _filling(one: StaticSet, counters: Counters) -> str:
    new = temporary_name(one.name)
    # (An earlier try may have been killed before it destroyed the new set.)
    return (
        f"{_creation(one, new)}\nflush {new}\n{_adding(one, new, counters)}{_creation(one, one.name)}\n"
        f"swap {new} {one.name}\ndestroy {new}\n"
    )


def temporary_name(name: str) -> str:
    """Return the name under which a set of this name is filled. Raises UnusableSet."""
    found = _FILLED.fullmatch(name)
    if found is None:
        raise UnusableSet(f"{name!r} is not the name of a set that dockerfw fills")
    return f"dockerfw{found[1]}-t{found[2]}"


def _creation(one: StaticSet, name: str) -> str:
    return f"create {name} {TYPE} {_options(one.family, len(one.members))}"


def static_options(family: Family) -> str:
    """Return the options of a `create` line that tell which members a static set can have."""
    return "family inet" if family == 4 else "family inet6"


def _options(family: Family, count: int) -> str:
    hashsize = min(_MOST_HASHSIZE, max(_LEAST_HASHSIZE, 1 << (count // 2).bit_length()))
    return f"{static_options(family)} hashsize {hashsize} maxelem {max(1, count)} counters comment"


def _adding(one: StaticSet, name: str, counters: Counters | None = None) -> str:
    start = f"add {name} "
    checked = set()
    lines = []
    for network, comment in one.comments.items():
        if comment not in checked:
            if not all(_ID.fullmatch(word) for word in comment.split()):
                raise UnusableSet(f"{comment!r} is not the ids of rules")
            checked.add(comment)
        if not _NETWORK.fullmatch(network):
            raise UnusableSet(f"{network!r} is not a network of a set")
        count = (counters or {}).get(network)
        hits = f" packets {count[0]} bytes {count[1]}" if count else ""
        ids = f' comment "{comment}"' if comment else ""
        lines.append(f"{start}{network}{hits}{ids}\n")
    return "".join(lines)


def read_contents(text: str) -> dict[str, SetContents]:
    """Read what `ipset save` prints, by the set's name; IPv6 networks in the spelling of documents."""
    elements: dict[str, dict[str, Element]] = {}
    heads = {name: (kind, options) for name, kind, options in _CREATE.findall(text)}
    for name in heads:
        elements[name] = {}
    # Most elements have the same comment and no hits, so that few values take little memory.
    known: dict[tuple[str, ...], Element] = {}
    for found in _ADD.finditer(text):
        name, network, *rest = found.groups("")
        if name not in elements:
            continue
        key = tuple(rest)
        element = known.get(key)
        if element is None:
            # Options that dockerfw never writes, such as nomatch, belong to what must be equal.
            packets, size, comment, more = key
            element = known[key] = Element(comment + more, int(packets or 0), int(size or 0))
        elements[name][usual_network(network) if "." in network and ":" in network else network] = element
    return {name: SetContents(*head, elements[name]) for name, head in heads.items()}


def usual_network(network: str) -> str:
    """Return a network as documents spell it: ipset ends some IPv6 networks like IPv4."""
    if ":" not in network or "." not in network:
        return network
    address, slash, length = network.partition("/")
    return f"{ip_address(address)}{slash}{length}"


def find_difference(one: StaticSet, held: SetContents | None) -> SetDifference:
    """Return how a set in the kernel, None for none, differs from what it should hold."""
    elements = held.elements if held is not None else {}
    if len(elements) == len(one.comments) and all(
        (found := elements.get(network)) is not None and found.comment == comment
        for network, comment in one.comments.items()
    ):
        return SetDifference()
    lost = [
        f"{network} {comment}".strip()
        for network, comment in one.comments.items()
        if (found := elements.get(network)) is None or found.comment != comment
    ]
    added = [
        f"{network} {found.comment}".strip()
        for network, found in elements.items()
        if one.comments.get(network) != found.comment
    ]
    return SetDifference(tuple(sorted(lost)), tuple(sorted(added)))


def fits(one: StaticSet, held: SetContents) -> bool:
    """Return True if a set in the kernel can be swapped with this one: type and family are the same."""
    family = 6 if "family inet6" in held.options else 4
    return held.type == TYPE and family == one.family


def is_intact(name: str, held: SetContents) -> bool:
    """Return True if a set in the kernel holds what its name says."""
    comments = {network: found.comment for network, found in held.elements.items()}
    return held.type == TYPE and static_name(family_of(name), comments) == name


MOST_LINES: Final = 20
"""So many of the elements that differ are told."""


@dataclass(frozen=True, slots=True)
class SetState:
    """A static set that a rule in the kernel matches: how many elements it has and how it differs.

    `entries` is None for a set that could not be read. `lost` and `added` count the elements that it lacks
    and has beyond its own, and `lines` are the first of them ("-NETWORK IDS", "+NETWORK IDS"). They are
    unknown, 0, where nothing tells what a set that is not `intact` should hold.
    """

    name: str
    entries: int | None = None
    intact: bool = True
    lost: int = 0
    added: int = 0
    lines: tuple[str, ...] = ()


def judge_set(name: str, held: SetContents | None, wanted: StaticSet | None = None) -> SetState:
    """Return the state of a set; `held` is None where it could not be read.

    `wanted` is the set of this name where that is known. Without it the name itself tells whether all of the
    contents are right.
    """
    if held is None:
        return SetState(name)
    count = len(held.elements)
    if wanted is None:
        return SetState(name, count, is_intact(name, held))
    found = find_difference(wanted, held)
    lines = [f"-{text}" for text in found.lost] + [f"+{text}" for text in found.added]
    return SetState(
        name, count, not found, len(found.lost), len(found.added), tuple(sorted(lines)[:MOST_LINES])
    )


def hits_by_rule(held: Iterable[SetContents]) -> dict[str, tuple[int, int]]:
    """Return packets and bytes by rule id: the sum over the elements that carry the id."""
    by_comment: dict[str, list[int]] = {}
    for one in held:
        for found in one.elements.values():
            counts = by_comment.setdefault(found.comment, [0, 0])
            counts[0] += found.packets
            counts[1] += found.bytes
    hits: dict[str, tuple[int, int]] = {}
    for comment, (packets, size) in by_comment.items():
        for rule_id in dict.fromkeys(comment.split()):
            before = hits.get(rule_id, (0, 0))
            hits[rule_id] = (before[0] + packets, before[1] + size)
    return hits


def carry_counters(
    sets: Iterable[StaticSet], held: Mapping[str, SetContents], owners: Mapping[str, str] | None = None
) -> dict[str, Counters]:
    """Return the counters for new sets: those of elements in the kernel with the same network and rule id.

    `owners` are the rules of sets whose elements have no ids. Of several such elements the one with the most
    packets comes first. Each is carried over once, so that the packets of a rule never become more.
    """
    by_network: dict[str, list[Element]] = {}
    for name, one in held.items():
        owner = (owners or {}).get(name, "")
        for network, found in one.elements.items():
            if found.packets:
                known = found if found.comment else found._replace(comment=owner)
                by_network.setdefault(network, []).append(known)
    for elements in by_network.values():
        elements.sort(key=lambda found: found.packets)
    known_owners = owners or {}
    return (
        {each.name: dict(_carried(each, by_network, known_owners.get(each.name, ""))) for each in sets}
        if by_network
        else {}
    )


def _carried(
    one: StaticSet, by_network: Mapping[str, list[Element]], owner: str
) -> Iterator[tuple[str, tuple[int, int]]]:
    for network in by_network.keys() & one.comments.keys():
        ids = {*(one.comments[network] or owner).split()}
        same = [found for found in by_network[network] if not ids.isdisjoint(found.comment.split())]
        if same:
            most = same[-1]
            by_network[network].remove(most)
            yield network, (most.packets, most.bytes)


def write_sets(sets: Iterable[StaticSet]) -> str:
    """Return sets as a compact text for records and messages, which `read_sets` reads."""
    parts = []
    for one in sets:
        parts.append(f"{one.name}\n")
        parts += [f"{network} {comment}\n" for network, comment in one.comments.items()]
    return "".join(parts)


def read_sets(text: str) -> tuple[StaticSet, ...]:
    """Read the text of `write_sets`. Raises UnusableSet where a set does not hold what its name says."""
    found: dict[str, dict[str, tuple[str, ...]]] = {}
    members: dict[str, tuple[str, ...]] | None = None
    known: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        if line.startswith("dockerfw"):
            members = found[line] = {}
            continue
        network, _, ids = line.partition(" ")
        if members is None or not _NETWORK.fullmatch(network):
            raise UnusableSet(f"{line[:80]!r} is not an entry of a set")
        members[network] = known[ids] if ids in known else known.setdefault(ids, tuple(ids.split()))
    sets = tuple(StaticSet(family_of(name), entries) for name, entries in found.items())
    for name, one in zip(found, sets, strict=True):
        if one.name != name:
            raise UnusableSet(f"{name[:80]!r} is not the name of a set with its entries")
    return sets
