"""The kernel holds what dockerfw renders: load, save and plan again, and there is nothing to do.

Both backends and both families, each in its own namespace.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from dockerfw.chains.drift import find_drift
from dockerfw.chains.kernel_state import read_kernel_state, sum_rule_counters
from dockerfw.chains.plan import Plan, plan_changes
from dockerfw.chains.rehearsal import render_rehearsal
from dockerfw.chains.render import render_restore
from dockerfw.document.document import Document
from dockerfw.iptables.model import Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.protocols import PROTOCOL_NAMES
from tests.rig.documents import document, documents
from tests.rig.namespace import BACKENDS, FAMILIES, Backend, Family, Namespace, add_bound_sets
from tests.scenarios import hosts

pytestmark = pytest.mark.kernel

MANY_PORTS = [str(port) for port in range(1000, 1020)] + [
    f"{port}-{port + 9}" for port in range(2000, 2200, 10)
]

HAND_MADE: dict[str, Document] = {
    "empty": document(),
    "no external interface": document({"scope": "both"}, external_interfaces=[]),
    "several interfaces": document(
        external_interfaces=["ens33", "eth1", "ppp+"], trusted_interfaces=["lo", "wg+"]
    ),
    "everything allowed": document({"scope": "both"}, {"scope": "host"}, {"scope": "container"}),
    "drop, no icmp": document(refuse="drop", icmp="refuse"),
    "no trusted": document(trusted_interfaces=[]),
    "all sources": document(
        *(
            {"scope": scope, "source": source, "protocol": protocol}
            for scope in ("host", "container", "both")
            for source in ("any", "0.0.0.0/0", "192.0.2.7", "10.0.0.0/8", "::/0", "2001:db8::1", "fe80::/10")
            for protocol in ("any", "tcp", "icmp")
        )
    ),
    "forwarded traffic": document(
        *(
            {"scope": "forwarded", "source": source, "to": to, "protocol": protocol, "ports": ports}
            | {"port_kind": kind}
            for to, sources in (
                ("192.168.122.0/24", ("any", "192.0.2.0/24", "0.0.0.0/0")),
                ("192.168.122.9", ("any",)),
                ("2001:db8:5::/64", ("any", "::/0", "2001:db8::7")),
            )
            for source in sources
            for protocol, ports, kind in (
                ("any", [], "published"),
                ("icmp", [], "published"),
                ("tcp", ["22", "8000-8010"], "published"),
                ("udp", MANY_PORTS, "container"),
                ("sctp", ["80"], "container"),
            )
        )
    ),
    "containers and their host": document(
        *(
            {"scope": "container", "source": source, "protocol": protocol, "ports": ports}
            for source in ("any", "172.17.0.0/16", "fd00::/8")
            for protocol in ("tcp", "udp", "sctp")
            for ports in (["8080"], ["8000-8010"], MANY_PORTS)
        ),
        containers_reach_host="allow",
    ),
    "all protocols": document(*({"scope": "both", "protocol": number} for number in range(1, 256))),
    "all names": document(*({"scope": "host", "protocol": name} for name in PROTOCOL_NAMES.values())),
    "all kinds of ports": document(
        *(
            {"scope": scope, "protocol": protocol, "ports": ports, "port_kind": kind}
            for scope in ("host", "container", "both")
            for protocol in ("tcp", "udp", "sctp", "dccp", "udplite")
            for ports in (["22"], ["8000-8010"], ["1-65535"], ["65535", "1"], MANY_PORTS)
            for kind in ("published", "container")
            if not (scope == "host" and kind == "container")
        )
    ),
}


def read_rulesets(namespace: Namespace, backend: Backend, *, counters: bool = True) -> dict[Family, Ruleset]:
    """Return the rulesets of both families."""
    return {family: parse_save(namespace.save(backend, family, counters=counters)) for family in FAMILIES}


def apply(namespace: Namespace, backend: Backend, wanted: Document, revision: int = 0) -> None:
    """Load a document as the root worker does: rendered against the live rules, counters carried over."""
    add_bound_sets(namespace)
    for family, live in read_rulesets(namespace, backend).items():
        text = render_restore(wanted, family, live=live, revision=revision, counters=True)
        namespace.restore(text, backend, family, counters=True)


def plan(namespace: Namespace, backend: Backend, wanted: Document, revision: int | None = None) -> Plan:
    """Plan a document against the rules in the kernel."""
    return plan_changes(wanted, read_rulesets(namespace, backend), revision=revision)


@pytest.mark.parametrize("name", HAND_MADE)
def test_loaded_rules_need_no_changes(namespace: Namespace, backend: Backend, name: str) -> None:
    wanted = HAND_MADE[name]
    for family in FAMILIES:
        namespace.restore(
            "*filter\n:DOCKER-USER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n", backend, family
        )
    assert not plan(namespace, backend, wanted).empty
    apply(namespace, backend, wanted, revision=7)
    found = plan(namespace, backend, wanted, revision=7)
    assert found.empty, found
    live = read_rulesets(namespace, backend)
    assert find_drift(wanted, 7, live).findings == ()
    before = {family: namespace.save(backend, family, table="filter") for family in FAMILIES}
    apply(namespace, backend, wanted, revision=7)
    after = {family: namespace.save(backend, family, table="filter") for family in FAMILIES}
    assert _without_comments(before) == _without_comments(after)


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_document_survives_the_kernel(backend: Backend, make_namespace: Callable[..., Namespace]) -> None:
    namespace = make_namespace("documents")

    @settings(max_examples=25, database=None, suppress_health_check=list(HealthCheck))
    @given(wanted=documents())
    def survives(wanted: Document) -> None:
        # Each document replaces the previous one, so this also tests changes from any document to any other.
        apply(namespace, backend, wanted, revision=1)
        found = plan(namespace, backend, wanted, revision=1)
        assert found.empty, found

    survives()


def test_foreign_rules_stay_byte_for_byte(namespace: Namespace, backend: Backend) -> None:
    hosts.load_busy_host(namespace, backend)
    before = {family: _foreign_lines(namespace.save(backend, family)) for family in FAMILIES}
    for number, name in enumerate(HAND_MADE, start=1):
        apply(namespace, backend, HAND_MADE[name], revision=number)
        after = {family: _foreign_lines(namespace.save(backend, family)) for family in FAMILIES}
        assert after == before, name
        live = read_rulesets(namespace, backend)
        for family in FAMILIES:
            chain = live[family].chain("filter", "INPUT")
            assert chain is not None
            assert chain.rules[0].text == "-A INPUT -j FILTERS-HOST"
            users = live[family].chain("filter", "DOCKER-USER")
            assert users is not None
            anchors = len(HAND_MADE[name].settings.external_interfaces)
            assert all("FILTERS-CONTAINERS" in rule.text for rule in users.rules[:anchors])
            assert not any("FILTERS-CONTAINERS" in rule.text for rule in users.rules[anchors:])


def test_a_rule_before_our_anchor_is_reported_and_passed(namespace: Namespace, backend: Backend) -> None:
    wanted = HAND_MADE["several interfaces"]
    apply(namespace, backend, wanted)
    for family in FAMILIES:
        namespace.iptables("-I", "INPUT", "-p", "tcp", "-j", "ACCEPT", backend=backend, family=family)
        namespace.iptables("-I", "DOCKER-USER", "2", "-j", "RETURN", backend=backend, family=family)
        namespace.iptables(
            "-A", "DOCKER-USER", "-i", "eth1", "-j", "FILTERS-CONTAINERS", backend=backend, family=family
        )
    found = plan(namespace, backend, wanted)
    assert not found.empty
    assert [warning.code for warning in found.warnings].count("rule-before-anchor") == 4
    assert find_drift(wanted, 0, read_rulesets(namespace, backend)).findings
    apply(namespace, backend, wanted)
    assert plan(namespace, backend, wanted).empty
    for ruleset in read_rulesets(namespace, backend).values():
        chains = ruleset.tables["filter"].chains
        assert [rule.text for rule in chains["INPUT"].rules] == [
            "-A INPUT -j FILTERS-HOST",
            "-A INPUT -p tcp -j ACCEPT",
        ]
        assert [rule.text for rule in chains["DOCKER-USER"].rules][3:] == ["-A DOCKER-USER -j RETURN"]


def test_stale_anchors_are_removed(namespace: Namespace, backend: Backend) -> None:
    apply(namespace, backend, document(external_interfaces=["ens33", "eth1"]))
    wanted = document(external_interfaces=["eth2"])
    changes = plan(namespace, backend, wanted).families[4].anchors
    assert {(change.action, change.text) for change in changes} == {
        ("remove", "-i ens33 -j FILTERS-CONTAINERS"),
        ("remove", "-i eth1 -j FILTERS-CONTAINERS"),
        ("insert", "-i eth2 -j FILTERS-CONTAINERS"),
    }
    apply(namespace, backend, wanted)
    assert plan(namespace, backend, wanted).empty
    apply(namespace, backend, document(external_interfaces=[]))
    assert b"FILTERS-CONTAINERS\n" not in _rules_of(namespace.save(backend), "DOCKER-USER")


def test_a_missing_docker_user_chain_is_created(namespace: Namespace, backend: Backend) -> None:
    wanted = document()
    found = plan(namespace, backend, wanted)
    assert all(part.creates_docker_user for part in found.families.values())
    apply(namespace, backend, wanted)
    after = plan(namespace, backend, wanted)
    assert after.empty
    assert {warning.code for warning in after.warnings} == {"empty-document", "docker-not-filtering"}
    assert read_kernel_state(read_rulesets(namespace, backend)).families[4].container_anchors == {
        "ens33": "first"
    }


def test_counters_are_carried_over(namespace: Namespace, backend: Backend, family: Family) -> None:
    ssh = {"id": "sshd", "scope": "host", "protocol": "tcp", "ports": ["22"], "source": "any"}
    web = {"id": "http", "scope": "both", "protocol": "tcp", "ports": ["80", "443"]}
    first = document(ssh, web)
    apply(namespace, backend, first, revision=1)
    text = namespace.save(backend, family, counters=True).decode()
    seen = text.replace("[0:0] -A FILTERS", "[12:3456] -A FILTERS")
    namespace.restore(seen, backend, family, noflush=False, counters=True)
    if b"[12:3456]" not in namespace.save(backend, family, counters=True):
        # ip6tables-nft-restore 1.8.9 drops all counters that it is given (docs/limits.md).
        assert (backend, family) == ("nft", 6)
        assert sum_rule_counters(read_rulesets(namespace, backend))["sshd"].packets == 0
        return
    apply(namespace, backend, document(ssh, {**web, "ports": ["443"]}, refuse="reject"), revision=2)
    live = read_rulesets(namespace, backend)[family]
    hits = {rule.text: str(rule.counters) for rule in live.tables["filter"].chains["FILTERS"].rules}
    assert set(hits.values()) == {"[12:3456]"}
    assert any('"dockerfw r2 ' in line for line in hits), hits
    assert sum_rule_counters({family: live})["sshd"].packets == 12
    apply(namespace, backend, document(web), revision=3)
    live = read_rulesets(namespace, backend)[family]
    packets = [
        rule.counters.packets for rule in live.tables["filter"].chains["FILTERS"].rules if rule.counters
    ]
    assert packets == [0, 12, 12]


def test_a_load_that_fails_changes_nothing(namespace: Namespace, backend: Backend, family: Family) -> None:
    apply(namespace, backend, document({"scope": "both", "protocol": "tcp", "ports": ["22"]}))
    before = namespace.save(backend, family)
    text = render_restore(document(), family, live=read_rulesets(namespace, backend)[family])
    broken = text.replace("COMMIT", "-A FILTERS -j NOT-THERE\nCOMMIT")
    assert namespace.restore(broken, backend, family, check=False).returncode != 0
    assert _foreign_lines(namespace.save(backend, family)) == _foreign_lines(before)
    assert _rules_of(namespace.save(backend, family), "FILTERS") == _rules_of(before, "FILTERS")


def test_a_rehearsal_loads_in_an_empty_namespace(
    make_namespace: Callable[..., Namespace], backend: Backend, family: Family
) -> None:
    host, scratch = make_namespace("host"), make_namespace("scratch")
    hosts.load_busy_host(host, backend)
    hosts.load_set_rules(host, backend)
    live = read_rulesets(host, backend)[family]
    wanted = HAND_MADE["several interfaces"]
    restore = render_restore(wanted, family, live=live, counters=True)
    text = render_rehearsal(live, restore)
    assert "match-set" not in text
    scratch.restore(text, backend, family)
    assert _rules_of(scratch.save(backend, family), "FILTERS-HOST")
    impossible = restore.replace("COMMIT", "-A FILTERS -j f2b-nowhere\nCOMMIT")
    assert scratch.restore(render_rehearsal(live, impossible), backend, family, check=False).returncode != 0


def _without_comments(saves: dict[Any, bytes]) -> dict[Any, list[bytes]]:
    return {
        key: [line for line in text.splitlines() if line[:1] not in (b"#", b":")]
        for key, text in saves.items()
    }


def _foreign_lines(save: bytes) -> list[bytes]:
    """Return a save without our chains and anchors, and without times and counters."""
    lines = [line.split(b" [")[0] if line.startswith(b":") else line for line in save.splitlines()]
    return [line for line in lines if not line.startswith(b"#") and b"FILTERS" not in line]


def _rules_of(save: bytes, chain: str) -> list[bytes]:
    prefix = f"-A {chain} ".encode()
    return [line + b"\n" for line in save.splitlines() if line.startswith(prefix)]
