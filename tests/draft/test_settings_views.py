"""The settings page: interfaces of the host, errors that keep the typed values, conflicts."""

from __future__ import annotations

import re
from html import escape

import pytest
from django.test import Client

from rules.audit.actors import Actor
from rules.draft.conflict_forms import opened_text
from rules.draft.draft_selectors import settings_document, settings_mark, settings_values
from rules.draft.draft_services import settings_update
from rules.models import Host
from tests.rig.kernel_reports import snapshot_store
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
PATH = f"{HOST}/settings/"
FORM = {
    "external_interfaces": ["ens33"],
    "external_other": "",
    "trusted_interfaces": "lo",
    "refuse": "reject",
    "icmp": "accept",
    "containers_reach_host": "by-rules",
}


def form(host: Host, **changes: object) -> dict[str, object]:
    """Return the form as it stands for the host's draft, with changes."""
    host.refresh_from_db()
    return {"mark": settings_mark(host), **FORM, **changes}


def test_access(signed_in: Client) -> None:
    assert_access(PATH, signed_in, methods="get post")


def test_without_a_report_the_names_can_be_typed(signed_in: Client, host: Host) -> None:
    page = signed_in.get(PATH)
    assert 'name="external_other" value="ens33"' in page.content.decode()
    assert "has not reported its interfaces yet" in text_of(page)
    assert has_no_inline_code(page)
    signed_in.post(PATH, form(host, external_interfaces=[], external_other="eth0, ppp+"))
    host.refresh_from_db()
    assert host.external_interfaces == ["eth0", "ppp+"]


@pytest.mark.redis
def test_interfaces_of_the_default_routes_are_offered_first(working: Client, host: Host) -> None:
    snapshot_store(host, None)
    words = text_of(working.get(PATH))
    assert "ens33 default route 192.0.2.1/24" in words
    assert "127.0.0.1/8" not in words


@pytest.mark.redis
def test_a_bridge_of_dockers_is_offered_last_and_saved_with_a_warning(working: Client, host: Host) -> None:
    snapshot_store(host, None, bridge=("172.17.0.1/16",))
    words = text_of(working.get(PATH))
    assert "docker0 Docker's bridge 172.17.0.1/16. Choosing it refuses the connections" in words
    assert words.index("ens33") < words.index("docker0")
    page = working.post(PATH, form(host, external_interfaces=["ens33", "docker0"]), follow=True)
    assert "The external interface docker0 is or includes a bridge of Docker's." in text_of(page)
    page = working.post(PATH, form(host, external_interfaces=["ens33"]), follow=True)
    assert "is or includes" not in text_of(page)


def test_an_empty_list_of_trusted_interfaces_is_saved_with_a_warning(signed_in: Client, host: Host) -> None:
    page = signed_in.post(PATH, form(host, trusted_interfaces=""), follow=True)
    assert "The loopback interface lo is not trusted." in text_of(page)
    host.refresh_from_db()
    assert host.trusted_interfaces == []
    page = signed_in.post(PATH, form(host), follow=True)
    assert "The loopback interface" not in text_of(page)


def test_settings_of_two_admins_are_both_kept_where_they_differ(
    signed_in: Client, host: Host, bob: Actor
) -> None:
    page = signed_in.get(PATH)
    mine = form(host, icmp="refuse", opened=opened_text(settings_values(host)))
    assert f'name="opened" value="{escape(str(mine["opened"]))}"' in page.content.decode()
    mark = settings_mark(host)
    values = {"refuse": "drop", "trusted_interfaces": ["lo", "wg0"]}
    settings_update(host=host, actor=bob, mark=mark, values=values)
    page = signed_in.post(PATH, mine, follow=True)
    assert "Another edit was saved meanwhile. Its changes are kept:" in text_of(page)
    host.refresh_from_db()
    assert (host.icmp, host.refuse, host.trusted_interfaces) == ("refuse", "drop", ["lo", "wg0"])
    clash = signed_in.post(PATH, {**mine, "refuse": "reject", "trusted_interfaces": "lo, tun0"})
    assert clash.status_code == 409
    assert clash.context["form"]["trusted_interfaces"].value() == "lo, tun0"
    assert clash.context["form"]["refuse"].value() == "drop"


def test_anchors_are_put_back_only_when_asked_for(signed_in: Client, host: Host) -> None:
    assert "Restore missing jumps automatically" in text_of(signed_in.get(PATH))
    signed_in.post(PATH, form(host, heal_anchors="on"))
    host.refresh_from_db()
    assert host.heal_anchors
    assert 'name="heal_anchors" id="id_heal_anchors" checked' in signed_in.get(PATH).content.decode()
    signed_in.post(PATH, form(host))
    host.refresh_from_db()
    assert not host.heal_anchors


def test_who_turned_the_log_off_is_in_the_audit_log(signed_in: Client, host: Host) -> None:
    assert "Log refused packets" in text_of(signed_in.get(PATH))
    signed_in.post(PATH, form(host, log_refused="on"))
    host.refresh_from_db()
    assert host.log_refused
    assert 'name="log_refused" id="id_log_refused" checked' in signed_in.get(PATH).content.decode()
    signed_in.post(PATH, form(host))
    words = text_of(signed_in.get("/audit/", {"verb": "settings-update"}))
    assert "alice changed the settings" in words
    assert "Log refused packets: yes → no" in words
    host.refresh_from_db()
    assert not host.log_refused


def test_containers_reach_the_host_by_rules_or_always(signed_in: Client, host: Host) -> None:
    page = signed_in.get(PATH)
    assert "Containers reach this host By rules A container needs a rule" in text_of(page)
    signed_in.post(PATH, form(host, containers_reach_host="allow"))
    host.refresh_from_db()
    assert host.containers_reach_host == "allow"
    assert settings_document(host).containers_reach_host == "allow"
    found = re.search(
        r'<input[^>]*name="containers_reach_host"[^>]*checked', signed_in.get(PATH).content.decode()
    )
    assert found is not None
    assert 'value="allow"' in found[0]
    assert signed_in.post(PATH, form(host, containers_reach_host="never")).status_code == 422


def test_errors_keep_what_was_typed(signed_in: Client, host: Host) -> None:
    page = signed_in.post(PATH, form(host, trusted_interfaces="lo, no/such", refuse="drop"))
    assert page.status_code == 422
    assert 'value="lo, no/such"' in page.content.decode()
    assert 'id="id_trusted_interfaces_error"' in page.content.decode()
    host.refresh_from_db()
    assert host.refuse == "reject"


def test_two_admins_see_the_conflict_and_lose_nothing(signed_in: Client, host: Host, bob: Actor) -> None:
    mine = form(host, refuse="drop", external_other="eth7")
    settings_update(host=host, actor=bob, mark=settings_mark(host), values={"icmp": "refuse"})
    page = signed_in.post(PATH, mine)
    assert page.status_code == 409
    assert "The draft was changed while you edited the settings" in text_of(page)
    assert 'value="eth7"' in page.content.decode()
    host.refresh_from_db()
    assert host.refuse == "reject"
    assert f'name="mark" value="{settings_mark(host)}"' in page.content.decode()
    signed_in.post(PATH, {**mine, "mark": settings_mark(host)})
    host.refresh_from_db()
    assert (host.refuse, host.external_interfaces) == ("drop", ["ens33", "eth7"])
