"""The setup link, the audit of sign-ins, client addresses, the filters and the CSV of the audit log."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from io import StringIO

import pytest
from django.contrib.auth import authenticate, get_user_model
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client, RequestFactory
from django.utils import timezone
from pytest_django import Settings

from dockerfw_site.environment import read_environment
from dockerfw_site.proxies import TrustedProxyMiddleware, client_address
from rules.accounts.setup_services import (
    first_admin_create,
    first_admin_link_create,
    first_admin_link_is_open,
)
from rules.audit.actors import Actor
from rules.audit.audit_selectors import AuditFilters, audit_actors, audit_csv_rows, audit_events
from rules.audit.audit_services import audit_record
from rules.models import AuditEvent, Host, SetupLink
from rules.pages.errors import Invalid, NotFound, ServiceError

PASSWORD = "correct horse battery staple"
pytestmark = pytest.mark.django_db


def create(token: str, password: str = PASSWORD, username: str = "alice") -> User:
    return first_admin_create(token=token, username=username, password=password, address="192.0.2.10")


def test_the_link_makes_one_admin_and_is_used_up() -> None:
    token = first_admin_link_create()
    assert token not in str(SetupLink.objects.values())
    assert first_admin_link_is_open(token)
    user = create(token)
    assert user.check_password(PASSWORD)
    assert not first_admin_link_is_open(token)
    with pytest.raises(NotFound):
        create(token, username="bob")
    with pytest.raises(ServiceError, match="account exists already"):
        first_admin_link_create()
    event = AuditEvent.objects.get(verb="setup-link-use")
    assert (event.actor_name, event.address) == ("alice", "192.0.2.10")


def test_a_bad_password_leaves_the_link_open() -> None:
    token = first_admin_link_create()
    for password in ("short", "123456789012345"):
        with pytest.raises(Invalid) as caught:
            create(token, password)
        assert {error.path for error in caught.value.errors} == {"password"}
    with pytest.raises(Invalid) as named:
        create(token, username="no spaces allowed")
    assert [error.path for error in named.value.errors] == ["username"]
    assert not get_user_model().objects.exists()
    assert create(token).username == "alice"


def test_links_expire_with_time_and_with_newer_ones() -> None:
    old = first_admin_link_create()
    new = first_admin_link_create()
    assert not first_admin_link_is_open(old)
    assert first_admin_link_is_open(new)
    SetupLink.objects.update(created_at=timezone.now() - timedelta(hours=25))
    with pytest.raises(NotFound):
        create(new)
    assert not first_admin_link_is_open("")


def test_the_command_prints_the_link_once() -> None:
    with pytest.raises(SystemExit) as needed:
        call_command("firstadmin", "--is-needed")
    assert needed.value.code == 0
    assert not SetupLink.objects.exists()
    out = StringIO()
    call_command("firstadmin", "--url", "https://fw.example.org/", stdout=out)
    address = out.getvalue().strip()
    assert address.startswith("https://fw.example.org/setup/")
    create(address.rstrip("/").rpartition("/")[2])
    with pytest.raises(CommandError, match="account exists already"):
        call_command("firstadmin")
    quiet = StringIO()
    call_command("firstadmin", "--if-needed", stdout=quiet)
    assert quiet.getvalue() == ""
    with pytest.raises(SystemExit) as ended:
        call_command("firstadmin", "--is-needed")
    assert ended.value.code == 1


def typed(monkeypatch: pytest.MonkeyPatch, *passwords: str) -> None:
    """Answer the questions for a password."""
    answers = iter(passwords)
    monkeypatch.setattr("rules.management.commands.createsuperuser.getpass", lambda *prompt: next(answers))


def test_an_account_made_on_the_console_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    typed(monkeypatch, PASSWORD, PASSWORD)
    call_command("createsuperuser", "--username", "bob", stdout=StringIO())
    event = AuditEvent.objects.get(verb="account-create")
    assert (event.target, event.actor_name.endswith("(command line)")) == ("bob", True)
    assert authenticate(username="bob", password=PASSWORD) is not None
    assert PASSWORD not in str(AuditEvent.objects.values())


@pytest.mark.parametrize(
    ("username", "passwords", "words"),
    [
        ("bob", ("password1234", "password1234"), "too common"),
        ("bob", ("short", "short"), "too short"),
        ("bob", (PASSWORD, "another one"), "differ"),
        ("b\u202eob", (PASSWORD, PASSWORD), "valid username"),
        ("alice", (PASSWORD, PASSWORD), "already exists"),
    ],
)
def test_an_account_made_on_the_console_is_checked(
    monkeypatch: pytest.MonkeyPatch, username: str, passwords: tuple[str, str], words: str
) -> None:
    User.objects.create_user("alice", password=PASSWORD)
    typed(monkeypatch, *passwords)
    with pytest.raises(CommandError, match=words):
        call_command("createsuperuser", "--username", username)
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", passwords[0])
    if words != "differ":
        with pytest.raises(CommandError, match=words):
            call_command("createsuperuser", "--noinput", "--username", username)
    assert User.objects.count() == 1
    assert not AuditEvent.objects.filter(verb="account-create").exists()


def test_a_password_changed_on_the_console_is_audited(monkeypatch: pytest.MonkeyPatch) -> None:
    User.objects.create_user("alice", password=PASSWORD)
    monkeypatch.setattr("getpass.getpass", lambda prompt="": "another good pass phrase")
    call_command("changepassword", "alice", stdout=StringIO())
    assert AuditEvent.objects.get(verb="password-change").target == "alice"
    assert authenticate(username="alice", password="another good pass phrase") is not None


def test_a_password_typed_as_a_name_is_not_stored() -> None:
    User.objects.create_user("alice", password=PASSWORD)
    for name in (PASSWORD, PASSWORD, "Alice"):
        assert authenticate(RequestFactory().post("/sign-in/"), username=name, password="x") is None
    events = list(AuditEvent.objects.order_by("pk"))
    assert {event.target for event in events} == {"unknown account"}
    assert PASSWORD not in str(AuditEvent.objects.values())
    digests = [event.after["name digest"] for event in events if event.after]
    assert digests[0] == digests[1] != digests[2]
    # Without the site's key nobody can try names against it.
    assert digests[0] not in hashlib.sha256(PASSWORD.encode()).hexdigest()


def test_sign_ins_are_audited_with_their_address(client: Client) -> None:
    user = User.objects.create_user("alice", password=PASSWORD)
    request = RequestFactory().post("/sign-in/", REMOTE_ADDR="192.0.2.99")
    assert authenticate(request, username="alice", password="wrong and secret") is None
    client.force_login(user)
    client.logout()
    events = list(AuditEvent.objects.order_by("pk"))
    assert [event.verb for event in events] == ["sign-in-failed", "sign-in", "sign-out"]
    assert (events[0].actor_name, events[0].target, events[0].address) == ("", "alice", "192.0.2.99")
    assert "secret" not in str(AuditEvent.objects.values())


@pytest.mark.parametrize(
    ("trusted", "peer", "forwarded", "expected"),
    [
        ("", "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("10.0.0.1", "10.0.0.1", "203.0.113.9", "203.0.113.9"),
        ("10.0.0.1", "10.0.0.1", "6.6.6.6, 203.0.113.9", "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", "203.0.113.9, 10.2.2.2", "203.0.113.9"),
        ("10.0.0.0/8", "10.0.0.1", "junk", "10.0.0.1"),
        ("10.0.0.0/8", "10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.0/8", "192.0.2.1", "203.0.113.9", "192.0.2.1"),
        ("unix", "", "203.0.113.9", "203.0.113.9"),
        ("", "", "203.0.113.9", ""),
        ("", "::ffff:192.0.2.1", "", "192.0.2.1"),
    ],
)
def test_addresses_come_from_trusted_proxies_only(
    settings: Settings, trusted: str, peer: str, forwarded: str, expected: str
) -> None:
    settings.ENVIRONMENT = read_environment({"DOCKERFW_TRUSTED_PROXIES": trusted})
    request = RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_FOR=forwarded)
    assert client_address(request) == expected


def test_forwarded_headers_of_other_clients_are_dropped(settings: Settings) -> None:
    seen = []

    def answer(request: object) -> object:
        seen.append(request)
        return None

    settings.ENVIRONMENT = read_environment({"DOCKERFW_TRUSTED_PROXIES": "10.0.0.1"})
    middleware = TrustedProxyMiddleware(answer)  # type: ignore[arg-type]
    for peer in ("10.0.0.1", "192.0.2.1"):
        middleware(RequestFactory().get("/", REMOTE_ADDR=peer, HTTP_X_FORWARDED_PROTO="https"))
    assert [request.is_secure() for request in seen] == [True, False]  # type: ignore[attr-defined]


def test_the_audit_is_filtered(host: Host, alice: Actor, bob: Actor) -> None:
    audit_record(actor=alice, verb="rule-create", host=host, target="k3f9")
    audit_record(actor=bob, verb="rule-delete", host=host, target="k3f9", detail="too open")
    audit_record(actor=bob, verb="sign-in", target="bob")
    found = audit_events(AuditFilters(actor="BOB"))
    assert [event.verb for event in found] == ["sign-in", "rule-delete"]
    assert audit_events(AuditFilters(verb="rule-create")).count() == 1
    assert audit_events(AuditFilters(host="local")).count() == 2
    assert audit_events(AuditFilters(address="192.0.2.20", query="open k3f9")).count() == 1
    today = timezone.localdate()
    assert audit_events(AuditFilters(since=today, until=today)).count() == 3
    assert audit_events(AuditFilters(since=today + timedelta(days=1))).count() == 0
    assert audit_events(AuditFilters(until=today - timedelta(days=1))).count() == 0
    assert audit_actors() == ("alice", "bob")


def test_the_csv_runs_no_formulas(host: Host, alice: Actor) -> None:
    audit_record(
        actor=alice, verb="rule-create", host=host, target="=cmd|' /C calc'!A0", after={"comment": "für"}
    )
    audit_record(actor=Actor(name="@SUM(A1)"), verb="sign-in-failed")
    header, second, first = list(audit_csv_rows(audit_events()))
    assert header[0] == "at"
    assert first[5].startswith("'=cmd")
    assert second[1] == "'@SUM(A1)"
    assert first[7] == '{"comment": "für"}'
