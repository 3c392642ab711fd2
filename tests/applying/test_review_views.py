"""The review page: changes, starting an apply, every refusal of one, and rolling back."""

from __future__ import annotations

import re
from functools import partial

import pytest
from django.test import Client

from dockerfw.chains.sentences import EMPTY_DOCUMENT
from dockerfw.messages.surroundings import ListeningSocket
from rules.applying.apply_services import apply_start
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create, rule_update
from rules.models import Apply, AuditEvent, Host, Revision, Rule
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import loaded_store, snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/review/"
DISABLED = re.compile(r'<button [^>]*id="apply-button"[^>]* disabled')


@pytest.fixture
def ssh(host: Host, alice: Actor) -> Rule:
    """A rule that is pending."""
    values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}
    return rule_create(host=host, actor=alice, values=values)


def order(host: Host, message: str = "open ssh", **changes: object) -> dict[str, object]:
    """Return the form as the page draws it now, with changes."""
    host.refresh_from_db()
    return {
        "version": str(host.draft_version),
        "sequence": str(host.sequence),
        "message": message,
        **changes,
    }


def test_access(signed_in: Client, host: Host, alice: Actor) -> None:
    confirm(host, alice)
    assert_access(PATH, signed_in, methods="get post")
    assert_access(f"{HOST}/history/1/rollback/", signed_in, methods="get post")
    assert_access(f"{HOST}/discard/", signed_in, methods="post")
    assert_access(f"{PATH}restore/4/", signed_in)
    assert_access(f"{PATH}waiting/", signed_in)
    assert_access(f"{PATH}restore/6/?number=1", signed_in)
    assert signed_in.get(f"{PATH}restore/4/?number=9").status_code == 404
    assert signed_in.get(f"{HOST}/history/9/rollback/").status_code == 404
    assert signed_in.post(f"{HOST}/history/9/rollback/", {"message": "x", "version": "1"}).status_code == 404


@pytest.mark.redis
def test_it_shows_the_sentence_the_lines_and_the_restore_text(working: Client, host: Host, ssh: Rule) -> None:
    snapshot_store(host, None)
    page = working.get(PATH)
    words = text_of(page)
    # ens33, which the fixture sets, is the other change.
    assert "2 pending changes" in words
    assert "1 rule added" in words
    assert "added: 22/tcp from anywhere to the host" in words
    assert "Other chains, left unchanged" in words
    assert ":FILTERS-HOST - [0:0]" in words
    assert "icmp6-adm-prohibited" in words
    assert has_no_inline_code(page)
    body = page.content.decode()
    assert (
        body.index('class="diff"') < body.index("Other chains, left unchanged") < body.index('name="message"')
    )


def test_without_a_snapshot_the_diff_still_stands(signed_in: Client, ssh: Rule) -> None:
    words = text_of(signed_in.get(PATH))
    assert "added: 22/tcp" in words
    assert "The changes in the kernel are unknown" in words


def test_a_huge_draft_stays_a_page_with_its_text_beside(signed_in: Client, host: Host) -> None:
    Rule.objects.bulk_create(
        Rule(host=host, key=f"k{number:05}", scope="host", protocol="tcp", ports=[str(number + 1)])
        for number in range(3000)
    )
    Host.objects.filter(pk=host.pk).update(draft_version=2)
    page = signed_in.get(PATH)
    assert len(page.content) < 100_000
    assert "2940 more" in text_of(page)
    assert text_of(page).count("added: ") == 60
    assert f'href="{PATH}restore/4/"' in page.content.decode()
    assert 'href="?effects=yes&amp;all=yes"' in page.content.decode()
    assert text_of(signed_in.get(f"{PATH}?all=yes")).count("added: ") == 3000
    assert signed_in.get(f"{PATH}restore/4/").content.count(b"dockerfw:k") == 3000


@pytest.mark.redis
def test_apply_makes_one_revision_and_leads_to_its_page(working: Client, host: Host, ssh: Rule) -> None:
    answer = working.post(PATH, order(host))
    apply = Apply.objects.get()
    assert answer["Location"] == f"{HOST}/applies/{apply.pk}/"
    assert (apply.requested_by, apply.revision.number, apply.revision.message) == ("alice", 1, "open ssh")


