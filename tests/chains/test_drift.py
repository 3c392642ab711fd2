"""Drift from the confirmed revision: each kind of difference, its lines and its likely cause."""

from __future__ import annotations

import pytest

from dockerfw.chains import drift_sentences, sentences
from dockerfw.chains.anchors import wanted_anchors
from dockerfw.chains.causes import DriftFacts
from dockerfw.chains.drift import ANCHORS, Drift, DriftLine, find_drift
from dockerfw.chains.drift_sentences import CAUSE_UNKNOWN, INSERTED_BY, RELOADED
from dockerfw.chains.healing import render_anchors
from dockerfw.chains.plan import plan_changes
from dockerfw.chains.render import DIALLED_TO_LOOPBACK, render, render_restore
from dockerfw.document.document import parse_document
from dockerfw.iptables.model import FAMILIES, Family, Ruleset
from dockerfw.iptables.parse import parse_save
from dockerfw.iptables.replay import parse_restore

DOCUMENT = parse_document(
    {
        "format": "dockerfw/1",
        "settings": {"external_interfaces": ["ens33", "ens34"]},
        "rules": [
            {"id": "sshd", "scope": "host", "protocol": "tcp", "ports": ["22"]},
            {"id": "webs", "scope": "both", "protocol": "tcp", "ports": ["8080"]},
        ],
    }
)
CLEAN = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:DOCKER - [0:0]
:DOCKER-USER - [0:0]
-A FORWARD -j DOCKER-USER
-A FORWARD -o docker0 -j DOCKER
-A DOCKER-USER -j RETURN
COMMIT
"""


def after(*lines: str, family: Family = 4) -> Ruleset:
    """Return a host on which the document was loaded, then these commands were run."""
    more = "\n".join(["*filter", *lines, "COMMIT", ""])
    return parse_restore(CLEAN + render_restore(DOCUMENT, family, revision=3) + more, family=family)


def drift(*lines: str, facts: DriftFacts | None = None) -> Drift:
    return find_drift(DOCUMENT, 3, {4: after(*lines), 6: after(family=6)}, facts)


def test_no_drift() -> None:
    found = drift("-A INPUT -j ACCEPT", "-A DOCKER-USER -i ens33 -j DROP")
    assert (found.findings, found.only_anchors, found.mark) == ((), False, "")


JUMP_REMOVED = f"{drift_sentences.JUMP_REMOVED} {drift_sentences.OWN_JUMP_HELPS}"
FORWARD_FLUSHED = f"{drift_sentences.FORWARD_FLUSHED} {drift_sentences.OWN_JUMP_HELPS}"
UFW, FIREWALLD, FAIL2BAN = RELOADED["ufw"], RELOADED["firewalld"], INSERTED_BY["fail2ban"]


@pytest.mark.parametrize(
    ("lines", "code", "cause", "difference"),
    [
        (["-D INPUT -j FILTERS-HOST"], "anchor-missing", drift_sentences.INPUT_EMPTY, 1),
        (["-A INPUT -j ACCEPT", "-D INPUT -j FILTERS-HOST"], "anchor-missing", CAUSE_UNKNOWN, 1),
        (
            [":ufw-before-input - [0:0]", "-F INPUT", "-A INPUT -j ufw-before-input"],
            *("anchor-missing", UFW, 1),
        ),
        ([":IN_public - [0:0]", "-F INPUT", "-A INPUT -j IN_public"], "anchor-missing", FIREWALLD, 1),
        ([":f2b-sshd - [0:0]", "-I INPUT 1 -p tcp -j f2b-sshd"], "anchor-not-first", FAIL2BAN, 1),
        (["-I INPUT 1 -p tcp -j ACCEPT"], "anchor-not-first", CAUSE_UNKNOWN, 1),
        (["-I INPUT 1 -p tcp -j ACCEPT", "-I INPUT 1 -j LOG"], "anchor-not-first", CAUSE_UNKNOWN, 1),
        ([":ts-input - [0:0]", "-I INPUT 1 -j ts-input"], "anchor-not-first", INSERTED_BY["tailscale"], 1),
        (
            ["-I INPUT 1 -m set --match-set crowdsec-blacklists-0 src -j DROP"],
            *("anchor-not-first", INSERTED_BY["crowdsec"], 1),
        ),
        (
            [":CROWDSEC_CHAIN - [0:0]", "-I INPUT 1 -j CROWDSEC_CHAIN"],
            *("anchor-not-first", INSERTED_BY["crowdsec"], 1),
        ),
        (
            [":my-chain - [0:0]", "-I INPUT 1 -j my-chain"],
            *("anchor-not-first", drift_sentences.inserted_by_chain("my-chain"), 1),
        ),
        (["-A DOCKER-USER -i old0 -j FILTERS-CONTAINERS"], "anchor-stale", "", 1),
        (["-A FILTERS-HOST -s 203.0.113.9/32 -j RETURN"], "rules-changed", CAUSE_UNKNOWN, 1),
        (
            [":f2b-sshd - [0:0]", "-I FILTERS-HOST 1 -j f2b-sshd"],
            *(
                "rules-changed",
                drift_sentences.inserted_into_chains("fail2ban", "-A FILTERS-HOST -j f2b-sshd"),
                1,
            ),
        ),
        (["-F FILTERS-HOST"], "rules-changed", CAUSE_UNKNOWN, None),
        (["-D FORWARD -j DOCKER-USER"], "docker-user-not-called", JUMP_REMOVED, 2),
        (["-F FORWARD"], "docker-user-not-called", FORWARD_FLUSHED, 2),
        (["-A FORWARD -i ens33 -j FILTERS-CONTAINERS"], "own-jump-not-needed", "", 1),
        (["-I FORWARD 1 -p tcp -j ACCEPT"], "docker-user-not-first", CAUSE_UNKNOWN, 1),
        (["-I FORWARD 1 -i ens33 -o docker0 -j ACCEPT"], "docker-user-not-first", CAUSE_UNKNOWN, 1),
        (
            [
                ":DOCKER-INGRESS - [0:0]",
                "-I FORWARD 1 -j DOCKER-INGRESS",
                "-A DOCKER-INGRESS -p tcp --dport 8000 -j ACCEPT",
            ],
            *("docker-user-not-first", INSERTED_BY["docker"], 2),
        ),
        (["-I FORWARD 1 -m u32 --u32 0=0 -j ACCEPT"], "docker-user-unclear", "", 0),
        ([":FILTERS-PANIC - [0:0]"], "panic", drift_sentences.panic_help("dockerfw"), 0),
    ],
)
def test_each_kind_of_drift(lines: list[str], code: str, cause: str, difference: int | None) -> None:
    found = drift(*lines)
    (finding,) = found.findings
    assert (finding.code, finding.family, finding.cause) == (code, 4, cause)
    assert finding.message.startswith("IPv4: ")
    assert difference in (None, len(finding.lines))
    assert found.only_anchors == (code in ANCHORS)
    assert found.mark == drift(*lines).mark != drift("-A FILTERS -j ACCEPT").mark


@pytest.mark.parametrize(
    ("lines", "sentence"),
    [
        (["-D INPUT -j FILTERS-HOST"], drift_sentences.anchor_missing("INPUT", "-j FILTERS-HOST")),
        (["-I INPUT 1 -p tcp -j ACCEPT"], drift_sentences.anchor_not_first("INPUT", "-j FILTERS-HOST")),
        (["-A DOCKER-USER -i old0 -j FILTERS-CONTAINERS"], drift_sentences.anchor_stale("old0")),
        (["-A FILTERS-HOST -s 203.0.113.9/32 -j RETURN"], "1 loaded rule is not in revision 3."),
        (["-D FILTERS-HOST 2"], "1 rule of revision 3 is not loaded."),
        (["-F FORWARD"], drift_sentences.DOCKER_USER_NOT_CALLED),
        (
            ["-A FORWARD -i ens33 -j FILTERS-CONTAINERS"],
            drift_sentences.own_jump_not_needed("-i ens33 -j FILTERS-CONTAINERS"),
        ),
        (
            ["-I FORWARD 1 -p tcp -j ACCEPT"],
            drift_sentences.docker_user_not_first("1/tcp to a container by ens33, from anywhere"),
        ),
        ([":FILTERS-PANIC - [0:0]"], drift_sentences.PANIC_ON),
    ],
)
def test_the_message_names_what_differs(lines: list[str], sentence: str) -> None:
    (finding,) = drift(*lines).findings
    assert finding.message == sentences.of_family(4, sentence)


@pytest.mark.parametrize(
    "rule", ["-j LOG --log-prefix in", "-p tcp -m limit --limit 3/min -j NFLOG --nflog-group 2", "-p tcp"]
)
@pytest.mark.parametrize("chain", ["INPUT", "DOCKER-USER"])
def test_logging_and_counting_before_the_jumps_is_no_drift(chain: str, rule: str) -> None:
    live = after(f"-I {chain} 1 {rule}")
    assert find_drift(DOCUMENT, 3, {4: live}, families=(4,)).findings == ()
    assert render_anchors(wanted_anchors(DOCUMENT.settings), live) == ""
    plan = plan_changes(DOCUMENT, {4: live}, revision=3)
    assert plan.empty
    assert not any(warning.code == "rule-before-anchor" for warning in plan.warnings)


def test_a_reload_of_ufw_docker_is_named() -> None:
    lines = [
        ":ufw-user-forward - [0:0]",
        ":ufw-docker-logging-deny - [0:0]",
        "-F DOCKER-USER",
        "-A DOCKER-USER -j ufw-user-forward",
        "-A DOCKER-USER -s 10.0.0.0/8 -j RETURN",
        "-A DOCKER-USER -p tcp -d 172.16.0.0/12 -j ufw-docker-logging-deny",
        "-A DOCKER-USER -j RETURN",
    ]
    found = drift(*lines).findings
    assert [finding.code for finding in found] == ["anchor-missing", "anchor-missing"]
    assert {finding.cause for finding in found} == {drift_sentences.UFW_DOCKER}


@pytest.mark.parametrize(
    "rule",
    [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-i virbr0 -o virbr0 -j ACCEPT",
        "-s 192.0.2.0/24 -j DROP",
        "-j ts-forward",
    ],
)
def test_rules_that_may_come_before_docker_user(rule: str) -> None:
    assert drift(":ts-forward - [0:0]", f"-I FORWARD 1 {rule}").findings == ()


def test_docker_user_created_again_by_docker() -> None:
    found = drift("-F DOCKER-USER", "-A DOCKER-USER -j RETURN")
    assert [finding.code for finding in found.findings] == ["anchor-missing"] * 2
    assert found.findings[0].lines == (DriftLine("-", "-A DOCKER-USER -i ens33 -j FILTERS-CONTAINERS"),)
    assert all(finding.cause == drift_sentences.DOCKER_USER_RECREATED for finding in found.findings)
    gone = drift("-D FORWARD -j DOCKER-USER", "-F DOCKER-USER", "-X DOCKER-USER")
    assert gone.findings[0].cause.startswith(drift_sentences.docker_user_gone(docker_present=True))


def test_everything_flushed() -> None:
    found = drift("-F INPUT", "-F FORWARD", "-F FILTERS-HOST", "-F FILTERS", "-F FILTERS-CONTAINERS")
    first = found.findings[0]
    assert (first.code, first.message) == (
        "nothing-loaded",
        sentences.of_family(4, drift_sentences.NOTHING_LOADED),
    )
    assert first.cause == drift_sentences.TABLE_FLUSHED
    assert DriftLine(
        "-", '-A FILTERS-HOST -p tcp -m tcp --dport 22 -m comment --comment "dockerfw:sshd" -j RETURN'
    )
    assert not found.only_anchors
    assert [each.cause for each in found.findings if each.code == "anchor-missing"] == [""]
    bare = parse_save("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n")
    cleared = find_drift(DOCUMENT, 3, {4: bare, 6: after(family=6)}).findings[0]
    assert cleared.cause == drift_sentences.TABLE_CLEARED
    beside = find_drift(
        DOCUMENT, 3, {4: bare, 6: bare}, DriftFacts(foreign_tables=("inet firewalld",))
    ).findings[0]
    assert beside.cause == drift_sentences.FIREWALLD_IN_NFTABLES
    nothing = find_drift(DOCUMENT, 3, {4: parse_save(""), 6: after(family=6)})
    assert nothing.findings[0].cause == drift_sentences.TABLE_GONE
    booted = find_drift(DOCUMENT, 3, {4: parse_save(""), 6: parse_save("")}, DriftFacts(rebooted=True))
    assert all(
        each.cause == drift_sentences.REBOOTED for each in booted.findings if each.code == "nothing-loaded"
    )


def test_added_and_removed_lines_are_listed() -> None:
    found = drift(
        "-R FILTERS-HOST 4 -p tcp -m tcp --dport 23 -m comment --comment dockerfw:sshd -j RETURN",
    )
    (finding,) = found.findings
    assert [(line.sign, "--dport 22" in line.text, "--dport 23" in line.text) for line in finding.lines] == [
        ("-", True, False),
        ("+", False, True),
    ]


def test_a_family_that_is_missing() -> None:
    missing = find_drift(DOCUMENT, 3, {4: after(), 6: parse_save(CLEAN)})
    assert {(finding.code, finding.family) for finding in missing.findings} == {
        ("nothing-loaded", 6),
        ("anchor-missing", 6),
    }
    unread = find_drift(DOCUMENT, 3, {4: after()})
    assert [(finding.code, finding.family) for finding in unread.findings] == [("unread", 6)]
    # A kernel without IPv6 has no drift there.
    assert find_drift(DOCUMENT, 3, {4: after()}, families=(4,)).findings == ()


def test_another_revision() -> None:
    found = find_drift(DOCUMENT, 4, {4: after(), 6: after(family=6)})
    assert {finding.code for finding in found.findings} == {"other-revision"}
    assert "revision 3" in found.findings[0].message


def test_lines_of_a_later_release_are_offered_and_no_drift() -> None:
    live: dict[Family, Ruleset] = {
        4: after("-D FILTERS-CONTAINERS 2"),
        6: after("-D FILTERS-CONTAINERS 2", family=6),
    }
    assert find_drift(DOCUMENT, 3, live).findings == ()
    plan = plan_changes(DOCUMENT, live, revision=3)
    assert [line.text for line in plan.families[4].added] == [DIALLED_TO_LOOPBACK[4]]
    assert [line.text for line in plan.families[6].added] == [DIALLED_TO_LOOPBACK[6]]
    loaded = {family: render(DOCUMENT, family, 3) for family in FAMILIES}
    found = find_drift(DOCUMENT, 3, live, loaded=loaded).findings
    assert [(each.code, each.family) for each in found] == [("rules-changed", 4), ("rules-changed", 6)]


def test_docker_in_another_backend() -> None:
    moved = drift(facts=DriftFacts(kept_backend="nft", docker_moved_to="legacy"))
    assert [(finding.code, finding.family) for finding in moved.findings] == [("other-backend", None)]
    assert moved.findings[0].message == drift_sentences.other_backend("legacy", "nft")
    # What Docker left behind when it was switched still leads to dockerfw's chains.
    itself = DriftFacts(docker_nftables=True)
    assert drift(facts=itself).findings == ()
    bypassed = drift("-D FORWARD -j DOCKER-USER", facts=itself).findings
    assert [(finding.code, finding.family) for finding in bypassed] == [("docker-user-not-called", 4)]
    assert bypassed[0].cause == f"{drift_sentences.DOCKER_FILTERS_ITSELF} {drift_sentences.OWN_JUMP_HELPS}"


def test_a_release_is_named_as_the_cause() -> None:
    facts = DriftFacts(released=True, command="scripts/firewall")
    found = drift("-D INPUT -j FILTERS-HOST", facts=facts)
    assert found.findings[0].cause == drift_sentences.released("scripts/firewall")


@pytest.mark.parametrize(
    "lines",
    [
        ["-D INPUT -j FILTERS-HOST"],
        ["-I INPUT 1 -p tcp -j ACCEPT", "-I DOCKER-USER 1 -j ACCEPT"],
        ["-F DOCKER-USER"],
        ["-A INPUT -j FILTERS-HOST", "-I INPUT 1 -j ACCEPT"],
        [
            "-D FORWARD -j DOCKER-USER",
            "-F DOCKER-USER",
            "-X DOCKER-USER",
            "-F DOCKER",
            "-F FORWARD",
            "-X DOCKER",
        ],
    ],
)
def test_healing_restores_the_anchors_and_nothing_else(lines: list[str]) -> None:
    live = after(*lines)
    assert find_drift(DOCUMENT, 3, {4: live}, families=(4,)).only_anchors
    text = render_anchors(wanted_anchors(DOCUMENT.settings), live)
    assert not any(line.startswith(":") for line in text.splitlines())
    before = "\n".join(["*filter", *lines, "COMMIT", ""])
    healed = parse_restore(CLEAN + render_restore(DOCUMENT, 4, revision=3) + before + text, family=4)
    assert find_drift(DOCUMENT, 3, {4: healed}, families=(4,)).findings == ()
    assert render_anchors(wanted_anchors(DOCUMENT.settings), healed) == ""
    foreign = [rule for rule in live.tables["filter"].chains["INPUT"].rules if "FILTERS" not in rule.text]
    assert [
        rule.text for rule in healed.tables["filter"].chains["INPUT"].rules if "FILTERS" not in rule.text
    ] == [rule.text for rule in foreign]
