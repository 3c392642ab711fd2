"""The verbs on the database, and those that order an apply and wait for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from django.conf import settings
from django.db import OperationalError
from rq import Queue
from rq.serializers import JSONSerializer

from dockerfw.chains.drift_sentences import INPUT_EMPTY
from dockerfw.messages.orders import Order
from dockerfw.messages.session_groups import SessionGroup, SessionGroups
from dockerfw.reach.inbound import InboundSession
from dockerfw.streams import Output
from rules.applying.apply_services import apply_start
from rules.applying.outcome_services import outcome_record
from rules.audit.actors import Actor, command_line_actor
from rules.command_line import applying, stored
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create, rule_delete
from rules.link import client
from rules.models import Apply, AuditEvent, Host, Revision, Rule
from rules.pages.host_selectors import host_default
from tests.rig.command_fixtures import firewall
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import outcome_of, progress_store, save_of, snapshot_store
from tests.rig.redis_fixtures import RedisServer

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}
NEXT = {"scope": "host", "protocol": "tcp", "ports": ["23"], "source": "192.0.2.0/24"}


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No root worker answers here, so do not wait long for a snapshot."""
    monkeypatch.setattr(stored, "LOOK_SECONDS", 0.05)


def test_import_export_and_history(host: Host, alice: Actor, document: Path, no_queue: None) -> None:
    done = firewall("import", str(document))
    assert done.status == 0
    assert "the draft now has 2 rules" in done.out
    assert Rule.objects.count() == 2
    event = AuditEvent.objects.get(verb="draft-replace")
    assert event.actor_name.endswith("(command line)")
    exported = firewall("export")
    assert exported.status == 0
    found = json.loads(exported.out)
    assert found["format"] == "dockerfw/1"
    assert {rule["comment"] for rule in found["rules"]} == {"office", "für alle"}
    assert firewall("history").out == "nothing has been applied yet\n"
    assert firewall("export", "--revision", "1").status == 2
    confirm(host, alice, "first\nwith more")
    assert json.loads(firewall("export", "--revision", "1").out) == found
    rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice, "second")
    lines = firewall("history").out.splitlines()
    assert lines[0].startswith("*   2 ")
    assert lines[1].endswith("alice  confirmed  first")
    rows = json.loads(firewall("history", "--json").out)
    assert [(row["number"], row["parent"], row["state"]) for row in rows] == [
        (2, 1, "confirmed"),
        (1, None, "confirmed"),
    ]
    again = json.loads(firewall("import", str(document), "--json").out)
    assert again["rules"] == 2
    assert again["pending"]["count"] == 1


