"""Documents for a host that cannot have ipsets: sources are lines, and what needs a set is refused."""

from __future__ import annotations

from typing import Any

import pytest

from dockerfw.chains import without_ip_set
from dockerfw.chains.match_groups import WITHOUT_IP_SET
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.refusals import find_refusals
from dockerfw.chains.render import render
from dockerfw.document.document import parse_document
from dockerfw.document.values import Document
from dockerfw.iptables.model import Family, Ruleset
from dockerfw.iptables.parse import parse_save
from tests.rig.kernel_reports import CLEAN

LIVE: dict[Family, Ruleset] = {4: parse_save(CLEAN), 6: parse_save(CLEAN)}
NETWORKS = [f"20.0.{number >> 8}.{number & 255}" for number in range(300)]
GROUPS: dict[str, Any] = {
    "office": {"kind": "static", "entries": NETWORKS},
    "bad": {"kind": "feed", "url": "https://example.org/x"},
}


def document(*rules: dict[str, Any], **settings: Any) -> Document:
    """Return a document with two groups and these rules."""
    return parse_document(
        {
            "format": "dockerfw/2",
            "settings": {"external_interfaces": ["ens33"]} | settings,
            "groups": GROUPS,
            "rules": list(rules),
        }
    )


SSH: dict[str, Any] = {"scope": "host", "protocol": "tcp", "ports": ["22"]}


def test_sources_are_lines_in_the_order_of_the_document() -> None:
    wanted = document({**SSH, "sources": ["@office"]})
    found = render(wanted, 4, limits=WITHOUT_IP_SET)
    lines = [line for line in found.chains["FILTERS-HOST"] if "--dport 22" in line]
    assert [line.split()[1].removesuffix("/32") for line in lines] == NETWORKS
    assert found.sets == ()
    assert find_refusals(wanted, LIVE, WITHOUT_IP_SET) == ()


def test_many_rules_have_chains_of_sources() -> None:
    rules = [{**SSH, "ports": [str(port)], "sources": NETWORKS[:50]} for port in range(1, 41)]
    found = render(document(*rules), 4, limits=WITHOUT_IP_SET)
    assert not any("--match-set" in line for lines in found.chains.values() for line in lines)
    sources = [name for name in found.chains if "-s" in name]
    assert len(sources) == 40
    assert len(found.chains["FILTERS-HOST"]) < 40


@pytest.mark.parametrize(
    ("rule", "settings", "named"),
    [
        ({**SSH, "sources": ["@bad"]}, {}, "22/tcp from @bad to the host"),
        ({**SSH, "scope": "container", "container": "shop/web"}, {}, "to container shop/web"),
        ({**SSH, "scope": "container", "action": "block"}, {}, "block 22/tcp"),
        (SSH, {"containers_reach_host": "allow"}, "The setting that lets containers reach the host"),
    ],
)
def test_what_needs_a_set_is_refused_in_one_sentence(
    rule: dict[str, Any], settings: dict[str, Any], named: str
) -> None:
    wanted = document(rule, **settings)
    plan = plan_changes(wanted, LIVE, limits=WITHOUT_IP_SET)
    (refusal,) = plan.refusals
    assert refusal.code == "needs-ip-set"
    assert named in refusal.message
    assert "needs ipsets, which this host does not have" in refusal.message
    assert plan_changes(wanted, LIVE).refusals == ()
    disabled = document({**rule, "enabled": False})
    assert find_refusals(disabled, LIVE, WITHOUT_IP_SET) == ()


def test_too_many_lines_are_refused_by_family_and_name_the_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(without_ip_set, "MOST_LINES", 250)
    (refusal,) = find_refusals(document({**SSH, "sources": ["@office"]}), LIVE, WITHOUT_IP_SET)
    assert (refusal.code, refusal.family) == ("needs-ip-set", 4)
    assert "IPv4: this host has no ipsets" in refusal.message
    assert "299 lines of at most 250: @office." in refusal.message
    (refusal,) = find_refusals(document({**SSH, "sources": NETWORKS}), LIVE, WITHOUT_IP_SET)
    assert "at most 250: The rule “22/tcp from" in refusal.message
    # Many rules are many lines anywhere.
    many = document(*({**SSH, "ports": [str(port)]} for port in range(1, 301)))
    assert find_refusals(many, LIVE, WITHOUT_IP_SET) == ()


def test_a_rule_for_containers_is_loaded_with_a_warning() -> None:
    wanted = document({**SSH, "scope": "container"})
    plan = plan_changes(wanted, LIVE, limits=WITHOUT_IP_SET)
    assert plan.refusals == ()
    (warning,) = [each for each in plan.warnings if each.code == "without-ip-set"]
    assert "packets that docker-proxy takes for a container are refused" in warning.message
    host, containers = (
        render(wanted, 4, limits=WITHOUT_IP_SET).chains[chain]
        for chain in ("FILTERS-HOST", "FILTERS-CONTAINERS")
    )
    assert not any("22" in line.split() for line in host)
    assert any("--ctorigdstport 22 " in line for line in containers)
    assert not [each for each in plan_changes(wanted, LIVE).warnings if each.code == "without-ip-set"]
