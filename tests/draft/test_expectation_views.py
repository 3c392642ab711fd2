"""The expectations page and its form: sentences, marks, errors at their field, conflicts."""

from __future__ import annotations

import re

import pytest
from django.test import Client

from rules.audit.actors import Actor
from rules.draft.conflict_forms import opened_text
from rules.draft.draft_selectors import expectation_values
from rules.draft.expectation_services import expectation_create, expectation_delete, expectation_update
from rules.models import Expectation, Host
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
LIST = f"{HOST}/expectations/"
NEW = f"{LIST}new/"
FORM = {
    "passes": "yes",
    "protocol": "tcp",
    "protocol_other": "",
    "port": "22",
    "to": "host",
    "container": "",
    "source": "203.0.113.9/24",
    "comment": "the office",
}
SSH = {"source": "203.0.113.0/24", "protocol": "tcp", "port": 22, "passes": True, "comment": "the office"}
DB = {"protocol": "tcp", "port": 5432, "to": "container", "container": "db", "passes": False}


@pytest.fixture
def ssh(host: Host, alice: Actor) -> Expectation:
    """An expectation of the draft."""
    return expectation_create(host=host, actor=alice, values=SSH)


def test_access(signed_in: Client, ssh: Expectation) -> None:
    assert_access(LIST, signed_in)
    for path in (NEW, f"{LIST}{ssh.pk}/edit/"):
        assert_access(path, signed_in, methods="get post")
    assert_access(f"{LIST}{ssh.pk}/delete/", signed_in, methods="post")
    assert signed_in.get(f"{LIST}{ssh.pk}/delete/").status_code == 405


def test_one_is_added_and_stands_there_as_a_sentence(signed_in: Client) -> None:
    assert "No expectations yet" in text_of(signed_in.get(LIST))
    answer = signed_in.post(NEW, FORM)
    row = Expectation.objects.get()
    assert answer["Location"] == f"{LIST}#expectation-{row.pk}"
    page = signed_in.get(LIST)
    assert "22/tcp of the host from 203.0.113.0/24 passes new the office" in text_of(page)
    assert has_no_inline_code(page)
    assert has_no_inline_code(signed_in.get(NEW))
    signed_in.post(NEW, {**FORM, "protocol": "other", "protocol_other": " GRE ", "port": "", "passes": "no"})
    assert "gre of the host from 203.0.113.0/24 is refused" in text_of(signed_in.get(LIST))


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"port": "70000"}, 'id="id_port_error"'),
        ({"port": "22-24"}, 'id="id_port_error"'),
        ({"port": ""}, 'id="id_port_error"'),
        ({"port": "0"}, "0 is not a port (1 to 65535)"),
        ({"source": "moon"}, 'id="id_source_error"'),
        ({"container": "db"}, 'id="id_container_error"'),
        ({"protocol": "other", "protocol_other": "tpc"}, 'id="id_protocol_other_error"'),
        ({"passes": "perhaps"}, "Select a valid choice"),
    ],
)
def test_errors_stand_at_their_field_and_keep_what_was_typed(
    signed_in: Client, changes: dict[str, str], error: str
) -> None:
    page = signed_in.post(NEW, {**FORM, **changes})
    assert page.status_code == 422
    assert error in page.content.decode()
    assert 'value="the office"' in page.content.decode()
    assert not Expectation.objects.exists()


def test_the_same_one_twice_is_refused(signed_in: Client, ssh: Expectation) -> None:
    page = signed_in.post(NEW, FORM)
    assert page.status_code == 422
    assert "This expectation already exists: 22/tcp of the host" in text_of(page)


def test_what_was_applied_stays_in_sight_until_the_next_apply(
    signed_in: Client, host: Host, alice: Actor, ssh: Expectation
) -> None:
    confirm(host, alice)
    assert "passes the office Edit" in text_of(signed_in.get(LIST))
    signed_in.post(f"{LIST}{ssh.pk}/delete/", {"version": "1"})
    assert "passes to be removed the office Undo" in text_of(signed_in.get(LIST))
    assert "Expectations &minus;" not in text_of(signed_in.get(LIST))
    words = text_of(signed_in.get(f"{HOST}/review/"))
    assert "1 expectation removed" in words
    assert "removed: 22/tcp of the host from 203.0.113.0/24 passes" in words
    back = {**FORM, "source": "203.0.113.0/24", "protocol": "other", "protocol_other": "tcp"}
    signed_in.post(NEW, back)
    assert "to be removed" not in text_of(signed_in.get(LIST))
    assert "new the office" not in text_of(signed_in.get(LIST))


