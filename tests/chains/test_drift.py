"""What differs from the confirmed revision: each way to differ, its lines, and who is suspected by what."""

from __future__ import annotations

import pytest

from dockerfw.chains.causes import DriftFacts
from dockerfw.chains.drift import ANCHORS, Drift, DriftLine, find_drift
from dockerfw.chains.healing import render_anchors
from dockerfw.chains.render import render_restore
from dockerfw.document.document import parse_document
from dockerfw.iptables.model import Family, Ruleset
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
    """A host on which the document was loaded, and these commands came after that."""
    more = "\n".join(["*filter", *lines, "COMMIT", ""])
    return parse_restore(CLEAN + render_restore(DOCUMENT, family, revision=3) + more, family=family)


def drift(*lines: str, around: DriftFacts | None = None) -> Drift:
    return find_drift(DOCUMENT, 3, {4: after(*lines), 6: after(family=6)}, around)


def test_nothing_differs() -> None:
    found = drift("-A INPUT -j ACCEPT", "-A DOCKER-USER -i ens33 -j DROP")
    assert (found.findings, found.only_anchors, found.mark) == ((), False, "")


@pytest.mark.parametrize(
    ("lines", "code", "what", "who", "difference"),
    [
        (["-D INPUT -j FILTERS-HOST"], "anchor-missing", "INPUT does not call dockerfw", "INPUT is empty", 1),
        (
            ["-A INPUT -j ACCEPT", "-D INPUT -j FILTERS-HOST"],
            *("anchor-missing", "INPUT does not call dockerfw", "Nothing tells who it was", 1),
        ),
        (
            [":ufw-before-input - [0:0]", "-F INPUT", "-A INPUT -j ufw-before-input"],
            *("anchor-missing", "INPUT does not call dockerfw", "ufw's chains are there", 1),
        ),
        (
            [":IN_public - [0:0]", "-F INPUT", "-A INPUT -j IN_public"],
            *("anchor-missing", "INPUT does not call", "firewalld's chains are there", 1),
        ),
        (
            [":f2b-sshd - [0:0]", "-I INPUT 1 -p tcp -j f2b-sshd"],
            *("anchor-not-first", "somebody's rule stands before", "It calls a chain of fail2ban", 1),
        ),
        (
            ["-I INPUT 1 -p tcp -j ACCEPT"],
            *("anchor-not-first", "somebody's rule stands before", "Nothing tells who it was", 1),
        ),
        (
            ["-A DOCKER-USER -i old0 -j FILTERS-CONTAINERS"],
            *("anchor-stale", "still calls dockerfw for old0", "", 1),
        ),
        (
            ["-A FILTERS-HOST -s 203.0.113.9/32 -j RETURN"],
            *("rules-changed", "1 rule is loaded that revision 3 does not have", "Nothing tells", 1),
        ),
        (
            [":f2b-sshd - [0:0]", "-I FILTERS-HOST 1 -j f2b-sshd"],
            *("rules-changed", "1 rule is loaded that revision 3", "fail2ban put a rule of its own", 1),
        ),
        (["-F FILTERS-HOST"], "rules-changed", "rules of revision 3 are not loaded", "Nothing tells", None),
        (
            ["-D FORWARD -j DOCKER-USER"],
            *(
                "docker-user-not-called",
                "rules for containers have no effect",
                "Somebody removed the call",
                0,
            ),
        ),
        (
            ["-F FORWARD"],
            *("docker-user-not-called", "rules for containers have no effect", "FORWARD is empty", 0),
        ),
        (
            ["-I FORWARD 1 -p tcp -j ACCEPT"],
            *("docker-user-not-first", "before DOCKER-USER is asked", "Nothing tells who it was", 1),
        ),
        (
            ["-I FORWARD 1 -i ens33 -o docker0 -j ACCEPT"],
            *("docker-user-not-first", "before DOCKER-USER is asked", "Nothing tells who it was", 1),
        ),
        (
            [":DOCKER-INGRESS - [0:0]", "-I FORWARD 1 -j DOCKER-INGRESS"],
            *("docker-user-not-first", "before DOCKER-USER is asked", "It calls a chain of Docker", 1),
        ),
        ([":FILTERS-PANIC - [0:0]"], "panic", "called a panic", "panic --off", 0),
    ],
)
def test_each_way_to_differ(lines: list[str], code: str, what: str, who: str, difference: int | None) -> None:
    found = drift(*lines)
    (finding,) = found.findings
    assert (finding.code, finding.family) == (code, 4)
    assert finding.message.startswith("IPv4: ")
    assert what in finding.message
    assert who in finding.cause
    assert difference in (None, len(finding.lines))
    assert found.only_anchors == (code in ANCHORS)
    assert found.mark == drift(*lines).mark != drift("-A FILTERS -j ACCEPT").mark


