"""The article's host on a real kernel: its file is loaded, imported and adopted, and nothing else changes."""

from __future__ import annotations

import pytest

from dockerfw.chains.drift import find_drift
from dockerfw.chains.importing import import_save
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import render_restore
from dockerfw.chains.sentences import containers_unfiltered
from dockerfw.document.document import Document
from dockerfw.iptables.parse import parse_save
from tests.kernel.test_roundtrip import apply, plan, read_rulesets
from tests.rig.documents import document, source_of
from tests.rig.namespace import FAMILIES, Backend, Namespace
from tests.scenarios.hosts import FOLDER

pytestmark = pytest.mark.kernel

CLEAN = (FOLDER / "article-clean-host" / "live.v4.save").read_bytes()
ARTICLE = (FOLDER / "article-adopted" / "iptables.conf").read_bytes()


def imported() -> Document:
    """Return the document imported from the file of the article."""
    return import_save(ARTICLE).document


def test_a_clean_host_gets_our_chains_and_keeps_its_own(namespace: Namespace, backend: Backend) -> None:
    namespace.restore(CLEAN, backend, 4, noflush=False)
    before = _rules(namespace.save(backend, 4))
    wanted = document({"scope": "both", "protocol": "tcp", "ports": ["22"]})
    apply(namespace, backend, wanted, revision=1)
    after = _rules(namespace.save(backend, 4))
    assert [line for line in after if b"FILTERS" not in line] == before
    assert not find_drift(wanted, 1, read_rulesets(namespace, backend)).findings
    users = [line for line in after if line.startswith(b"-A DOCKER-USER")]
    assert users == [b"-A DOCKER-USER -i ens33 -j FILTERS-CONTAINERS", b"-A DOCKER-USER -j RETURN"]


def test_the_host_of_the_article_is_adopted(namespace: Namespace, backend: Backend) -> None:
    namespace.restore(CLEAN, backend, 4, noflush=False)
    namespace.restore(ARTICLE, backend, 4)
    namespace.iptables("-N", "f2b-sshd", backend=backend)
    namespace.iptables("-I", "INPUT", "-p", "tcp", "-j", "f2b-sshd", backend=backend)
    before = _rules(namespace.save(backend, 4))
    wanted = imported()
    part = plan(namespace, backend, wanted).families[4]
    assert [(line.chain, line.text) for line in part.adopted if line.chain != "FILTERS"] == [
        ("INPUT", "-i lo -j ACCEPT"),
        ("INPUT", "-p icmp -m icmp --icmp-type any -j ACCEPT"),
        ("INPUT", "-j FILTERS"),
        ("DOCKER-USER", "-i ens33 -j FILTERS"),
    ]
    assert len([line for line in part.adopted if line.chain == "FILTERS"]) == 7
    assert part.removed == ()
    apply(namespace, backend, wanted, revision=1)
    assert plan(namespace, backend, wanted, revision=1).empty
    after = _rules(namespace.save(backend, 4))
    assert [line for line in after if line.startswith((b"-A INPUT", b"-A DOCKER-USER"))] == [
        b"-A INPUT -j FILTERS-HOST",
        b"-A INPUT -p tcp -j f2b-sshd",
        b"-A DOCKER-USER -i ens33 -j FILTERS-CONTAINERS",
    ]
    kept = (
        b"-A FORWARD",
        b"-A DOCKER ",
        b"-A DOCKER-ISOLATION",
        b"-A PREROUTING",
        b"-A POSTROUTING",
        b"-A OUTPUT",
    )
    assert [line for line in after if line.startswith(kept)] == [
        line for line in before if line.startswith(kept)
    ]


def test_the_imported_document_allows_what_the_article_allowed() -> None:
    wanted = imported()
    assert wanted.settings.external_interfaces == ("ens33",)
    assert [(rule.scope, source_of(rule), rule.protocol, rule.ports) for rule in wanted.rules] == [
        ("both", "1.2.3.4/32", "any", ()),
        ("both", "any", "tcp", ("22",)),
        ("both", "any", "tcp", ("23",)),
        ("both", "any", "tcp", ("80",)),
        ("both", "any", "tcp", ("443",)),
    ]


def test_our_chains_are_imported_as_the_same_document(namespace: Namespace, backend: Backend) -> None:
    wanted = document(
        {"id": "sshd", "scope": "host", "protocol": "tcp", "ports": ["22", "2200-2210"]},
        {"id": "webs", "scope": "container", "protocol": "tcp", "ports": ["80", "443", "8000-8010"]},
        {"id": "offc", "scope": "both", "source": "192.0.2.0/24"},
        {"id": "inner", "scope": "container", "protocol": "udp", "ports": ["53"], "port_kind": "container"},
        {"id": "vpn1", "scope": "host", "protocol": "gre", "source": "198.51.100.1"},
        refuse="drop",
        icmp="refuse",
    )
    apply(namespace, backend, wanted, revision=3)
    found = import_save(namespace.save(backend, 4, counters=True))
    assert found.document == wanted
    assert found.skipped == ()
    both = import_save(namespace.save(backend, 4) + namespace.save(backend, 6))
    assert both.document == wanted


def test_rules_are_restored_after_the_file_of_the_article(namespace: Namespace, backend: Backend) -> None:
    namespace.restore(CLEAN, backend, 4, noflush=False)
    wanted = imported()
    apply(namespace, backend, wanted, revision=2)
    namespace.restore(ARTICLE, backend, 4)
    drift = find_drift(wanted, 2, read_rulesets(namespace, backend))
    assert ("chain-replaced", 4) in [(each.code, each.family) for each in drift.findings]
    apply(namespace, backend, wanted, revision=2)
    assert not find_drift(wanted, 2, read_rulesets(namespace, backend)).findings


def test_an_interface_is_named_before_it_is_allowed(namespace: Namespace, backend: Backend) -> None:
    namespace.restore(ARTICLE, backend, 4)
    live = parse_save(namespace.save(backend, 4))
    found = plan_changes(document(external_interfaces=["eth9"]), {4: live})
    assert [refusal.message for refusal in found.refusals] == [containers_unfiltered(4, "ens33")]
    for family in FAMILIES:
        assert "-D DOCKER-USER -i ens33 -j FILTERS\n" in render_restore(document(), family, live=live)


def _rules(save: bytes) -> list[bytes]:
    return [line for line in save.splitlines() if line.startswith((b"-A", b"*"))]