def test_two_admins_see_the_conflict_and_lose_nothing(
    signed_in: Client, host: Host, bob: Actor, ssh: Expectation
) -> None:
    edit = f"{LIST}{ssh.pk}/edit/"
    assert 'value="203.0.113.0/24"' in signed_in.get(edit).content.decode()
    expectation_update(host=host, actor=bob, key=ssh.pk, version=1, values={"port": 2222})
    mine = {**FORM, "version": "1", "comment": "mine"}
    page = signed_in.post(edit, mine)
    assert page.status_code == 409
    assert "This expectation was changed while you edited it" in text_of(page)
    assert "Port 2222 22 differs" in text_of(page)
    assert 'value="mine"' in page.content.decode()
    assert 'name="version" value="2"' in page.content.decode()
    assert signed_in.post(edit, {**mine, "version": "2"}).status_code == 302
    ssh.refresh_from_db()
    assert (ssh.port, ssh.comment) == (22, "mine")
    expectation_delete(host=host, actor=bob, key=ssh.pk, version=3)
    gone = signed_in.post(edit, {**mine, "version": "3"})
    assert gone.status_code == 409
    assert "This expectation was removed" in text_of(gone)
    assert f'action="{NEW}"' in gone.content.decode()
    assert signed_in.get(edit)["Location"] == LIST
    late = signed_in.post(f"{LIST}{ssh.pk}/delete/", {"version": "3"}, follow=True)
    assert "Nothing was removed" in text_of(late)


def test_edits_of_different_fields_are_both_kept(
    signed_in: Client, host: Host, bob: Actor, ssh: Expectation
) -> None:
    before = opened_text(expectation_values(ssh))
    expectation_update(host=host, actor=bob, key=ssh.pk, version=1, values={"port": 2222})
    mine = {**FORM, "version": "1", "comment": "mine", "opened": before}
    page = signed_in.post(f"{LIST}{ssh.pk}/edit/", mine, follow=True)
    assert "Another edit was saved meanwhile. Its changes are kept: Port 2222." in text_of(page)
    ssh.refresh_from_db()
    assert (ssh.port, ssh.comment) == (2222, "mine")


def test_another_hosts_expectation_is_not_found(signed_in: Client, alice: Actor, host: Host) -> None:
    other = expectation_create(host=Host.objects.create(name="other"), actor=alice, values=DB)
    assert signed_in.get(f"{LIST}{other.pk}/edit/").status_code == 302
    signed_in.post(f"{LIST}{other.pk}/delete/", {"version": "1"})
    assert Expectation.objects.filter(pk=other.pk).exists()


@pytest.mark.redis
def test_each_says_whether_the_kernel_holds_it_now(
    working: Client, host: Host, alice: Actor, ssh: Expectation
) -> None:
    assert "has not reported yet" in text_of(working.get(LIST))
    snapshot_store(host, None)
    expectation_create(host=host, actor=alice, values=DB)
    closed = {"protocol": "tcp", "port": 3306, "passes": False}
    expectation_create(host=host, actor=alice, values=closed)
    words = text_of(working.get(LIST))
    assert "passes new the office Holds now." in words
    assert "Fails now: from anywhere over IPv4 it is allowed by the policy of filter INPUT." in words
    assert "Cannot tell: Docker is not asked on this host" in words


@pytest.mark.redis
def test_an_old_look_says_nothing_of_now(working: Client, host: Host, ssh: Expectation) -> None:
    snapshot_store(host, None, age=300)
    words = text_of(working.get(LIST))
    assert "Held then." in words
    assert "Read from the kernel 5 min ago. The root worker has not reported since." in words
    assert "now" not in words.split("the office")[1]


@pytest.mark.parametrize(
    "values", [SSH, DB, {"protocol": "icmp", "port": None, "source": "2001:db8::/32", "passes": False}]
)
def test_the_deletion_of_one_that_was_never_applied_can_be_undone(
    signed_in: Client, host: Host, alice: Actor, values: dict[str, object]
) -> None:
    row = expectation_create(host=host, actor=alice, values=values)
    before = expectation_values(row)
    page = signed_in.post(f"{LIST}{row.pk}/delete/", {"version": "1"}, follow=True).content.decode()
    assert not Expectation.objects.exists()
    form = re.search(rf'<form[^>]*action="{NEW}">(.*?)</form>', page, re.DOTALL)
    assert form is not None
    assert 'aria-label="Undo: ' in form[1]
    typed = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form[1]))
    signed_in.post(NEW, typed)
    assert expectation_values(Expectation.objects.get()) == before


def test_an_applied_one_has_one_undo_after_its_deletion(
    signed_in: Client, host: Host, alice: Actor, ssh: Expectation
) -> None:
    confirm(host, alice)
    page = signed_in.post(f"{LIST}{ssh.pk}/delete/", {"version": "1"}, follow=True).content.decode()
    assert "Expectation removed: " in page
    assert page.count('aria-label="Undo: ') == 1
