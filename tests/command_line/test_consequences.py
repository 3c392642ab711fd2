"""What a load would mean, on the command line: exposure, expectations, and the SSH session of the caller."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from dockerfw.host.clock import utc_now
from dockerfw.messages.surroundings import ListeningSocket
from rules.audit.actors import Actor
from rules.command_line import applying, stored
from rules.draft.draft_selectors import draft_document
from rules.draft.draft_services import draft_touch
from rules.draft.expectation_services import expectation_create
from rules.draft.rule_services import rule_create
from rules.models import Apply, AuditEvent, Host
from tests.command_line.test_stored import PlayedRoot
from tests.rig.command_fixtures import firewall
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.redis_fixtures import RedisServer
from tests.rig.reviews import review_draft

OFFICE = "203.0.113.0/24"
SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "source": OFFICE}
WEB = {"protocol": "tcp", "port": 443, "passes": True}
SESSION = "198.51.100.7 50022 192.0.2.1 22"


@pytest.fixture
def edited(transactional_db: None, host: Host, alice: Actor, queue: RedisServer) -> Host:
    """A draft that lets the office in by SSH, on a host that holds nothing of ours yet."""
    rule_create(host=host, actor=alice, values=SSH)
    snapshot_store(host, None)
    return Host.objects.get(pk=host.pk)


@pytest.fixture(autouse=True)
def at_the_console(monkeypatch: pytest.MonkeyPatch) -> None:
    """No SSH session, and no long wait for a root worker that is not there."""
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr(stored, "LOOK_SECONDS", 0.05)


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[], PlayedRoot]:
    """A root worker that confirms."""

    def start() -> PlayedRoot:
        root = PlayedRoot("confirmed")
        monkeypatch.setattr(applying, "sleep", root.sleep)
        return root

    return start


def test_plan_says_what_containers_no_longer_reach(edited: Host) -> None:
    sockets = (ListeningSocket(4, "tcp", "", 5432, process="postgres"),)
    snapshot_store(edited, None, bridge=("172.17.0.1/16",), around={"sockets": sockets})
    sentence = "Containers can no longer reach 5432/tcp (postgres) of this host"
    lines = firewall("plan").out.splitlines()
    assert f"- {sentence}" in lines
    asked = "Containers reach 1 service of this host today: 5432/tcp (postgres)."
    assert f"? {asked} To keep that for all containers, set containers_reach_host to allow." in lines
    assert json.loads(firewall("plan", "--json").out)["containers"] == [
        {"kind": "closed", "sentence": sentence}
    ]
    Host.objects.filter(pk=edited.pk).update(containers_reach_host="allow")
    draft_touch(Host.objects.get(pk=edited.pk))
    assert "Containers" not in firewall("plan").out


def test_plan_says_who_reaches_more_or_less(edited: Host, alice: Actor) -> None:
    done = firewall("plan")
    assert done.status == 1
    sentence = "22/tcp of the host is reachable from 203.0.113.0/24 only, no longer from anywhere"
    assert f"- {sentence}" in done.out.splitlines()[:3]
    expectation_create(host=edited, actor=alice, values=WEB)
    lines = firewall("plan").out.splitlines()
    assert lines[3].startswith(
        "expected: 443/tcp of the host from anywhere passes: fails, from anywhere over IPv4"
    )
    found = json.loads(firewall("plan", "--json").out)
    assert {"kind": "closed", "sentence": sentence} in found["exposure"]
    assert [each["state"] for each in found["expectations"]] == ["fails"]
    assert found["lock_out"] is None
    assert found["families"]["4"]["added"]


def test_what_breaks_an_expectation_needs_a_reason(
    edited: Host, alice: Actor, play: Callable[[], PlayedRoot]
) -> None:
    expectation_create(host=edited, actor=alice, values=WEB)
    # What is wrong with the command itself comes before what it would break.
    wrong = firewall("apply", "-m", "why", "--window", "3")
    assert (wrong.status, wrong.out) == (2, "")
    assert "3 seconds is not allowed. Use 15 to 3600" in wrong.err
    refused = firewall("apply", "-m", "why", "--keep")
    assert refused.status == 1
    assert refused.err == (
        "Nothing was applied: 1 expectation would fail. Use --override REASON to apply anyway.\n"
    )
    assert not Apply.objects.exists()
    root = play()
    done = firewall("apply", "-m", "why", "--keep", "--override", "the shop moves")
    assert done.status == 0, done.err
    assert root.orders[0].override
    assert Apply.objects.get().override == "the shop moves"
    assert json.loads(firewall("history", "--json").out)[0]["override"] == "the shop moves"


def test_plan_and_apply_warn_as_the_page_does(
    edited: Host, alice: Actor, play: Callable[[], PlayedRoot]
) -> None:
    rule_create(host=edited, actor=alice, values={"scope": "host", "protocol": "udp"})
    around = {"foreign_tables": ("inet mine",)}
    Host.objects.filter(pk=edited.pk).update(external_interfaces=["ens99"])
    snapshot_store(edited, docker_state="nftables", age=40, around=around)
    warnings = review_draft(Host.objects.get(pk=edited.pk)).warnings
    codes = {warning.code for warning in warnings}
    assert codes >= {"stale-snapshot", "interface-missing", "docker-nftables", "own-nftables"}
    plan, found = firewall("plan").out, json.loads(firewall("plan", "--json").out)
    play()
    done = firewall("apply", "-m", "why", "--keep", "--every-port").out
    for warning in warnings:
        # An age goes on while the commands run.
        said = f"warning: {warning.message.partition(' read ')[0]}"
        assert said in plan
        assert said in done
    assert "warning: 1 new rule would open every port: all of udp" in plan
    assert {each["code"] for each in found["warnings"]} == codes | {"every-port"}


def test_what_opens_every_port_needs_an_option(
    edited: Host, alice: Actor, play: Callable[[], PlayedRoot]
) -> None:
    rule_create(host=edited, actor=alice, values={"scope": "host", "protocol": "udp"})
    refused = firewall("apply", "-m", "why", "--keep")
    assert refused.status == 1
    assert refused.err == (
        "Nothing was applied: 1 new rule would open every port: all of udp from anywhere to the host. "
        "Use --every-port to apply anyway.\n"
    )
    assert not Apply.objects.exists()
    play()
    assert firewall("apply", "-m", "why", "--keep", "--every-port").status == 0


def test_over_ssh_being_shut_out_needs_a_word(
    edited: Host, play: Callable[[], PlayedRoot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", SESSION)
    refused = firewall("apply", "-m", "why", "--keep")
    assert refused.status == 1
    assert "SSH, as you are connected now: no, 198.51.100.7 would be refused at 22/tcp by rule" in refused.out
    assert refused.err == "Nothing was applied: it would block your session. Use --anyway to apply anyway.\n"
    assert not Apply.objects.exists()
    play()
    assert firewall("apply", "-m", "why", "--keep", "--anyway").status == 0
    event = AuditEvent.objects.get(verb="apply-start")
    assert event.after is not None
    assert event.after["anyway"] is True


def test_over_ssh_from_an_allowed_source(
    edited: Host, play: Callable[[], PlayedRoot], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_CONNECTION", "203.0.113.7 50022 192.0.2.1 22")
    play()
    done = firewall("apply", "-m", "why", "--keep")
    assert done.status == 0, done.err
    assert "can you still connect" not in done.out


def test_a_roll_back_has_the_same_checks(edited: Host, alice: Actor, monkeypatch: pytest.MonkeyPatch) -> None:
    confirm(edited, alice)
    rule_create(host=edited, actor=alice, values={**SSH, "source": "any"})
    confirm(edited, alice)
    snapshot_store(edited, draft_document(Host.objects.get(pk=edited.pk)), 2)
    monkeypatch.setenv("SSH_CONNECTION", SESSION)
    refused = firewall("rollback", "1", "-m", "back")
    assert refused.status == 1
    assert "it would block your session" in refused.err
    assert Apply.objects.count() == 2


def test_which_expectations_hold_now(edited: Host, alice: Actor) -> None:
    assert firewall("expectations").out == "the draft has no expectations\n"
    expectation_create(host=edited, actor=alice, values=WEB)
    good = firewall("expectations")
    assert (good.status, good.out) == (0, "holds        443/tcp of the host from anywhere passes\n")
    expectation_create(host=edited, actor=alice, values={"protocol": "tcp", "port": 3306, "passes": False})
    named = {"protocol": "tcp", "port": 5432, "to": "container", "container": "db", "passes": False}
    expectation_create(host=edited, actor=alice, values=named)
    bad = firewall("expectations")
    assert bad.status == 1
    assert bad.out.splitlines()[1] == (
        "FAILS        3306/tcp of the host from anywhere is refused: from anywhere over IPv4 it is allowed"
        " by the policy of filter INPUT"
    )
    assert bad.out.splitlines()[2].startswith("cannot tell  5432/tcp of container db")
    found = json.loads(firewall("expectations", "--json").out)
    assert [each["state"] for each in found] == ["holds", "fails", "unknown"]
    assert found[1]["sources"][0] == "1.0.0.0/8"


def test_a_reading_from_before_the_load_is_named(edited: Host, alice: Actor) -> None:
    expectation_create(host=edited, actor=alice, values=WEB)
    revision = confirm(edited, alice)
    begun = {"name": "read-back", "state": "done", "at": utc_now(), "seconds": 0.1, "detail": ""}
    Apply.objects.filter(revision=revision).update(steps=[begun])
    for verb in (("expectations",), ("exposure",), ("plan",)):
        said = firewall(*verb)
        assert f"before revision {revision.number} was loaded." in said.out + said.err, verb
    snapshot_store(edited, None)
    assert "was loaded" not in firewall("expectations").err
