"""The dockerfw rules that allow given sources, found in the chains that the compiler writes."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address, ip_network

import pytest

from dockerfw.chains.group_sets import bound_group_set
from dockerfw.chains.match_groups import Thresholds
from dockerfw.chains.render import write_restore
from dockerfw.document.document import make_document, validate_rule
from dockerfw.document.rule_ports import includes_port
from dockerfw.document.values import Document, DocumentRule, Group, Settings
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.iptables.protocols import protocol_number
from dockerfw.iptables.replay import parse_restore
from dockerfw.messages.snapshot_values import with_loaded_sets
from dockerfw.reach.allowing_rules import ENTRIES, AllowingRules, overlap
from dockerfw.simulation.addresses import AddressSet, union_of
from dockerfw.simulation.moments import seconds_of
from dockerfw.simulation.services import Reach, Service, simulate_service
from dockerfw.simulation.simulate import Prepared, prepare
from dockerfw.simulation.surroundings import IpSet
from tests.rig.compiled_documents import BOUND, GROUPS, PLAIN, SMALL, compiled, random_document
from tests.simulation.hosts import HOST

FORMS: Mapping[str, Thresholds] = {
    "plain": PLAIN,
    "small": SMALL,
    "dispatched": Thresholds(row=1, limited_row=1, fan_out=3),
    "sets": Thresholds(lines=0),
    "source chains": Thresholds(lines=1, row=1, limited_row=1, fan_out=4, sets=0, chained=1000),
}
TCP, UDP = 6, 17
MEMBERS: Mapping[Family, Mapping[str, tuple[str, ...]]] = {
    family: {
        f"@{group.name}": group.entries or BOUND[family][bound_group_set(group, family)] for group in GROUPS
    }
    for family in FAMILIES
}
OWN: Mapping[Family, str] = {4: "192.0.2.1", 6: "2001:db8::1"}
INSIDE: Mapping[Family, str] = {4: "172.17.0.9", 6: "fd00:17::9"}
CLEAN = (
    "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n"
    "-A FORWARD -j DOCKER-USER\nCOMMIT\n"
)
RULES = (
    {"id": "ssh1", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "192.0.2.0/24"},
    {"id": "ssh2", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "198.51.100.7"},
    {"id": "shop", "scope": "container", "protocol": "tcp", "ports": ["8080", "9000-9010"]},
    {"id": "inner", "scope": "container", "protocol": "tcp", "ports": ["80"], "port_kind": "container"},
    {"id": "office", "scope": "both", "source": "203.0.113.0/24"},
    {"id": "both", "scope": "both", "protocol": "udp", "ports": ["53"]},
    {"id": "wide", "scope": "host", "protocol": "tcp", "ports": [str(port) for port in range(7000, 7020)]},
    {"id": "six1", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "2001:db8::/32"},
    {"id": "vms1", "scope": "forwarded", "to": "192.168.122.0/24", "protocol": "tcp", "ports": ["8080"]},
    {"id": "off1", "scope": "host", "protocol": "tcp", "ports": ["22"], "enabled": False},
)
DOCUMENT = make_document(
    Settings(external_interfaces=("eth0",)), tuple(validate_rule(rule) for rule in RULES)
)


def kernel(
    wanted: Document,
    family: Family = 4,
    limits: Thresholds = PLAIN,
    *,
    dialled: int = 0,
    inner: int | None = None,
    sets: Mapping[str, IpSet] | None = None,
) -> Prepared:
    """Compile a document for a host that forwards the port `dialled` to a container's port `inner`."""
    rendering = compiled(wanted, family, limits)
    inside = INSIDE[family] if family == 4 else f"[{INSIDE[family]}]"
    nat = "".join(
        f"-A PREROUTING -d {OWN[family]} -p {name} --dport {dialled} -j DNAT --to {inside}:{inner}\n"
        for name in ("tcp", "udp")
        if inner is not None
    )
    text = f"*nat\n{nat}COMMIT\n{CLEAN}{write_restore(rendering, family)}"
    proxied = f"{OWN[family]},tcp:8443"
    version = "family inet" if family == 4 else "family inet6"
    fixed = {
        **{name: IpSet(name, "hash:net", members, version) for name, members in BOUND[family].items()},
        f"dockerfw{family}-proxy": IpSet(f"dockerfw{family}-proxy", "hash:net,port", (proxied,), version),
        f"dockerfw{family}-bridges": IpSet(f"dockerfw{family}-bridges", "hash:net,iface", (), version),
    }
    around = with_loaded_sets(replace(HOST, sets={**fixed, **(sets or {})}), rendering.sets)
    return prepare(parse_restore(text, family=family), around, family)


def reach_of(prepared: Prepared, protocol: int, port: int, destination: str = "") -> Reach:
    family = prepared.family
    address = ip_address(destination or OWN[family])
    return simulate_service(prepared, Service(family, protocol, address, port, "eth0"), ENTRIES)