def test_diff(host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    rule_create(host=host, actor=alice, values={"scope": "both", "source": "192.0.2.0/24"})
    confirm(host, alice)
    done = firewall("diff", "1", "2")
    assert done.status == 1
    assert "1 rule added" in done.out.splitlines()[0]
    assert any(line.startswith("+ ") and "192.0.2.0/24" in line for line in done.out.splitlines())
    assert firewall("diff", "2", "2").status == 0
    assert json.loads(firewall("diff", "1", "2", "--json").out)["count"] == 1
    missing = firewall("diff", "1", "7")
    assert (missing.status, missing.err) == (2, "there is no revision 7\n")


def test_status_and_plan_against_the_host(host: Host, alice: Actor, queue: RedisServer) -> None:
    unknown = firewall("plan")
    assert unknown.status == 2
    assert "has not reported what the kernel holds yet" in unknown.err
    rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    document = draft_document(host)
    snapshot_store(host, document, 1)
    good = firewall("status")
    assert good.status == 0
    assert good.out.splitlines()[0] == "Protected: revision 1 is active for IPv4 and IPv6."
    assert firewall("plan").status == 0
    rule_create(host=host, actor=alice, values={"scope": "both", "source": "192.0.2.0/24"})
    plan = firewall("plan")
    assert plan.status == 1
    assert "-s 192.0.2.0/24" in plan.out
    snapshot_store(host, None)
    bad = firewall("status", "--json")
    assert bad.status == 1
    found = json.loads(bad.out)
    assert (found["level"], found["revision"], found["pending"]) == ("bad", 1, 1)
    assert found["reasons"]
    assert found["last_apply"] == {"revision": 1, "state": "confirmed"}


def test_status_says_what_differs_and_who_likely_did_it(host: Host, alice: Actor, queue: RedisServer) -> None:
    rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    good = save_of(draft_document(host), 4, 1)
    edited = good.replace("--dport 22 ", "--dport 23 ").replace("[0:0] -A INPUT -j FILTERS-HOST\n", "")
    snapshot_store(host, saves={4: edited, 6: save_of(draft_document(host), 6, 1)})
    done = firewall("status")
    assert done.status == 1
    lines = done.out.splitlines()
    assert lines[0] == "Drift: the kernel does not hold revision 1 as it was applied."
    assert any(line.startswith("    - -A FILTERS-HOST -p tcp -m tcp --dport 22") for line in lines)
    assert any(line.startswith("    + -A FILTERS-HOST -p tcp -m tcp --dport 23") for line in lines)
    assert f"    {INPUT_EMPTY}" in lines
    found = json.loads(firewall("status", "--json").out)["drift"]
    assert [(each["code"], each["family"]) for each in found] == [("rules-changed", 4), ("anchor-missing", 4)]
    assert found[1]["lines"] == ["- -A INPUT -j FILTERS-HOST"]


def test_status_without_redis(host: Host, no_queue: None) -> None:
    done = firewall("status")
    assert done.status == 1
    assert "Redis does not answer" in done.out


def test_an_unknown_host_is_bad_input(host: Host) -> None:
    done = firewall("status", "--host", "mars")
    assert (done.status, done.err) == (2, "there is no host mars\n")


def test_a_database_that_is_not_set_up_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Host:
        raise OperationalError("no such table: rules_host")

    monkeypatch.setattr(stored, "host_default", fail)
    done = firewall("status")
    assert done.status == 2
    assert done.err.count("\n") == 1
    assert "manage.py migrate" in done.err


class PlayedRoot:
    """Plays the root worker while the command sleeps: takes the order, reports, ends as told."""

    def __init__(self, end: str) -> None:
        """`end` is the state that the apply ends in, or empty for a root worker that says nothing."""
        self.end = end
        self.orders: list[Order] = []
        self.naps = 0

    def sleep(self, seconds: float) -> None:
        """Do one thing more at each nap."""
        self.naps += 1
        if not self.end:
            return
        apply = Apply.objects.get(state__in=Apply.UNFINISHED)
        if self.naps == 1:
            queue = Queue("firewall-local", connection=client.connection(), serializer=JSONSerializer)
            jobs = [queue.fetch_job(job_id) for job_id in queue.job_ids]
            self.orders = [Order.from_json(job.args[0]) for job in jobs if job and job.func_name == "apply"]
        elif self.naps == 2:
            progress_store(outcome_of(apply, "loading", 0))
        elif self.naps == 3:
            outcome_record(outcome=outcome_of(apply, "failed" if self.end == "failed" else "awaiting", 1))
        elif apply.answer == "keep" and self.end == "confirmed":
            outcome_record(outcome=outcome_of(apply, "confirmed", 2))
        elif apply.answer == "rollback" or (not apply.answer and self.naps > 6):
            reason = "asked" if apply.answer else "silence"
            way_back = {"reason": reason, "summary": f"The previous rules are active again: {reason}."}
            outcome_record(outcome=outcome_of(apply, "rolled_back", 2, {"way_back": way_back}))


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], PlayedRoot]:
    def start(end: str) -> PlayedRoot:
        root = PlayedRoot(end)
        monkeypatch.setattr(applying, "sleep", root.sleep)
        return root

    return start


@pytest.fixture
def edited(transactional_db: None, alice: Actor) -> Host:
    host = host_default()
    rule_create(host=host, actor=alice, values=SSH)
    host.refresh_from_db()
    return host


def test_apply_waits_and_prints_the_steps(
    edited: Host, queue: RedisServer, play: Callable[[str], PlayedRoot]
) -> None:
    root = play("confirmed")
    done = firewall("apply", "-m", "open ssh", "--keep", "--window", "30")
    assert done.status == 0, done.err
    assert done.out.splitlines() == [
        "lock: done in 0.010 s",
        "validate: done in 0.020 s",
        "revision 1: confirmed",
    ]
    (order,) = root.orders
    assert (order.revision, order.confirm_seconds) == (1, 30)
    assert Revision.objects.get().message == "open ssh"
    snapshot_store(edited, draft_document(edited), 1)
    again = firewall("apply", "-m", "again")
    assert again.status == 1
    assert again.err == "Nothing to apply: the kernel already holds the draft as revision 1.\n"


