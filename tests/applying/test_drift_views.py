"""Drift on the dashboard, and the actions Restore and Adopt."""

from __future__ import annotations

import pytest
from django.test import Client

from dockerfw.chains.drift_sentences import INPUT_EMPTY
from dockerfw.chains.sentences import default_route, interface_missing
from dockerfw.document.document import Document, parse_document
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.messages.codec import load_json
from dockerfw.messages.confirmed import Confirmed
from dockerfw.messages.snapshots import Snapshot
from dockerfw.messages.surroundings import Interface, StaticSetState
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create
from rules.link import client
from rules.models import Apply, Host, Revision, Rule
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import CLEAN, loaded_store, save_of, snapshot_store
from tests.rig.reviews import review_draft
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = [pytest.mark.django_db, pytest.mark.redis]

SSH = {"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "ssh"}


@pytest.fixture
def confirmed(working: Client, host: Host, alice: Actor) -> Document:
    """A document that was confirmed as revision 1."""
    rule_create(host=host, actor=alice, values=SSH)
    confirm(host, alice)
    return draft_document(host)


def held(host: Host, document: Document, *changes: tuple[str, str], kept: Confirmed | None = None) -> None:
    """Store a snapshot of a kernel that holds the document, with changes for IPv4."""
    four = save_of(document, 4, 1)
    for old, new in changes:
        assert old in four
        four = four.replace(old, new)
    saves: dict[Family, str] = {4: four, 6: save_of(document, 6, 1)}
    snapshot_store(host, saves=saves, confirmed=kept)


EDITED = ("--dport 22 ", "--dport 23 ")
NO_ANCHOR = ("[0:0] -A INPUT -j FILTERS-HOST\n", "")


def test_access(signed_in: Client) -> None:
    assert_access(f"{HOST}/adopt/", signed_in, status=302)


def test_nothing_differs(working: Client, host: Host, confirmed: Document) -> None:
    held(host, confirmed)
    page = working.get(f"{HOST}/")
    assert 'data-level="ok"' in page.content.decode()
    assert "Differences from" not in text_of(page)


def test_the_dashboard_names_what_changed_and_who_likely_did_it(
    working: Client, host: Host, confirmed: Document
) -> None:
    held(host, confirmed, EDITED, NO_ANCHOR)
    page = working.get(f"{HOST}/")
    text = text_of(page)
    assert has_no_inline_code(page)
    assert "Differences from revision 1" in text
    assert "IPv4: 1 rule of revision 1 is not loaded. 1 loaded rule is not in revision 1." in text
    assert "IPv4: INPUT has no jump to dockerfw (-j FILTERS-HOST is missing)." in text
    assert INPUT_EMPTY in text
    assert "removed: -A FILTERS-HOST -p tcp -m tcp --dport 22" in text
    assert "added: -A FILTERS-HOST -p tcp -m tcp --dport 23" in text
    assert f'href="{HOST}/history/1/rollback/"' in page.content.decode()
    assert f'href="{HOST}/adopt/"' in page.content.decode()


def test_an_interface_that_was_renamed_asks_for_a_choice_and_not_for_a_restore(
    working: Client, host: Host, confirmed: Document
) -> None:
    moved = Interface("eth9", ("192.0.2.1/24",), True)
    around = {"interfaces": (moved,), "default_routes": {4: ("eth9",), 6: ()}}
    snapshot_store(host, confirmed, 1, around=around)
    page = working.get(f"{HOST}/")
    assert has_no_inline_code(page)
    assert 'data-level="bad"' in page.content.decode()
    text = text_of(page)
    assert "Not protected: packets from outside can bypass revision 1's container rules." in text
    assert interface_missing("ens33") in text
    assert default_route("eth9", (4,)) in text
    assert "Choose external interfaces" in text
    assert "Restore revision" not in text
    assert "interface-missing" in {each.code for each in review_draft(host).warnings}


def test_only_our_chains_can_be_adopted(working: Client, host: Host, confirmed: Document) -> None:
    held(host, confirmed, NO_ANCHOR)
    page = working.get(f"{HOST}/")
    assert "Restore revision 1" in text_of(page)
    assert "Adopt into the draft" not in text_of(page)


def test_restore_reviews_the_confirmed_revision(working: Client, host: Host, confirmed: Document) -> None:
    held(host, confirmed, EDITED)
    page = working.get(f"{HOST}/history/1/rollback/")
    text = text_of(page)
    assert "Restore revision 1" in text
    assert "Loads revision 1, the confirmed one, again." in text
    assert "--dport 22" in text
    assert "Roll back to revision" not in text
    sent = {"message": "it was edited", "version": "1", "window": "60"}
    answer = working.post(f"{HOST}/history/1/rollback/", sent)
    assert answer.status_code == 302, text_of(answer)
    # The revision itself is loaded again: nothing about it is new.
    assert Revision.objects.count() == 1
    apply = Apply.objects.latest("sequence")
    assert (apply.revision.number, apply.message) == (1, "it was edited")


def test_adopt_shows_and_then_makes_the_draft(working: Client, host: Host, confirmed: Document) -> None:
    strange = (
        "[0:0] -A FILTERS-HOST",
        "[0:0] -A FILTERS-HOST -m u32 --u32 0x0=0x1 -j DROP\n[0:0] -A FILTERS-HOST",
    )
    four = save_of(confirmed, 4, 1).replace(*EDITED).replace(*strange, 1)
    six = save_of(confirmed, 6, 1).replace(*EDITED)
    snapshot_store(host, saves={4: four, 6: six})
    page = working.get(f"{HOST}/adopt/")
    text = text_of(page)
    assert page.status_code == 200
    assert has_no_inline_code(page)
    assert "Adopt the rules in the kernel" in text
    assert "1 line that cannot be imported" in text
    assert "u32" in text
    assert draft_document(host) == confirmed
    preview = page.context["preview"]
    answer = working.post(
        f"{HOST}/import/",
        {"version": preview.version, "text": preview.document, "confirmed": "yes"},
    )
    assert answer.status_code == 302
    host.refresh_from_db()
    (rule,) = draft_document(host).rules
    assert (rule.ports, rule.comment, rule.id) == (("23",), "ssh", confirmed.rules[0].id)
    assert Revision.objects.count() == 1


def test_a_new_database_adopts_source_lists_and_dispatch_chains(working: Client, host: Host) -> None:
    sources = [f"198.51.100.{number}/32" for number in range(1, 9)]
    rules = [
        {"id": f"r{port:04}", "scope": "host", "protocol": "tcp", "ports": [str(port)]}
        for port in range(1, 30)
    ]
    rules.append({"id": "b10c", "action": "block", "sources": sources})
    settings = {"external_interfaces": ["ens33"]}
    wanted = parse_document({"format": "dockerfw/2", "settings": settings, "rules": rules})
    snapshot_store(host, wanted, 3)
    loaded_store(host, wanted, 3)
    page = working.get(f"{HOST}/adopt/")
    assert page.status_code == 200
    preview = page.context["preview"]
    sent = {"version": preview.version, "text": preview.document, "confirmed": "yes"}
    assert working.post(f"{HOST}/import/", sent).status_code == 302
    host.refresh_from_db()
    assert draft_document(host).rules == wanted.rules
    # Another program took a source out of the list: nobody knows what the rule is now.
    changed = [
        StaticSetState(one.name, one.entries, intact=False, lost=1)
        for one in Snapshot.from_json(load_json(client.snapshot_read(host.name) or b"")).static_sets
    ]
    Rule.objects.all().delete()
    snapshot_store(host, wanted, 3, around={"static_sets": tuple(changed)})
    page = working.get(f"{HOST}/adopt/")
    assert "the members of its source list" in text_of(page)
    assert len(page.context["preview"].document) > 0
    assert "b10c" not in page.context["preview"].document


@pytest.mark.parametrize("saves", [{4: CLEAN, 6: CLEAN}, {4: "", 6: ""}])
def test_where_nothing_is_loaded_nothing_can_be_adopted(
    working: Client, host: Host, confirmed: Document, saves: dict[Family, str]
) -> None:
    snapshot_store(host, saves=saves)
    page = working.get(f"{HOST}/adopt/", follow=True)
    assert "no dockerfw rules that could become the draft" in text_of(page)


def test_the_root_workers_knowledge_is_shown(working: Client, host: Host, confirmed: Document) -> None:
    revision = Revision.objects.get(number=1)
    kept = Confirmed(1, revision.digest, "nft", docker_moved_to="legacy", released=True)
    held(host, confirmed, NO_ANCHOR, kept=kept)
    text = text_of(working.get(f"{HOST}/"))
    assert "Docker's chains are in iptables-legacy now" in text
    assert "The host was released on its command line" in text
    # What it knows of another revision says nothing about this one.
    held(host, confirmed, NO_ANCHOR, kept=Confirmed(2, revision.digest, "nft", released=True))
    assert "was released on its command line" not in text_of(working.get(f"{HOST}/"))


def test_docker_with_its_own_nftables_is_no_protection(
    working: Client, host: Host, confirmed: Document
) -> None:
    call = "[0:0] -A FORWARD -j DOCKER-USER\n"
    saves: dict[Family, str] = {
        family: save_of(confirmed, family, 1).replace(call, "") for family in FAMILIES
    }
    snapshot_store(host, saves=saves, docker_state="nftables")
    page = working.get(f"{HOST}/")
    assert 'data-level="bad"' in page.content.decode()
    assert "Not protected: other rules let packets bypass revision 1's container rules." in text_of(page)
    own = "[0:0] -A FORWARD -i ens33 -j FILTERS-CONTAINERS\nCOMMIT"
    saves = {family: save.replace("COMMIT", own) for family, save in saves.items()}
    snapshot_store(host, saves=saves, docker_state="nftables")
    assert "Protected: revision 1 is active for IPv4 and IPv6." in text_of(working.get(f"{HOST}/"))


def test_a_kernel_without_ipv6_misses_nothing(working: Client, host: Host, confirmed: Document) -> None:
    snapshot_store(host, saves={4: save_of(confirmed, 4, 1), 6: ""}, families=(4,))
    page = working.get(f"{HOST}/")
    assert "Protected: revision 1 is active for IPv4." in text_of(page)
    # A kernel that has lost all its IPv6 rules does.
    snapshot_store(host, saves={4: save_of(confirmed, 4, 1), 6: ""})
    assert "IPv6: no dockerfw rules are loaded." in text_of(working.get(f"{HOST}/"))


def test_hostile_rules_are_shown_and_nothing_more(working: Client, host: Host, confirmed: Document) -> None:
    comment = '"<script>alert(1)</script>\udcff"'
    wild = f"[0:0] -A FILTERS-HOST -m comment --comment {comment} -j RETURN\n[0:0] -A FILTERS -"
    four = save_of(confirmed, 4, 1).replace("[0:0] -A FILTERS -", wild, 1)
    snapshot_store(host, saves={4: four, 6: save_of(confirmed, 6, 1)})
    page = working.get(f"{HOST}/")
    assert "&lt;script&gt;alert(1)" in page.content.decode()
    assert "<script>alert" not in page.content.decode()