def names(prepared: Prepared, protocol: int, port: int, destination: str = "") -> set[str]:
    reach = reach_of(prepared, protocol, port, destination)
    return set(AllowingRules(prepared).find_allowing(reach, reach.passes))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("protocol", "dialled", "inner", "found"),
    [
        (TCP, 22, None, {"ssh1", "ssh2", "office"}),
        (TCP, 23, None, {"office"}),
        (TCP, 7019, None, {"wide", "office"}),
        (UDP, 53, None, {"both", "office"}),
        (UDP, 53, 5353, {"both", "office"}),
        (TCP, 8080, 8000, {"shop", "office"}),
        (TCP, 9005, 90, {"shop", "office"}),
        (TCP, 8081, 80, {"inner", "office"}),
        (TCP, 80, 8081, {"office"}),
    ],
)
def test_the_rules_for_a_port(
    form: str, protocol: int, dialled: int, inner: int | None, found: set[str]
) -> None:
    prepared = kernel(DOCUMENT, limits=FORMS[form], dialled=dialled, inner=inner)
    assert names(prepared, protocol, dialled) == found


def test_only_the_port_of_docker_proxy_is_reached_by_the_line_for_it() -> None:
    rule = validate_rule({"id": "shop", "scope": "container", "protocol": "tcp", "ports": ["8443-8444"]})
    prepared = kernel(make_document(Settings(), (rule,)))
    assert names(prepared, TCP, 8443) == {"shop"}
    assert names(prepared, TCP, 8444) == set()


@pytest.mark.parametrize("form", FORMS)
def test_only_rules_for_the_given_sources(form: str) -> None:
    prepared = kernel(DOCUMENT, limits=FORMS[form])
    allowing, reach = AllowingRules(prepared), reach_of(prepared, TCP, 22)
    assert allowing.find_allowing(reach, AddressSet.of(4, ["192.0.2.0/28", "10.0.0.0/8"])) == ("ssh1",)
    assert allowing.find_allowing(reach, AddressSet.nothing(4)) == ()


def test_a_rule_for_forwarded_traffic_allows_only_its_destination() -> None:
    around = replace(HOST, default_routes={4: ("docker0",), 6: ("docker0",)})
    prepared = replace(kernel(DOCUMENT), surroundings=around)
    assert names(prepared, TCP, 8080, "192.168.122.9") == {"shop", "office", "vms1"}
    assert names(prepared, TCP, 8080, "192.168.123.9") == {"shop", "office"}


def test_the_other_family_has_its_own() -> None:
    six = kernel(DOCUMENT, 6)
    assert names(six, TCP, 22) == {"six1"}


def test_a_blocked_source_is_allowed_by_no_rule() -> None:
    rules = (
        DocumentRule("open", "host", protocol="tcp", ports=("22",)),
        DocumentRule("some", "host", ("203.0.113.0/28",), protocol="tcp", ports=("22",)),
        DocumentRule("bad1", "host", ("203.0.113.0/24",), action="block"),
    )
    for form in FORMS.values():
        prepared = kernel(Document(Settings(("eth0",)), rules), limits=form)
        reach = reach_of(prepared, TCP, 22)
        assert not reach.passes.intersection(AddressSet.of(4, ["203.0.113.0/24"]))
        assert names(prepared, TCP, 22) == {"open"}


def test_a_limited_rule_and_one_that_has_not_ended() -> None:
    rules = (
        DocumentRule("slow", "host", protocol="tcp", ports=("22",), limit="6/minute"),
        DocumentRule("soon", "host", ("10.0.0.0/8",), "tcp", ("22",), expires="2027-01-31T18:00:00Z"),
        DocumentRule("next", "host", ("11.0.0.0/8",), "tcp", ("22",), starts="2028-01-31T18:00:00Z"),
        DocumentRule("here", "host", ("12.0.0.0/8",), "tcp", ("22",), interface="eth0"),
        DocumentRule("away", "host", ("13.0.0.0/8",), "tcp", ("22",), interface="eth1"),
    )
    for form in FORMS.values():
        prepared = kernel(Document(Settings(("eth0",)), rules), limits=form)
        assert names(prepared.at(seconds_of("2027-01-31T18:00:00Z")), TCP, 22) == {"slow", "soon", "here"}
        assert names(prepared.at(seconds_of("2027-01-31T18:00:01Z")), TCP, 22) == {"slow", "here"}
        assert names(prepared.at(seconds_of("2028-02-01T00:00:00Z")), TCP, 22) == {"slow", "next", "here"}