def test_a_failed_apply_says_why(edited: Host, queue: RedisServer, play: Callable[[str], PlayedRoot]) -> None:
    play("failed")
    done = firewall("apply", "-m", "open ssh")
    assert done.status == 1
    assert "validate: failed" in done.out
    assert done.err.splitlines() == [
        "validate: iptables-restore refused line 7.",
        "command: iptables-restore -n (status 1)",
        "line 7: -A FILTERS -j NOWHERE",
        "line 7 failed",
    ]
    play("failed")
    found = json.loads(firewall("apply", "-m", "once more", "--json").out)
    assert (found["state"], found["revision"]) == ("failed", 2)
    assert found["error"]["line_number"] == 7


def test_without_keep_and_without_a_terminal_it_is_rolled_back(
    edited: Host, queue: RedisServer, play: Callable[[str], PlayedRoot]
) -> None:
    play("confirmed")
    done = firewall("apply", "-m", "open ssh")
    assert done.status == 1
    assert done.out.splitlines()[-1] == "revision 1: rolled back"
    assert "revision 1 is loaded but not confirmed; it is rolled back at " in done.err
    assert "to keep it: `dockerfw confirm`, or --keep" in done.err
    assert done.err.splitlines()[-1] == "The previous rules are active again: silence."


def test_at_a_terminal_the_admin_is_asked(
    edited: Host, queue: RedisServer, play: Callable[[str], PlayedRoot], monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str | None] = [None, "y\n"]
    questions: list[str] = []

    def ask(output: Output, question: str, *, seconds: float) -> str | None:
        questions.append(question)
        return said.pop(0)

    monkeypatch.setattr(Output, "at_terminal", property(lambda output: True))
    monkeypatch.setattr(Output, "ask", ask)
    play("confirmed")
    done = firewall("apply", "-m", "open ssh")
    assert done.status == 0, done.err
    assert len(questions) == 2
    assert questions[0].startswith("Keep revision 1? ")
    said = ["\n"]
    rule_create(host=edited, actor=Actor(name="alice"), values=NEXT)
    play("confirmed")
    done = firewall("apply", "-m", "another")
    assert done.status == 1
    assert done.out.splitlines()[-1] == "revision 2: rolled back"