@pytest.mark.redis
def test_a_second_click_makes_no_second_apply(working: Client, host: Host, ssh: Rule) -> None:
    drawn = order(host)
    first = working.post(PATH, drawn)
    second = working.post(PATH, drawn)
    assert first["Location"] == second["Location"]
    assert (Apply.objects.count(), Revision.objects.count()) == (1, 1)


@pytest.mark.redis
def test_a_reason_is_needed(working: Client, host: Host, ssh: Rule) -> None:
    page = working.post(PATH, order(host, message="  "))
    assert page.status_code == 422
    assert "Enter the reason for this change." in text_of(page)
    assert not Apply.objects.exists()


@pytest.mark.redis
def test_a_rule_that_opens_every_port_needs_a_second_look(working: Client, host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values={"scope": "both", "protocol": "tcp"})
    said = "1 new rule opens every port, also for services that start later: all of tcp from anywhere"
    assert said in text_of(working.get(PATH))
    page = working.post(PATH, order(host))
    assert page.status_code == 422
    assert "would open every port: all of tcp from anywhere to the host and containers. Tick" in text_of(page)
    assert not Apply.objects.exists()
    assert working.post(PATH, order(host, every_port="on")).status_code == 302
    after = AuditEvent.objects.get(verb="apply-start").after
    assert after is not None
    assert after["every_port"] is True


def test_a_confirmed_rule_that_opens_every_port_asks_no_more(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    rule_create(host=host, actor=alice, values={"scope": "both", "protocol": "tcp"})
    confirm(host, alice)
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "udp", "ports": ["53"]})
    assert 'name="every_port"' not in signed_in.get(PATH).content.decode()


@pytest.mark.redis
def test_a_draft_that_changed_since_is_shown_again_with_the_message(
    working: Client, host: Host, ssh: Rule, bob: Actor
) -> None:
    drawn = order(host, message="open ssh for the office")
    values = {"scope": "both", "protocol": "tcp", "ports": ["23"], "comment": "telnet"}
    rule_create(host=host, actor=bob, values=values)
    page = working.post(PATH, drawn)
    assert page.status_code == 409
    assert "The draft changed after this page was opened. Nothing was applied." in text_of(page)
    assert "telnet" in text_of(page)
    assert 'value="open ssh for the office"' in page.content.decode()
    assert not Apply.objects.exists()
    host.refresh_from_db()
    assert f'name="version" value="{host.draft_version}"' in page.content.decode()


@pytest.mark.redis
def test_a_changed_draft_is_reported_although_the_reason_is_missing(
    working: Client, host: Host, ssh: Rule, bob: Actor
) -> None:
    drawn = order(host, message="")
    rule_create(host=host, actor=bob, values={"scope": "both", "protocol": "udp", "ports": ["53"]})
    page = working.post(PATH, drawn)
    assert page.status_code == 422
    assert "The draft changed after this page was opened" in text_of(page)


@pytest.mark.redis
def test_another_admins_apply_has_to_finish_first(working: Client, host: Host, ssh: Rule, bob: Actor) -> None:
    snapshot_store(host)
    host.refresh_from_db()
    button = DISABLED
    assert not button.search(working.get(PATH).content.decode())
    assert text_of(working.get(f"{PATH}waiting/")) == ""
    running = apply_start(
        basis=basis_of(host), actor=bob, message="bob was first", draft_version=host.draft_version
    )
    assert button.search(working.get(PATH).content.decode())
    note = text_of(working.get(f"{PATH}waiting/"))
    assert note.startswith("bob's apply of revision 1 has not finished. You can apply after it has ended.")
    page = working.post(PATH, order(host, message="mine"))
    assert page.status_code == 409
    assert f'href="{HOST}/applies/{running.pk}/"' in page.content.decode()
    assert 'value="mine"' in page.content.decode()
    assert Apply.objects.count() == 1


