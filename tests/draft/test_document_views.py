"""Export and import: looked at before it replaces the draft, with every error and every line left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from dockerfw.document.document import load_document
from rules.audit.actors import Actor
from rules.draft.draft_selectors import draft_document, settings_mark
from rules.draft.draft_services import settings_update
from rules.draft.expectation_services import expectation_create
from rules.draft.group_services import group_create
from rules.draft.rule_services import rule_create
from rules.models import Group, Host, Rule
from tests.rig.command_fixtures import firewall
from tests.rig.web_pages import HOST, assert_access, has_no_inline_code, text_of

pytestmark = pytest.mark.django_db
IMPORT = f"{HOST}/import/"
DOCUMENT: dict[str, Any] = {
    "format": "dockerfw/1",
    "settings": {"external_interfaces": ["ens33"]},
    "rules": [{"scope": "both", "protocol": "tcp", "ports": ["22", "8000-8010"], "comment": "ssh <b>"}],
}
SAVE = """*filter
:INPUT ACCEPT [0:0]
:FORWARD DROP [0:0]
:OUTPUT ACCEPT [0:0]
:FILTERS - [0:0]
-A INPUT -j FILTERS
-A FILTERS -p tcp -m tcp --dport 22 -j ACCEPT
-A FILTERS -m recent --name x --set -j ACCEPT
-A FILTERS -j REJECT
COMMIT
"""


def sent(host: Host, text: str, **more: object) -> dict[str, object]:
    """Return the form with a text."""
    host.refresh_from_db()
    return {"version": str(host.draft_version), "text": text, **more}


def test_access(signed_in: Client) -> None:
    assert_access(IMPORT, signed_in, methods="get post")
    assert_access(f"{HOST}/export/", signed_in)


def test_export_is_the_draft(signed_in: Client, host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    answer = signed_in.get(f"{HOST}/export/")
    assert answer["Content-Disposition"] == 'attachment; filename="local-draft.json"'
    assert answer.json()["settings"]["external_interfaces"] == ["ens33"]
    assert answer.json()["rules"][0]["ports"] == ["22"]


def test_an_import_is_looked_at_before_it_replaces_the_draft(signed_in: Client, host: Host) -> None:
    page = signed_in.post(IMPORT, sent(host, json.dumps(DOCUMENT)))
    assert "Changes in the draft 1 rule added" in text_of(page)
    assert has_no_inline_code(page)
    assert not Rule.objects.exists()
    answer = signed_in.post(IMPORT, sent(host, page.context["preview"].document, confirmed="yes"))
    assert answer["Location"] == f"{HOST}/rules/"
    assert Rule.objects.get().comment == "ssh <b>"


def test_an_import_can_be_undone(signed_in: Client, host: Host, alice: Actor) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    host.refresh_from_db()
    before = draft_document(host)
    confirmed = sent(host, json.dumps(DOCUMENT), confirmed="yes")
    page = signed_in.post(IMPORT, confirmed, follow=True).content.decode()
    assert f'action="{HOST}/draft/undo/"' in page
    signed_in.post(f"{HOST}/draft/undo/")
    host.refresh_from_db()
    assert draft_document(host) == before


def test_a_draft_that_changed_meanwhile_is_looked_at_again(signed_in: Client, host: Host, bob: Actor) -> None:
    form = sent(host, json.dumps(DOCUMENT), confirmed="yes")
    rule_create(host=host, actor=bob, values={"scope": "host", "protocol": "tcp", "ports": ["25"]})
    page = signed_in.post(IMPORT, form)
    assert page.status_code == 409
    assert "removed: 25/tcp" in text_of(page)
    assert Rule.objects.get().ports == ["25"]


def test_every_error_is_shown_with_its_path_and_the_text_stays(signed_in: Client, host: Host) -> None:
    bad = {**DOCUMENT, "rules": [{"scope": "both", "protocol": "tcp", "ports": [70000], "color": "red"}]}
    page = signed_in.post(IMPORT, sent(host, json.dumps(bad)))
    assert page.status_code == 422
    assert "rules[0].ports[0] : 70000 is not a port (1 to 65535)" in text_of(page)
    assert "rules[0].color" in text_of(page)
    assert 'aria-describedby="id_text_error"' in page.content.decode()
    assert "70000]" in page.content.decode()


def test_a_save_is_imported_and_what_cannot_be_is_listed(signed_in: Client, host: Host) -> None:
    words = text_of(signed_in.post(IMPORT, sent(host, SAVE)))
    assert "added: 22/tcp" in words
    assert "-m recent --name x --set" in words


EXPECTED = {"source": "any", "protocol": "tcp", "port": 5432, "to": "host", "passes": False}


@pytest.fixture
def kept(host: Host, alice: Actor) -> Host:
    """A draft that says what no save can: interfaces, self-repair and an expectation."""
    values = {"trusted_interfaces": ["lo", "wg0"], "heal_anchors": True}
    settings_update(host=host, actor=alice, mark=settings_mark(host), values=values)
    expectation_create(host=host, actor=alice, values=EXPECTED)
    return host


def test_a_save_keeps_the_interfaces_and_expectations_of_the_draft(signed_in: Client, kept: Host) -> None:
    words = text_of(signed_in.post(IMPORT, sent(kept, SAVE)))
    assert "1 rule added" in words
    assert "5432/tcp" not in words
    assert "External interfaces" not in words
    preview = signed_in.post(IMPORT, sent(kept, SAVE)).context["preview"]
    signed_in.post(IMPORT, sent(kept, preview.document, confirmed="yes"))
    draft = draft_document(Host.objects.get(pk=kept.pk))
    assert draft.settings.external_interfaces == ("ens33",)
    assert draft.settings.trusted_interfaces == ("lo", "wg0")
    assert draft.settings.heal_anchors
    assert [each.port for each in draft.expectations] == [5432]
    assert [rule.ports for rule in draft.rules] == [("22",)]


def test_interfaces_that_a_save_names_count(signed_in: Client, kept: Host) -> None:
    more = ":DOCKER-USER - [0:0]\n-A DOCKER-USER -i wg0 -j FILTERS\n-A INPUT -j FILTERS\n"
    save = SAVE.replace("-A INPUT -j FILTERS\n", more)
    preview = signed_in.post(IMPORT, sent(kept, save)).context["preview"]
    settings = load_document(preview.document).settings
    assert (settings.external_interfaces, settings.trusted_interfaces) == (("wg0",), ("lo",))


def test_the_command_line_keeps_them_too(kept: Host, tmp_path: Path) -> None:
    (tmp_path / "iptables.save").write_text(SAVE)
    assert firewall("import", str(tmp_path / "iptables.save")).status == 0
    draft = draft_document(Host.objects.get(pk=kept.pk))
    assert draft.settings.trusted_interfaces == ("lo", "wg0")
    assert len(draft.expectations) == 1


def test_an_invalid_save_is_shown_with_line_and_caret(signed_in: Client, host: Host) -> None:
    page = signed_in.post(IMPORT, sent(host, "*filter\nnonsense here\nCOMMIT\n"))
    assert page.status_code == 422
    assert "line 2, column 1" in text_of(page)
    assert "^" in text_of(page)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"text": ""}, "Paste text or choose a file."),
        (
            {"text": "{}", "file": SimpleUploadedFile("a.json", b"{}")},
            "Send either text or a file, not both.",
        ),
        (
            {"text": "", "file": SimpleUploadedFile("a.bin", b"\xff\xfe\x00")},
            "This is not UTF-8 text: byte 1",
        ),
        (
            {"text": "", "file": SimpleUploadedFile("a.json", b" " * (4 * 1024 * 1024 + 1))},
            "larger than 4 MiB",
        ),
        ({"text": "[" * 5000}, "Nothing was imported."),
    ],
)
def test_odd_files_are_refused_in_words(
    signed_in: Client, host: Host, fields: dict[str, object], said: str
) -> None:
    host.refresh_from_db()
    page = signed_in.post(IMPORT, {"version": str(host.draft_version), **fields})
    assert page.status_code == 422
    assert said in text_of(page)
    assert not page.context["form"].non_field_errors()


def test_the_text_of_a_wrong_file_is_there_to_be_mended(signed_in: Client, host: Host) -> None:
    text = json.dumps({**DOCUMENT, "rules": [{"ports": [70000]}]})
    host.refresh_from_db()
    file = SimpleUploadedFile("rules.json", b"\xef\xbb\xbf" + text.encode())
    page = signed_in.post(IMPORT, {"version": str(host.draft_version), "mode": "add", "file": file})
    form = page.context["form"]
    assert (form["text"].value(), form["mode"].value()) == (text, "add")
    assert "Text of rules.json" in text_of(page)


def test_a_file_is_taken_as_well(signed_in: Client, host: Host) -> None:
    file = SimpleUploadedFile("rules.json", json.dumps(DOCUMENT).encode())
    host.refresh_from_db()
    page = signed_in.post(IMPORT, {"version": str(host.draft_version), "text": "", "file": file})
    assert "added: 22, 8000-8010/tcp" in text_of(page)


def test_the_preview_says_what_the_file_lets_pass_today(signed_in: Client, host: Host) -> None:
    save = SAVE.replace("-A FILTERS -j REJECT\n", "").replace("22", "443")
    page = text_of(signed_in.post(IMPORT, sent(host, save)))
    assert "Effect on packets, compared with the file" in page
    assert "to every other tcp port (SSH too), every udp port" in page
    assert "pass today and would be refused" in page


def test_groups_and_all_fields_of_rules_survive_export_and_import(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    group_create(host=host, actor=alice, name="office", values={"entries": ["203.0.113.0/24"]})
    values = {"scope": "host", "protocol": "tcp", "ports": ["22"], "sources": ["@office"]}
    conditions = {"limit": "6/minute", "expires": "2037-01-31T18:00:00Z", "interface": "wg0", "tags": ["ops"]}
    rule_create(host=host, actor=alice, values={**values, **conditions})
    rule_create(host=host, actor=alice, values={**values, "action": "block", "ports": ["23"]})
    exported = signed_in.get(f"{HOST}/export/").content.decode()
    before = draft_document(Host.objects.get(pk=host.pk))
    assert signed_in.post(IMPORT, sent(host, json.dumps(DOCUMENT), confirmed="yes")).status_code == 302
    assert not Group.objects.exists()
    page = signed_in.post(IMPORT, sent(host, exported))
    assert "2 rules added, 1 removed, 1 group added" in text_of(page)
    assert "added: @office, 1 entry Entries: 203.0.113.0/24" in text_of(page)
    signed_in.post(IMPORT, sent(host, page.context["preview"].document, confirmed="yes"))
    assert draft_document(Host.objects.get(pk=host.pk)) == before
    broken = json.loads(exported)
    del broken["groups"]
    page = signed_in.post(IMPORT, sent(host, json.dumps(broken)))
    assert "rules[0].sources : there is no group @office" in text_of(page)


def test_an_import_can_be_added_to_the_draft(signed_in: Client, host: Host, alice: Actor) -> None:
    group_create(host=host, actor=alice, name="office", values={"entries": ["203.0.113.0/24"]})
    values = {"scope": "host", "protocol": "tcp", "ports": ["25"]}
    kept_rule = rule_create(host=host, actor=alice, values=values)
    more = {**values, "id": kept_rule.key, "ports": ["443"], "sources": ["@office", "@home"]}
    added: dict[str, Any] = {
        "format": "dockerfw/2",
        "settings": {"refuse": "drop"},
        "groups": {
            "office": {"kind": "static", "entries": ["203.0.113.0/24"]},
            "home": {"kind": "names", "names": ["home.example.org"]},
        },
        "rules": [{**values, "id": "same"}, more],
        "expectations": [EXPECTED],
    }
    page = signed_in.post(IMPORT, sent(host, json.dumps(added), mode="add"))
    assert "1 rule added, 1 group added, 1 expectation added" in text_of(page)
    assert "Already in the draft: 25/tcp from anywhere to the host" in text_of(page)
    assert "Add to the draft" in text_of(page)
    signed_in.post(IMPORT, sent(host, page.context["preview"].document, confirmed="yes"))
    draft = draft_document(Host.objects.get(pk=host.pk))
    assert {rule.ports for rule in draft.rules} == {("25",), ("443",)}
    assert len({rule.id for rule in draft.rules}) == 2
    assert (draft.settings.refuse, len(draft.groups), len(draft.expectations)) == ("reject", 2, 1)
    added["groups"]["office"]["entries"] = ["192.0.2.0/24"]
    more |= {"scope": "both", "interface": "eth9"}
    added["settings"] = {"external_interfaces": ["eth9"]}
    page = signed_in.post(IMPORT, sent(host, json.dumps(added), mode="add"))
    assert page.status_code == 422
    assert "groups.office : the draft has another group @office" in text_of(page)
    assert "eth9 is none of them" in text_of(page)
