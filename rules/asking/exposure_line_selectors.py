"""Put the rows of the exposure into words: allowed clients, deciding rules and possible actions.

It reads neither the database nor a snapshot.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from dockerfw.chains.names import is_refusal, rule_id_of
from dockerfw.chains.set_matches import static_set_of
from dockerfw.document.document import DocumentRule
from dockerfw.document.words import describe_rule
from dockerfw.iptables.model import Family
from dockerfw.reach.exposure import LEVELS, Access, ExposureLevel, ExposureRow
from dockerfw.reach.offers import Offer, OfferKind
from dockerfw.reach.sentences import describe_access, describe_networks, describe_place, unknown_reasons
from dockerfw.simulation.trace import TraceStep, Verdict
from rules.seen.kernel_wording import readable_rule, readable_target
from rules.seen.live_selectors import ROWS

KIND_WORDS: Mapping[OfferKind, str] = {
    "process": "program",
    "container": "container",
    "host-container": "container on the host's network",
    "ingress": "swarm ingress",
    "forward": "port forward",
    "past-host": "container past this host",
}
CONTAINER_PORT = "container port"
# More deciding rules than these are counted, not named.
MOST_DECIDING = 3
MANY = 30


@dataclass(frozen=True, slots=True)
class By:
    """A deciding rule: one of ours by its key, else a place on the live page."""

    text: str
    rule_key: str = ""
    family: Family = 4
    anchor: str = ""
    page: int = 1


@dataclass(frozen=True, slots=True)
class AccessWords:
    """The allowed clients of one or both families in words; `all_networks` names more than `words`."""

    families: tuple[Family, ...]
    interfaces: tuple[str, ...]
    level: ExposureLevel
    words: str
    all_networks: str
    by: tuple[By, ...]
    reasons: tuple[str, ...]

    @property
    def family_words(self) -> str:
        """`IPv4`, `IPv6`, or both."""
        return " and ".join(f"IPv{family}" for family in self.families)


@dataclass(frozen=True, slots=True)
class Action:
    """What an admin can do about a row: edit the rule `key`, or add one that starts with `values`."""

    action: Literal["restrict", "allow"]
    key: str
    values: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Line:
    """One row in words; `last` is the last line of a run of ports for which this one stands."""

    row: ExposureRow
    name: str
    kind: str
    address: str
    access: tuple[AccessWords, ...]
    actions: tuple[Action, ...]
    last: Line | None = None

    @property
    def level(self) -> ExposureLevel:
        """The widest of its answers."""
        return self.row.level

    @property
    def port(self) -> str:
        """The port that clients connect to, with its protocol: `8080/tcp`, for a run `8000-8010/tcp`."""
        if self.row.offer.ports:
            return self.row.offer.ports
        number = self.row.offer.port
        ports = f"{number}-{self.last.row.offer.port}" if self.last else str(number)
        return f"{ports}/{self.row.offer.protocol}"

    @property
    def inner(self) -> tuple[str, ...]:
        """The containers' addresses and ports; for a run those of its first and last port."""
        if self.last is None:
            return self.row.offer.inner
        ends = zip(self.row.offer.inner, self.last.row.offer.inner, strict=True)
        return tuple(first if first == last else f"{first} to {last}" for first, last in ends)

    def holds(self, words: Iterable[str]) -> bool:
        """Return True if the line contains every word."""
        said = [self.port, self.name, self.kind, self.row.offer.detail, self.address, *self.row.offer.inner]
        said += [each.words for each in self.access]
        said += [f"{by.text} {by.rule_key}" for each in self.access for by in each.by]
        text = " ".join(said).casefold()
        return all(word in text for word in words)