@pytest.mark.redis
def test_a_silent_root_worker_disables_the_button_and_says_why(
    working: Client, host: Host, ssh: Rule
) -> None:
    silent = "The root worker has not reported for 10 minutes. You can apply as soon as it reports again."
    for store, said in (
        (None, "has not reported what the kernel holds yet. You can apply as soon as it reports again."),
        (600.0, silent),
    ):
        if store is not None:
            snapshot_store(host, age=store)
        page = working.get(PATH)
        assert DISABLED.search(page.content.decode())
        assert said in text_of(page)
        # Nothing on the page is green by an old reading.
        assert 'class="badge ok"' not in page.content.decode()
        assert said in text_of(working.get(f"{PATH}waiting/"))
    # One that is quiet between two looks is not silent.
    snapshot_store(host, age=50)
    assert not DISABLED.search(working.get(PATH).content.decode())
    assert text_of(working.get(f"{PATH}waiting/")) == ""


@pytest.mark.redis
def test_fields_apart_belong_to_the_form(working: Client, host: Host, alice: Actor) -> None:
    snapshot_store(host)
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "udp", "ports": ["all"]})
    page = working.get(PATH).content.decode()
    tick = re.search(r'<input type="checkbox" name="every_port"[^>]*>', page)
    assert tick is not None
    assert 'form="apply-form"' in tick[0]
    assert '<form class="action-bar" id="apply-form"' in page
    # What it needs is said before the list of changes.
    assert page.index('id="every-port"') < page.index('id="diff-heading"') < page.index('name="message"')


@pytest.mark.redis
def test_ten_thousand_rules_and_their_effects_stay_a_small_page(working: Client, host: Host) -> None:
    Rule.objects.bulk_create(
        Rule(host=host, key=f"k{number:05}", scope="both", protocol="tcp", ports=[str(number + 1)])
        for number in range(10_000)
    )
    Host.objects.filter(pk=host.pk).update(draft_version=2)
    sockets = tuple(ListeningSocket(4, "tcp", "", number + 1, process="many") for number in range(300))
    snapshot_store(host, around={"sockets": sockets})
    page = working.get(PATH)
    assert len(page.content) < 100_000
    assert "9940 more. Show all" in text_of(page)


def test_without_redis_nothing_is_applied_and_the_message_is_kept(
    signed_in: Client, host: Host, ssh: Rule
) -> None:
    page = signed_in.post(PATH, order(host, message="try it"))
    assert page.status_code == 503
    assert "Redis does not answer" in text_of(page)
    assert 'value="try it"' in page.content.decode()
    assert not Revision.objects.exists()


@pytest.mark.redis
def test_an_empty_plan_is_shown(working: Client, host: Host, alice: Actor, ssh: Rule) -> None:
    revision = confirm(host, alice)
    snapshot_store(host, draft_document(host), revision.number)
    page = working.get(PATH)
    assert "Nothing to apply: the kernel holds revision 1, and the draft has the same content." in text_of(
        page
    )
    assert "None: the kernel already holds these rules." in text_of(page)
    assert 'name="message"' not in page.content.decode()
    assert working.post(PATH, order(host))["Location"] == f"{HOST}/"
    assert Apply.objects.count() == 1


