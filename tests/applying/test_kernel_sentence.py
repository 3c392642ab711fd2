"""The sentence on the kernel never says more than a fresh snapshot shows, and pages open without Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from dockerfw.chains.drift import Drift
from dockerfw.chains.render import render_compiled
from dockerfw.document.document import digest
from dockerfw.iptables.model import FAMILIES, Counters, Family
from dockerfw.iptables.sentences import LEGACY_NOT_PRINTED
from dockerfw.messages.confirmed import Confirmed
from dockerfw.messages.loaded import loaded_key
from dockerfw.messages.snapshot_values import drift_of
from dockerfw.messages.snapshots import CommandError, snapshot_key
from dockerfw.messages.surroundings import RuleHits, RuleUse, RuleUses, SetMembers, StaticSetState
from rules.applying import kernel_selectors
from rules.applying.history_selectors import compare_revisions, history_page
from rules.applying.kernel_selectors import kernel_sentence
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_selectors import rule_rows
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.models import Host
from rules.seen.snapshot_selectors import latest_snapshot, look, observe_request, previous_snapshot
from tests.iptables.test_unprinted import LEGACY
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import loaded_store, save_of, snapshot_store
from tests.rig.new_release import NEW_LINE, install_new_release
from tests.rig.redis_fixtures import RedisServer
from tests.rig.reviews import review_draft, review_rollback

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}


@pytest.fixture
def applied(host: Host, alice: Actor, queue: RedisServer) -> Host:
    """The host with revision 1 confirmed."""
    rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    return host


def test_loaded_and_first_in_line(applied: Host) -> None:
    taken = snapshot_store(applied, draft_document(applied), 1)
    sentence = kernel_sentence(basis_of(applied))
    assert sentence.level == "ok"
    assert sentence.text == "Protected: revision 1 is active for IPv4 and IPv6."
    assert sentence.reasons == ()
    assert sentence.taken_at == taken


def test_a_save_that_is_not_complete_is_never_protected(applied: Host) -> None:
    document = draft_document(applied)
    # The rules of the revision are all there: only the save says that there are more.
    snapshot_store(
        applied, document, 1, saves={4: LEGACY + save_of(document, 4, 1), 6: save_of(document, 6, 1)}
    )
    sentence = kernel_sentence(basis_of(applied))
    assert (sentence.level, sentence.reasons) == ("bad", (f"IPv4: {LEGACY_NOT_PRINTED}.",))
    assert sentence.text == "Cannot tell what is protected: not all rules in the kernel can be read."
    # The same rules without that line are another snapshot, also for what is remembered of them.
    snapshot_store(applied, document, 1, age=-1)
    assert kernel_sentence(basis_of(applied)).level == "ok"


@pytest.mark.parametrize("revision", [1, 2])
def test_without_dockers_own_rules_the_host_is_not_called_protected(applied: Host, revision: int) -> None:
    document = draft_document(applied)
    # Also in the moment in which the root worker still reports about the revision before.
    kept = Confirmed(revision, digest(document), "nft", docker_gone=(4,))
    snapshot_store(applied, document, 1, confirmed=kept)
    sentence = kernel_sentence(basis_of(applied))
    assert sentence.level == "bad"
    assert sentence.text == "Revision 1 is active, but Docker's own rules are missing. Restart Docker."
    assert [reason.partition(":")[0] for reason in sentence.reasons] == ["IPv4"]


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("-A INPUT -j FILTERS-HOST\n", "", "INPUT has no jump to dockerfw"),
        ("[0:0] -A DOCKER-USER -i ens33 -j FILTERS-CONTAINERS\n", "", "DOCKER-USER has no jump to dockerfw"),
        ("--dport 22 ", "--dport 23 ", "not loaded"),
        ("-A INPUT -j", "-A INPUT -j DROP\n[0:0] -A INPUT -j", "another rule comes before"),
        ('"dockerfw r1 ', '"dockerfw r7 ', "revision 7"),
    ],
)
@pytest.mark.parametrize("family", [4, 6])
def test_every_kind_of_drift_is_named(applied: Host, family: int, old: str, new: str, words: str) -> None:
    document = draft_document(applied)
    good, other = save_of(document, 4, 1), save_of(document, 6, 1)
    if family == 4:
        good = good.replace(f"[0:0] {old}" if old.startswith("-A INPUT -j FILTERS-HOST\n") else old, new)
    else:
        other = other.replace(f"[0:0] {old}" if old.startswith("-A INPUT -j FILTERS-HOST\n") else old, new)
    snapshot_store(applied, saves={4: good, 6: other})
    sentence = kernel_sentence(basis_of(applied))
    assert sentence.level == "bad"
    assert sentence.text == "Drift: the kernel does not hold revision 1 as it was applied."
    assert any(words in reason and reason.startswith(f"IPv{family}") for reason in sentence.reasons)


def test_the_drift_is_found_anew_when_anything_but_counters_differs(
    applied: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Drift] = []

    def count(*facts: Any, **more: Any) -> Drift:
        found.append(drift_of(*facts, **more))
        return found[-1]

    monkeypatch.setattr(kernel_selectors, "drift_of", count)
    document = draft_document(applied)
    for packets in (10, 20, 30):
        snapshot_store(applied, document, 1, packets=packets, age=(60 - packets) / 10, forget=False)
        assert kernel_sentence(basis_of(applied)).level == "ok"
    assert len(found) == 1
    moved = {family: save_of(document, family, 1, packets=40) for family in FAMILIES}
    differing: list[dict[str, Any]] = [
        *(
            {"saves": {**moved, family: moved[family].replace(old, new)}}
            for family in FAMILIES
            for old, new in (("--dport 22 ", "--dport 23 "), ("INPUT ACCEPT", "INPUT DROP"))
        ),
        {"bridge": ("172.17.0.1/16",)},
        {"docker_state": "absent"},
        {"families": (4,)},
        {"confirmed": Confirmed(1, digest(document), "nft", docker_gone=(4,))},
        *(
            {"around": around}
            for around in (
                {"default_routes": {4: (), 6: ()}},
                {"foreign_tables": ("inet firewalld",)},
                {"errors": (CommandError(("ip", "-j", "address"), 1, "failed"),)},
                {"lacks_ip_set": True},
                {"sets": (SetMembers("dockerfw4-x", "hash:net", ()),)},
                {"static_sets": (StaticSetState("dockerfw4-s0", 1),)},
            )
        ),
    ]
    for number, facts in enumerate(differing, start=2):
        snapshot_store(applied, document, 1, packets=40, age=0.01, **facts)
        kernel_sentence(basis_of(applied))
        assert len(found) == number, facts


@pytest.fixture
def new_release(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """What installs a release that renders other rules, for this test."""
    yield lambda: install_new_release(monkeypatch)
    render_compiled.cache_clear()


def test_a_new_release_compares_with_the_loaded_rules(applied: Host, new_release: Callable[[], None]) -> None:
    document = draft_document(applied)
    saves: dict[Family, str] = {4: save_of(document, 4, 1), 6: save_of(document, 6, 1)}
    loaded_store(applied, document, 1)
    new_release()
    snapshot_store(applied, saves=saves)
    assert kernel_sentence(basis_of(applied)).level == "ok"
    plan = review_draft(applied).plan
    assert plan is not None
    assert [line.text for line in plan.families[4].added] == [NEW_LINE]
    # What the new release would load is not what was confirmed.
    snapshot_store(applied, document, 1)
    assert kernel_sentence(basis_of(applied)).level == "bad"


@pytest.mark.parametrize("stored", ["none", "another revision", "no JSON", "changed"])
def test_without_the_loaded_rules_a_page_compares_with_its_own_rendering(
    applied: Host, new_release: Callable[[], None], stored: str
) -> None:
    document = draft_document(applied)
    saves: dict[Family, str] = {4: save_of(document, 4, 1), 6: save_of(document, 6, 1)}
    key = loaded_key("local")
    if stored != "none":
        loaded_store(applied, document, 7 if stored == "another revision" else 1)
    if stored in ("no JSON", "changed"):
        value = client.connection().get(key)
        assert isinstance(value, bytes)
        changed = value.replace(b"--dport 22 ", b"--dport 23 ") if stored == "changed" else value[:-9]
        client.connection().set(key, changed)
    new_release()
    snapshot_store(applied, saves=saves)
    sentence = kernel_sentence(basis_of(applied))
    assert sentence.level == "bad"
    assert any("not loaded" in reason for reason in sentence.reasons)


def test_an_old_snapshot_is_no_proof(applied: Host) -> None:
    snapshot_store(applied, draft_document(applied), 1, age=90)
    sentence = kernel_sentence(basis_of(applied))
    assert (sentence.level, sentence.stale) == ("unknown", True)
    assert sentence.text == "Unknown: 90 seconds ago the kernel held revision 1. It has not been read since."
    snapshot_store(applied, None, age=7200 * 2)
    assert kernel_sentence(basis_of(applied)).text.startswith(
        "Unknown: 4 hours ago the kernel did not hold revision 1"
    )


def test_a_snapshot_from_the_future_is_no_proof(applied: Host) -> None:
    # The clock of the host was set wrong, or someone wrote it: its root worker may be long dead.
    for seconds in (20.0, 3600.0, 864_000.0):
        snapshot_store(applied, draft_document(applied), 1, age=-seconds)
        sentence = kernel_sentence(basis_of(applied))
        assert (sentence.level, sentence.stale) == ("unknown", True)
        assert "in the future (set the clocks of host and dashboard) the kernel held" in sentence.text
    # A clock that is a little ahead is no harm.
    snapshot_store(applied, draft_document(applied), 1, age=-5.0)
    assert kernel_sentence(basis_of(applied)).level == "ok"


def test_an_old_snapshot_that_returns_is_ignored(applied: Host) -> None:
    snapshot_store(applied, draft_document(applied), 1, age=6.0)
    assert kernel_sentence(basis_of(applied)).level == "ok"
    # Then the rules are gone, and the snapshot of before is stored again.
    snapshot_store(applied, None, age=2.0, forget=False)
    assert kernel_sentence(basis_of(applied)).level == "bad"
    snapshot_store(applied, draft_document(applied), 1, age=4.0, forget=False)
    assert kernel_sentence(basis_of(applied)).level == "bad"
    # A newer one counts, and so does each one after a clock that was an hour ahead.
    snapshot_store(applied, draft_document(applied), 1, age=1.0, forget=False)
    assert kernel_sentence(basis_of(applied)).level == "ok"
    snapshot_store(applied, draft_document(applied), 1, age=-3600.0, forget=False)
    assert kernel_sentence(basis_of(applied)).level == "unknown"
    snapshot_store(applied, None, forget=False)
    assert kernel_sentence(basis_of(applied)).level == "bad"


def test_nothing_applied_yet(host: Host, queue: RedisServer) -> None:
    snapshot_store(host, None)
    sentence = kernel_sentence(basis_of(host))
    assert sentence.level == "warn"
    assert sentence.text.startswith("Nothing has been applied yet")


def test_an_unreadable_snapshot_is_reported(applied: Host) -> None:
    for junk in (b"{", b"[]", b'{"format":"dockerfw-snapshot/1"}', b"\xff\xfe"):
        client.connection().set(snapshot_key("local"), junk)
        assert latest_snapshot(applied) is None
        assert "cannot be read" in look(applied).problem
        assert kernel_sentence(basis_of(applied)).level == "unknown"


def test_a_snapshot_of_another_host_is_not_taken(applied: Host) -> None:
    other = Host.objects.create(name="other")
    snapshot_store(other, None)
    stored = client.snapshot_read("other")
    assert stored is not None
    client.connection().set(snapshot_key("local"), stored)
    assert "snapshot of other" in look(applied).problem


def test_a_snapshot_that_is_too_large_is_not_read(applied: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "SNAPSHOT_BYTES_MAX", 100)
    snapshot_store(applied, None)
    assert "at most 100 are read" in look(applied).problem


def test_everything_opens_without_redis(applied: Host, no_queue: None) -> None:
    sentence = kernel_sentence(basis_of(applied))
    assert sentence.level == "unknown"
    assert sentence.reasons[0].startswith("Redis does not answer")
    assert review_draft(applied).plan is None
    assert [warning.code for warning in review_draft(applied).warnings] == ["no-snapshot"]
    assert rule_rows(applied)[0].hits is None
    assert history_page(applied).entries[0].loaded is False
    assert observe_request(applied) is False


def test_a_family_that_no_container_has_is_not_warned_of(applied: Host) -> None:
    document = draft_document(applied)
    unfiltered = save_of(document, 6, 1).replace("-A FORWARD -j DOCKER-USER", "-A FORWARD -j ACCEPT")
    both: dict[Family, str] = {4: save_of(document, 4, 1), 6: unfiltered.replace(":DOCKER - [0:0]\n", "")}
    snapshot_store(applied, saves=both, bridge=("172.17.0.1/16", "fe80::1/64"))
    assert "docker-not-filtering" not in [warning.code for warning in review_draft(applied).warnings]
    snapshot_store(applied, saves=both, bridge=("172.17.0.1/16", "2001:db8:1::1/64"))
    assert [warning.family for warning in review_draft(applied).warnings] == [6]


def test_a_container_network_past_the_rules_is_red_until_the_own_jump_is_there(applied: Host) -> None:
    document = draft_document(applied)
    bare = save_of(document, 6, 1).replace("-A FORWARD -j DOCKER-USER", "-A FORWARD -j ACCEPT")
    bare = bare.replace(":DOCKER - [0:0]\n", "")
    both: dict[Family, str] = {4: save_of(document, 4, 1), 6: bare}
    snapshot_store(applied, saves=both, bridge=("172.17.0.1/16",))
    assert kernel_sentence(basis_of(applied)).level == "ok"
    snapshot_store(applied, saves=both, bridge=("172.17.0.1/16", "2001:db8:1::1/64"))
    sentence = kernel_sentence(basis_of(applied))
    assert (sentence.level, sentence.drift and sentence.drift.only_anchors) == ("bad", True)
    assert sentence.text.startswith("Not protected: other rules let packets bypass revision 1")
    review = review_draft(applied)
    assert review.plan is not None
    assert [(each.chain, each.action) for each in review.plan.families[6].anchors] == [("FORWARD", "insert")]
    snapshot_store(applied, saves=both, bridge=("172.17.0.1/16", "2001:db8:1::1/64"), age=90)
    assert kernel_sentence(basis_of(applied)).text == (
        "Unknown: 90 seconds ago the kernel held revision 1, but packets could bypass it."
        " It has not been read since."
    )
    assert "-I FORWARD 1 -i ens33 -j FILTERS-CONTAINERS" in review.restore[6]
    assert "-I FORWARD" not in review.restore[4]
    jump = "-A FORWARD -i ens33 -j FILTERS-CONTAINERS\n[0:0] -A FORWARD -j ACCEPT"
    both[6] = bare.replace("-A FORWARD -j ACCEPT", jump)
    snapshot_store(applied, saves=both, bridge=("172.17.0.1/16", "2001:db8:1::1/64"))
    assert kernel_sentence(basis_of(applied)).level == "ok"


def test_one_observe_serves_all_viewers(applied: Host) -> None:
    assert [observe_request(applied) for _ in range(20)].count(True) == 1
    assert client.connection().llen("rq:queue:firewall-local") == 1


def test_a_snapshot_is_parsed_once(applied: Host) -> None:
    taken = snapshot_store(applied, draft_document(applied), 1)
    first, second = latest_snapshot(applied), latest_snapshot(applied)
    assert first is second
    assert first is not None
    assert previous_snapshot(applied, first.snapshot.taken_at) is first
    assert previous_snapshot(applied, "never") is None
    snapshot_store(applied, draft_document(applied), 1, forget=False)
    third = latest_snapshot(applied)
    assert third is not None
    assert all(third.rulesets[family] is first.rulesets[family] for family in FAMILIES)
    assert third.taken_at > taken


def test_rows_carry_what_the_kernel_counted(applied: Host) -> None:
    snapshot_store(applied, draft_document(applied), 1, packets=5)
    (row,) = rule_rows(applied, snapshot=latest_snapshot(applied))
    assert row.hits is not None
    assert (row.hits.packets, row.hits.bytes) == (10, 600)
    assert row.last_use is None


def test_rows_carry_what_sets_counted_and_the_last_use(applied: Host) -> None:
    snapshot_store(applied, draft_document(applied), 1, packets=5)
    view = latest_snapshot(applied)
    assert view is not None
    (before,) = rule_rows(applied, snapshot=view)
    uses = RuleUses("2026-11-01T00:00:00Z", (), (RuleUse(before.key, "2026-11-30T10:00:00Z"),))
    counted = replace(view.snapshot, hits=(RuleHits(before.key, 3, 180),), uses=uses)
    later = replace(view, snapshot=counted, taken_at=view.taken_at + timedelta(seconds=1))
    (row,) = rule_rows(applied, snapshot=later)
    assert row.hits == Counters(13, 780)
    assert row.last_use is not None
    assert row.last_use.last == datetime(2026, 11, 30, 10, tzinfo=UTC)
    assert row.last_use.unused_since(datetime(2026, 12, 1, tzinfo=UTC))
    assert not row.last_use.unused_since(datetime(2026, 11, 30, 10, tzinfo=UTC))
    # Of the time before it was counted nothing is known.
    unknown = replace(row.last_use, last=None)
    assert not unknown.unused_since(datetime(2026, 10, 1, tzinfo=UTC))


def test_the_review_shows_history_kernel_and_text(applied: Host, alice: Actor) -> None:
    snapshot_store(applied, draft_document(applied), 1)
    assert review_draft(applied).nothing_to_apply
    assert review_draft(applied).revision_number == 1
    rule_create(host=applied, actor=alice, values={"scope": "both", "protocol": "tcp", "ports": ["443"]})
    applied.refresh_from_db()
    found = review_draft(applied)
    assert not found.nothing_to_apply
    assert (found.diff.count, found.revision_number) == (1, 2)
    assert found.draft_version == applied.draft_version
    assert found.plan is not None
    assert [line.chain for line in found.plan.families[4].added] == ["FILTERS"]
    assert "--ctorigdstport 443" in found.restore[4]
    assert "dockerfw r2 " in found.restore[6]
    assert "icmp6-adm-prohibited" in found.restore[6]
    back = review_rollback(applied, 1)
    assert back is not None
    assert back.diff.count == 0
    assert review_rollback(applied, 9) is None


def test_history_marks_what_is_loaded(applied: Host, alice: Actor) -> None:
    rule_create(host=applied, actor=alice, values={"scope": "both", "source": "192.0.2.0/24"})
    document = draft_document(applied)
    confirm(applied, alice, "second")
    snapshot_store(applied, document, 2)
    page = history_page(applied, snapshot=latest_snapshot(applied))
    assert [(entry.revision.number, entry.loaded, entry.confirmed) for entry in page.entries] == [
        (2, True, True),
        (1, False, False),
    ]
    assert "1 rule added" in page.entries[0].sentence
    snapshot_store(applied, document, 2, age=60)
    stale = history_page(applied, snapshot=latest_snapshot(applied))
    assert not any(entry.loaded for entry in stale.entries)
    comparison = compare_revisions(applied, None, 2)
    assert comparison is not None
    assert comparison.old is not None
    assert comparison.old.number == 1
    assert compare_revisions(applied, 1, 9) is None
    assert compare_revisions(applied, 9, 1) is None