def test_an_open_window_is_confirmed_or_cancelled_by_a_verb_of_its_own(
    edited: Host,
    alice: Actor,
    queue: RedisServer,
    play: Callable[[str], PlayedRoot],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(settings, "ENVIRONMENT", replace(settings.ENVIRONMENT, command="scripts/firewall"))
    for verb in ("confirm", "cancel"):
        none = firewall(verb)
        assert (none.status, none.err) == (1, "No apply waits for confirmation.\n")
    mine = apply_start(
        basis=basis_of(edited), actor=command_line_actor(), message="mine", draft_version=edited.draft_version
    )
    outcome_record(outcome=outcome_of(mine, "awaiting", 0))
    play("confirmed").naps = 3
    status = firewall("status")
    assert status.status == 1
    done = firewall("confirm")
    assert (done.status, done.out.splitlines()[-1]) == (0, "revision 1: confirmed"), done.err
    rule_create(host=edited, actor=alice, values=NEXT)
    edited.refresh_from_db()
    theirs = apply_start(
        basis=basis_of(edited), actor=alice, message="theirs", draft_version=edited.draft_version
    )
    outcome_record(outcome=outcome_of(theirs, "awaiting", 0))
    refused = firewall("confirm")
    assert refused.status == 1
    assert "alice started this" in refused.err
    assert (
        "`scripts/firewall confirm --instead-of alice`. To roll it back: `scripts/firewall cancel`"
        in refused.err
    )
    second = firewall("apply", "-m", "me too")
    assert (second.status, "waits for confirmation until" in second.err) == (1, True)
    play("confirmed").naps = 3
    done = firewall("cancel")
    assert (done.status, done.out.splitlines()[-1]) == (0, "revision 2: rolled back"), done.err


def test_an_apply_from_the_web_is_kept_at_the_console_by_naming_its_admin(
    edited: Host, alice: Actor, queue: RedisServer, play: Callable[[str], PlayedRoot]
) -> None:
    theirs = apply_start(
        basis=basis_of(edited), actor=alice, message="theirs", draft_version=edited.draft_version
    )
    outcome_record(outcome=outcome_of(theirs, "awaiting", 0))
    wrong = firewall("confirm", "--instead-of", "bob")
    assert (wrong.status, wrong.err) == (1, "This apply was started by alice, not by bob.\n")
    assert Apply.objects.get().answer == ""
    play("confirmed").naps = 3
    done = firewall("confirm", "--instead-of", "alice")
    assert (done.status, done.out.splitlines()[-1]) == (0, "revision 1: confirmed"), done.err
    kept = Apply.objects.get()
    assert (kept.requested_by, kept.answered_by) == ("alice", command_line_actor().name)
    event = AuditEvent.objects.get(verb="apply-keep")
    assert event.actor_name == command_line_actor().name
    assert event.detail == "instead of alice, who started it"


def test_a_window_outside_its_limits_is_bad_input(edited: Host, queue: RedisServer) -> None:
    for seconds in ("14", "3601"):
        done = firewall("apply", "-m", "x", "--window", seconds)
        assert done.status == 2
        assert f"{seconds} seconds is not allowed. Use 15 to 3600" in done.err


def test_no_root_worker_answers(edited: Host, queue: RedisServer, play: Callable[[str], PlayedRoot]) -> None:
    play("")
    done = firewall("apply", "-m", "open ssh", "--timeout", "0.2")
    assert done.status == 1
    assert "no outcome within 0.2 seconds" in done.err
    second = firewall("apply", "-m", "me too")
    assert second.status == 1
    assert "The apply of revision 1 by" in second.err


def test_rollback(edited: Host, alice: Actor, queue: RedisServer, play: Callable[[str], PlayedRoot]) -> None:
    confirm(edited, alice, "first")
    rule_create(host=edited, actor=alice, values={"scope": "both", "source": "192.0.2.0/24"})
    confirm(edited, alice, "second")
    play("confirmed")
    done = firewall("rollback", "1", "-m", "back", "--keep")
    assert done.status == 0, done.err
    assert done.out.endswith("revision 3: confirmed\n")
    assert Revision.objects.get(number=3).restores == 1
    assert Rule.objects.count() == 1
    assert firewall("rollback", "9", "-m", "back").status == 2


def test_apply_without_redis_and_without_a_message(edited: Host, no_queue: None) -> None:
    done = firewall("apply", "-m", "x")
    assert done.status == 1
    assert done.err.startswith("Nothing was applied: Redis does not answer")
    empty = firewall("apply", "-m", " ")
    assert empty.status == 2
    assert empty.err.startswith("message: enter the reason for this change")


def test_sessions_that_stay_open_are_told_and_ended_on_wish(
    edited: Host, queue: RedisServer, play: Callable[[str], PlayedRoot], alice: Actor
) -> None:
    confirm(edited, alice)
    inbound = InboundSession("host", 4, "tcp", "203.0.113.9", 22, 22, ("ens33",))
    sessions = SessionGroups((SessionGroup.of(inbound, 2),))
    snapshot_store(edited, draft_document(edited), 1, sessions=sessions)
    rule = edited.rules.get()
    rule_delete(host=edited, actor=alice, key=rule.key, version=rule.version)
    sentence = "2 established sessions of 22/tcp from anywhere to the host (ssh) stay open."
    assert firewall("plan").err.splitlines() == [sentence]
    play("confirmed")
    told = firewall("apply", "-m", "close ssh").err.splitlines()
    assert told[:2] == [sentence, "--end-sessions ends them after Keep"]
    root = play("confirmed")
    told = firewall("apply", "-m", "close ssh", "--keep", "--end-sessions").err.splitlines()
    assert told == [sentence, "they end after Keep"]
    orders = {order.apply: order.end_sessions for order in root.orders}
    assert orders == {str(apply.pk): apply.end_sessions for apply in Apply.objects.exclude(job_id="job")}
    assert sorted(orders.values()) == [False, True]