def test_a_group_that_is_followed() -> None:
    feed = Group("feed", "feed", url="https://lists.example/drop")
    rules = (DocumentRule("feed", "host", ("@feed",), protocol="tcp", ports=("22",)),)
    wanted = Document(Settings(("eth0",)), rules, groups=(feed,))
    name = next(
        word
        for line in compiled(wanted, 4, PLAIN).chains["FILTERS-HOST"]
        for word in line.split()
        if word.startswith("dockerfw4-b")
    )
    known = IpSet(name, "hash:net", ("198.51.100.0/24",), "family inet")
    prepared = kernel(wanted, sets={name: known})
    assert names(prepared, TCP, 22) == {"feed"}
    assert reach_of(prepared, TCP, 22).passes == AddressSet.of(4, ["198.51.100.0/24"])
    # With unknown members it is unknown who gets in, and never nobody.
    unknown = reach_of(kernel(wanted, sets={name: replace(known, members=None)}), TCP, 22)
    assert unknown.unknown.is_everything


def allows(rule: DocumentRule, family: Family, service: Service, inner: int | None) -> AddressSet:
    """Return the sources that a rule of a random document allows, by the words of the reference."""
    nothing = AddressSet.nothing(family)
    arriving, inside = (service.port or 0) if inner is None else inner, inner is not None
    ports = {"published": service.port or 0, "container": arriving}
    if rule.action == "block" or family not in rule.families or not rule.enabled:
        return nothing
    if rule.protocol not in ("any", "icmp") and protocol_number(rule.protocol) != service.protocol:
        return nothing
    if rule.protocol == "icmp" or (rule.ports and not includes_port(rule, ports[rule.port_kind])):
        return nothing
    if rule.scope == ("host" if inside else "forwarded"):
        return nothing
    if rule.scope == "container" and not inside:
        # By docker-proxy, which holds this port only; which ports of SCTP it holds is not known.
        proxied = (service.protocol, service.port) == (TCP, 8443) or (service.protocol, family) == (132, 6)
        proxied = proxied and rule.port_kind == "published" and rule.protocol != "any"
        if not (proxied and rule.ports):
            return nothing
    destination = INSIDE[family] if rule.scope == "forwarded" else OWN[family]
    if rule.to and (inside and rule.port_kind == "container") and rule.scope != "forwarded":
        destination = INSIDE[family]
    if rule.to and ip_address(destination) not in ip_network(rule.to):
        return nothing
    if not rule.sources:
        return AddressSet.everything(family)
    networks = [each for source in rule.sources for each in MEMBERS[family].get(source, (source,))]
    return AddressSet.of(family, [each for each in networks if (":" in each) == (family == 6)])


BOUND_NAMES = {f"@{group.name}" for group in GROUPS if not group.entries}


def services(family: Family) -> Iterator[Service]:
    for protocol in (TCP, UDP, 132):
        for port in (22, 80, 85, 443, 8050, 8443, 9999):
            yield Service(family, protocol, ip_address(OWN[family]), port, "eth0")


@pytest.mark.parametrize("family", FAMILIES)
def test_every_form_names_the_rules_that_the_document_has(family: Family) -> None:
    dice = random.Random(f"allowing {family}")
    named = 0
    for size in (1, 5, 12, 25, 60):
        wanted = random_document(dice, size)
        dialled, inner = dice.choice((80, 8443, 8050)), dice.choice((22, 81, 443))
        by_form = {
            form: kernel(wanted, family, limits, dialled=dialled, inner=inner)
            for form, limits in FORMS.items()
        }
        for service in services(family):
            forwarded = service.port == dialled and service.protocol in (TCP, UDP)
            expected = {
                rule.id: sources
                for rule in wanted.rules
                if (sources := allows(rule, family, service, inner if forwarded else None))
            }
            for form, prepared in by_form.items():
                reach = simulate_service(prepared, service, ENTRIES)
                found = set(AllowingRules(prepared).find_allowing(reach, reach.passes))
                right = {each for each, its in expected.items() if overlap(its, reach.passes)}
                # Of rules that match the same, those for anyone or for a list share the line of the first.
                shared = {
                    rule.id for rule in wanted.rules if not rule.sources or BOUND_NAMES & {*rule.sources}
                }
                shared |= {each for each in right if expected[each].is_everything}
                assert right - shared <= found <= right, (form, service)
                missing = [expected[each] for each in right - found]
                covered = union_of(family, [expected[each] for each in found])
                assert not union_of(family, missing).intersection(reach.passes).difference(covered)
                named += len(found)
    assert named > 500


def test_two_sets_of_addresses_that_overlap() -> None:
    dice = random.Random("overlap")
    for _ in range(300):
        one, other = (
            AddressSet.from_intervals(
                4, [(start, start + dice.randrange(8)) for start in dice.choices(range(99), k=4)]
            )
            for _ in range(2)
        )
        assert overlap(one, other) == bool(one.intersection(other))
    assert not overlap(AddressSet.everything(4), AddressSet.nothing(4))