def exposure_lines(
    rows: Iterable[ExposureRow], rules: Mapping[str, DocumentRule], *, loaded: bool
) -> tuple[Line, ...]:
    """Return the rows in words; `rules` are the draft's by id, `loaded` means a revision is in the kernel."""
    return tuple(
        Line(
            row=row,
            name=name_of(row.offer),
            kind=CONTAINER_PORT if row.offer.direct else KIND_WORDS[row.offer.kind],
            address=address_of(row.offer),
            access=tuple(access_words(row.access, rules)),
            actions=tuple(_actions(row, rules, loaded=loaded)),
        )
        for row in rows
    )


def idle_holding(rules: tuple[DocumentRule, ...], words: Sequence[str]) -> tuple[DocumentRule, ...]:
    """Return the rules whose description, comment and id contain every word."""
    if not words:
        return rules
    return tuple(
        rule
        for rule in rules
        if all(word in f"{describe_rule(rule)} {rule.comment} {rule.id}".casefold() for word in words)
    )


def name_of(offer: Offer) -> str:
    """Return the name of what listens, as far as it is known."""
    if offer.name:
        return offer.name
    if offer.kind == "ingress":
        return "a swarm service"
    if offer.kind == "forward":
        return f"forwarded to {offer.detail}"
    if offer.direct:
        return f"container at {offer.address}"
    if offer.kind == "container":
        return name_of_inner(offer.inner) if offer.inner else "docker-proxy"
    return "unnamed program"


def name_of_inner(inner: Iterable[str]) -> str:
    """Return the name of a container of which only the addresses and ports are known."""
    return f"container at {', '.join(inner)}"


def address_of(offer: Offer) -> str:
    """Return the address it listens on: `any address`, `127.0.0.1`, `127.0.0.53 on lo`."""
    text = str(offer.address) if offer.address else "any address"
    return f"{text} on {offer.interface}" if offer.interface else text


def access_words(answers: Iterable[Access], rules: Mapping[str, DocumentRule]) -> Iterator[AccessWords]:
    """Yield the answers; those of both families are one where they are equal."""
    found: dict[tuple[object, ...], AccessWords] = {}
    answers = tuple(answers)
    several = len({name for each in answers for name in each.interfaces}) > 1
    for who in answers:
        made = AccessWords(
            families=(who.family,),
            interfaces=who.interfaces if several else (),
            level=who.level,
            words=describe_access(who),
            all_networks=_more_networks(who),
            by=tuple(_by(who, rules)),
            reasons=(*unknown_reasons(who), *((who.reason,) if who.reason else ())),
        )
        said = (
            made.interfaces,
            made.words,
            made.all_networks,
            tuple(by.text for by in made.by),
            made.reasons,
        )
        known = found.get(said)
        families = (*known.families, who.family) if known else made.families
        found[said] = AccessWords(
            families,
            made.interfaces,
            made.level,
            made.words,
            made.all_networks,
            known.by if known else made.by,
            made.reasons,
        )
    yield from sorted(found.values(), key=lambda each: LEVELS.index(each.level))


def _more_networks(who: Access) -> str:
    if who.level not in ("networks", "unknown"):
        return ""
    text = describe_networks(who.passes, MANY)
    return text if who.passes and text not in describe_access(who) else ""


def _by(who: Access, rules: Mapping[str, DocumentRule]) -> Iterator[By]:
    """Yield the deciding rules: ours for allowed clients, else other rules and policies."""
    for key in who.rules[:MOST_DECIDING]:
        yield By(describe_rule(rules[key]) if key in rules else f"rule {key}", rule_key=key)
    if len(who.rules) > MOST_DECIDING:
        yield By(f"{len(who.rules) - MOST_DECIDING} more rules")
    if who.rules or who.level == "unknown":
        return
    wanted = "ACCEPT" if who.passes else None
    seen: set[str] = set()
    for step in _deciding(who, wanted):
        by = _place(step, who.family, rules)
        if by.rule_key and seen and not who.passes:
            # What is refused anyway needs no block.
            continue
        if by.text not in seen and len(seen) < MOST_DECIDING:
            seen.add(by.text)
            yield by