@pytest.mark.parametrize(
    "rule",
    [
        "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
        "-i virbr0 -o virbr0 -j ACCEPT",
        "-s 192.0.2.0/24 -j DROP",
        "-j ts-forward",
    ],
)
def test_what_may_stand_before_docker_user(rule: str) -> None:
    assert drift(":ts-forward - [0:0]", f"-I FORWARD 1 {rule}").findings == ()


def test_docker_user_made_anew_by_docker() -> None:
    found = drift("-F DOCKER-USER", "-A DOCKER-USER -j RETURN")
    assert [finding.code for finding in found.findings] == ["anchor-missing"] * 2
    assert found.findings[0].lines == (DriftLine("-", "-A DOCKER-USER -i ens33 -j FILTERS-CONTAINERS"),)
    assert all("DOCKER-USER is as Docker makes it" in finding.cause for finding in found.findings)
    gone = drift("-D FORWARD -j DOCKER-USER", "-F DOCKER-USER", "-X DOCKER-USER")
    assert "DOCKER-USER is gone, and Docker's other chains are there" in gone.findings[0].cause


def test_everything_flushed() -> None:
    found = drift("-F INPUT", "-F FORWARD", "-F FILTERS-HOST", "-F FILTERS", "-F FILTERS-CONTAINERS")
    first = found.findings[0]
    assert (first.code, first.message) == ("nothing-loaded", "IPv4: nothing of dockerfw is loaded.")
    assert "INPUT and FORWARD are empty" in first.cause
    assert DriftLine(
        "-", '-A FILTERS-HOST -p tcp -m tcp --dport 22 -m comment --comment "dockerfw:sshd" -j RETURN'
    )
    assert not found.only_anchors
    assert [each.cause for each in found.findings if each.code == "anchor-missing"] == [""]
    bare = parse_save("*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\nCOMMIT\n")
    cleared = find_drift(DOCUMENT, 3, {4: bare, 6: after(family=6)}).findings[0]
    assert "no other chain is left: somebody cleared the whole table, as firewalld does" in cleared.cause
    beside = find_drift(
        DOCUMENT, 3, {4: bare, 6: bare}, DriftFacts(foreign_tables=("inet firewalld",))
    ).findings[0]
    assert "firewalld filters in nftables' own table" in beside.cause
    nothing = find_drift(DOCUMENT, 3, {4: parse_save(""), 6: after(family=6)})
    assert "nft flush ruleset" in nothing.findings[0].cause
    booted = find_drift(DOCUMENT, 3, {4: parse_save(""), 6: parse_save("")}, DriftFacts(rebooted=True))
    assert all("was booted since" in each.cause for each in booted.findings if each.code == "nothing-loaded")


def test_lines_that_came_and_went_are_named() -> None:
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
    # A kernel that speaks no IPv6 misses nothing.
    assert find_drift(DOCUMENT, 3, {4: after()}, families=(4,)).findings == ()


def test_another_revision() -> None:
    found = find_drift(DOCUMENT, 4, {4: after(), 6: after(family=6)})
    assert {finding.code for finding in found.findings} == {"other-revision"}
    assert "revision 3" in found.findings[0].message


def test_docker_somewhere_else() -> None:
    moved = drift(around=DriftFacts(kept_backend="nft", docker_moved_to="legacy"))
    assert [(finding.code, finding.family) for finding in moved.findings] == [("other-backend", None)]
    assert "in iptables-legacy now, and dockerfw's were loaded into iptables-nft" in moved.findings[0].message
    itself = drift(around=DriftFacts(docker_nftables=True))
    assert [finding.code for finding in itself.findings] == ["docker-nftables"]


def test_a_release_on_the_console_is_named() -> None:
    around = DriftFacts(released=True, command="scripts/firewall")
    found = drift("-D INPUT -j FILTERS-HOST", around=around)
    words = "Somebody let go of the host on its console: `scripts/firewall release`."
    assert found.findings[0].cause == words


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
def test_healing_puts_back_the_anchors_and_nothing_else(lines: list[str]) -> None:
    live = after(*lines)
    assert find_drift(DOCUMENT, 3, {4: live}, families=(4,)).only_anchors
    text = render_anchors(DOCUMENT.settings, live)
    assert not any(line.startswith(":") for line in text.splitlines())
    before = "\n".join(["*filter", *lines, "COMMIT", ""])
    healed = parse_restore(CLEAN + render_restore(DOCUMENT, 4, revision=3) + before + text, family=4)
    assert find_drift(DOCUMENT, 3, {4: healed}, families=(4,)).findings == ()
    assert render_anchors(DOCUMENT.settings, healed) == ""
    foreign = [rule for rule in live.tables["filter"].chains["INPUT"].rules if "FILTERS" not in rule.text]
    assert [
        rule.text for rule in healed.tables["filter"].chains["INPUT"].rules if "FILTERS" not in rule.text
    ] == [rule.text for rule in foreign]