@pytest.mark.redis
def test_the_sources_that_a_list_gains_and_loses_are_shown(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    sources = [f"203.0.113.{last}" for last in range(1, 10)]
    update = partial(rule_update, host=host, actor=alice, key=ssh.key)
    former = update(version=ssh.version, values={"sources": sources})
    revision = confirm(host, alice)
    held = draft_document(host)
    snapshot_store(host, held, revision.number)
    loaded_store(host, held, revision.number)
    assert "Source lists" not in text_of(working.get(PATH))
    update(version=former.version, values={"sources": [*sources[1:], "2001:db8::/32", "192.0.2.7"]})
    page = working.get(PATH)
    words = text_of(page)
    assert "Source lists" in words
    assert re.search(r"IPv4 source list \S+ in place of \S+: 9 networks, 1 added, 1 removed", words)
    assert "removed: 203.0.113.1" in words
    assert "added: 192.0.2.7" in words
    assert has_no_inline_code(page)


@pytest.mark.redis
def test_a_drifted_kernel_can_be_given_the_same_again(
    working: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    confirm(host, alice)
    snapshot_store(host, None)
    page = working.get(PATH)
    assert "The kernel differs. Applying loads the rules again." in text_of(page)
    assert 'name="message"' in page.content.decode()


def test_discard_brings_the_applied_draft_back(
    signed_in: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    confirm(host, alice)
    rule_create(host=host, actor=alice, values={"scope": "both", "protocol": "tcp", "ports": ["23"]})
    assert signed_in.post(f"{HOST}/discard/", {"version": "1"})["Location"] == PATH
    assert Rule.objects.count() == 2
    answer = signed_in.post(f"{HOST}/discard/", {"version": order(host)["version"]})
    assert answer["Location"] == f"{HOST}/rules/"
    assert Rule.objects.count() == 1


def test_a_missing_reason_is_told_at_its_field(working: Client, host: Host, ssh: Rule) -> None:
    page = working.post(PATH, order(host, message="")).content.decode()
    field = re.search(r'<div class="field reason">(.*?)</div>\s*<div class="help"', page, re.DOTALL)
    assert field is not None
    assert 'aria-describedby="id_message_helptext id_message_error"' in field[1]
    assert '<div role="alert"><ul class="errorlist" id="id_message_error">' in field[1]


def test_a_discard_can_be_undone_until_the_next_edit(
    signed_in: Client, host: Host, alice: Actor, ssh: Rule
) -> None:
    undo = f"{HOST}/draft/undo/"
    assert_access(undo, signed_in, methods="post")
    confirm(host, alice)
    telnet = rule_create(host=host, actor=alice, values={"scope": "both", "protocol": "tcp", "ports": ["23"]})
    page = signed_in.post(f"{HOST}/discard/", {"version": order(host)["version"]}, follow=True)
    assert f'action="{undo}"' in page.content.decode()
    page = signed_in.post(undo, follow=True)
    assert "the previous draft was restored" in text_of(page)
    assert set(Rule.objects.values_list("key", flat=True)) == {ssh.key, telnet.key}
    signed_in.post(f"{HOST}/discard/", {"version": order(host)["version"]})
    rule_create(host=host, actor=alice, values={"scope": "both", "protocol": "tcp", "ports": ["25"]})
    page = signed_in.post(undo, follow=True)
    assert "The draft has changed since. Nothing was undone." in text_of(page)
    assert Rule.objects.count() == 2


@pytest.mark.redis
def test_roll_back_goes_through_the_same_review(working: Client, host: Host, alice: Actor, ssh: Rule) -> None:
    confirm(host, alice, "ssh")
    rule_create(host=host, actor=alice, values={"scope": "both", "protocol": "tcp", "ports": ["23"]})
    confirm(host, alice, "telnet")
    path = f"{HOST}/history/1/rollback/"
    page = working.get(path)
    assert "removed: 23/tcp from anywhere" in text_of(page)
    assert "Creates revision 3 with the content of revision 1." in text_of(page)
    stale = working.post(path, order(host, version="1"))
    assert stale.status_code == 409
    assert "Another revision was applied after this page was opened" in text_of(stale)
    answer = working.post(path, order(host, message="no telnet", version="2"))
    apply = Apply.objects.get(revision__number=3)
    assert answer["Location"] == f"{HOST}/applies/{apply.pk}/"
    assert apply.revision.restores == 1


def test_an_empty_draft_is_explained_without_a_snapshot(working: Client, host: Host) -> None:
    words = text_of(working.get(f"{HOST}/review/"))
    assert EMPTY_DOCUMENT in words


def test_htmx_gets_the_applys_page_in_the_answer(working: Client, host: Host) -> None:
    values = {"version": host.draft_version, "sequence": host.sequence, "message": "m"}
    answer = working.post(f"{HOST}/review/", values, headers={"HX-Request": "true"})
    apply = Apply.objects.get()
    assert (answer.status_code, answer["HX-Push-Url"]) == (200, f"{HOST}/applies/{apply.pk}/")
    assert "Apply of revision 1" in text_of(answer)
    again = working.post(f"{HOST}/review/", values, headers={"HX-Request": "true"})
    assert again["HX-Redirect"] == f"{HOST}/applies/{apply.pk}/"
    assert Apply.objects.count() == 1