def _deciding(who: Access, kind: str | None) -> Iterator[TraceStep]:
    """Yield the deciding steps, the one for the most addresses first."""

    def counts(part: tuple[object, Verdict]) -> bool:
        return part[1].kind == kind if kind else part[1].kind in ("DROP", "REJECT")

    for _, verdict in sorted(filter(counts, who.parts), key=lambda part: -part[0].count()):
        if verdict.step is not None:
            yield verdict.step


def _place(step: TraceStep, family: Family, rules: Mapping[str, DocumentRule]) -> By:
    if is_refusal(step.rule):
        return By("no rule allows it")
    key = rule_id_of(step.rule.text) if step.rule is not None else None
    if key is not None:
        return By(describe_rule(rules[key]) if key in rules else f"rule {key}", rule_key=key)
    if step.rule is not None and static_set_of(step.rule.text):
        return By("rules that block these sources")
    words = describe_place(step)
    if step.rule is not None:
        words += f": {readable_rule(step.rule)}, then {readable_target(step.rule)}"
    page = max(0, step.number - 1) // ROWS + 1
    return By(words, family=family, anchor=f"v{family}-{step.table}-{step.chain}", page=page)


def _actions(row: ExposureRow, rules: Mapping[str, DocumentRule], *, loaded: bool) -> Iterator[Action]:
    """Yield the actions by which one of our rules would change the answer."""
    values = first_values(row.offer)
    keys = [key for who in row.access for key in who.rules]
    if row.level in ("anywhere", "networks", "unknown") and any(who.passes for who in row.access):
        key = next((key for key in keys if key in rules), "")
        if key or not (loaded or row.offer.ports):
            yield Action("restrict", key, {} if key else values)
    if row.level != "anywhere" and not row.offer.ports and any(is_refused_by_us(who) for who in row.access):
        yield Action("allow", "", values)


def is_refused_by_us(who: Access) -> bool:
    """Return True if dockerfw refuses some of the sources."""
    return any(verdict.step is not None and is_refusal(verdict.step.rule) for _, verdict in who.parts)


def first_values(offer: Offer) -> dict[str, str]:
    """Return the fields of a rule that allows an offer."""
    if offer.kind == "forward" and offer.redirect is not None:
        return {
            "scope": "forwarded",
            "to": str(offer.redirect.to_address),
            "protocol": offer.protocol,
            "ports": str(offer.port),
            "comment": offer.detail,
        }
    # Only a rule for both matches the port that the client dials where the host takes the packets.
    on_host = "both" if offer.redirect else "host"
    return {
        "scope": "container" if offer.reaches_container else on_host,
        "protocol": offer.protocol,
        "ports": str(offer.port),
        "comment": offer.name or offer.detail,
    }


def line_json(line: Line) -> dict[str, object]:
    """Return a line as JSON values, networks in full."""
    offer = line.row.offer
    return {
        "protocol": offer.protocol,
        "port": None if offer.ports else offer.port,
        "ports": offer.ports or None,
        "port_kind": "container" if offer.direct else "published" if offer.reaches_container else None,
        "address": str(offer.address) if offer.address else None,
        "interface": offer.interface or None,
        "kind": offer.kind,
        "name": offer.name or None,
        "detail": offer.detail or None,
        "inner": list(offer.inner),
        "notes": list(line.row.notes),
        "level": line.level,
        "who": [who_json(who) for who in line.row.access],
    }


def who_json(who: Access) -> dict[str, object]:
    """Return an answer as JSON values."""
    return {
        "family": who.family,
        "interfaces": list(who.interfaces),
        "level": who.level,
        "passes": [str(network) for network in who.passes.cidrs()],
        "unknown": [str(network) for network in who.unknown.cidrs()],
        "rules": list(who.rules),
        "decided_by": [by.text for by in _by(who, {})],
        "reasons": [*unknown_reasons(who), *([who.reason] if who.reason else [])],
    }
