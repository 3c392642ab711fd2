"""Wrong input in each field of the rule form and the group form: an error at the field, all of it kept."""

from __future__ import annotations

import re
from html import unescape

import pytest
from django.test import Client

from rules.draft.group_forms import GroupForm
from rules.draft.rule_forms import RuleForm
from rules.models import Group, Host, Rule
from tests.rig.web_pages import HOST, has_no_inline_code

pytestmark = pytest.mark.django_db
RULE = {
    "action": "allow",
    "scope": "host",
    "protocol": "tcp",
    "protocol_other": "gre",
    "ports": "22, 8000-8010",
    "port_kind": "published",
    "sources": "198.51.100.7, 2001:db8::/32",
    "to": "192.0.2.1",
    "container": "",
    "limit_number": "6",
    "limit_unit": "minute",
    "starts": "2027-01-01T00:00:00Z",
    "expires": "2027-01-31T18:00:00Z",
    "interface": "ens33",
    "owner": "ada",
    "ticket": "NET-7",
    "tags": "web, shop",
    "comment": "ssh for <the> office",
    "enabled": "on",
}
CONTAINER = {"scope": "container", "to": "", "container": "shop/web", "interface": ""}
GROUP = {
    "name": "office",
    "kind": "static",
    "entries": "203.0.113.0/24\n# the door\n198.51.100.7",
    "url": "https://example.org/list",
    "refresh_hours": "12",
    "names": "home.example.org",
    "countries": "SE, NO",
    "comment": "both sites & the <door>",
}
LONG = "x" * 3000
RULE_WRONG = [
    ("action", {"action": "perhaps"}),
    ("scope", {"scope": "moon"}),
    ("protocol", {"protocol": "carrier pigeon"}),
    ("protocol_other", {"protocol": "other", "protocol_other": "pigeon", "ports": ""}),
    ("protocol_other", {"protocol": "other", "protocol_other": "256", "ports": ""}),
    ("protocol_other", {"protocol": "other", "protocol_other": "", "ports": ""}),
    *(
        ("ports", {"ports": text})
        for text in ("0", "65536", "443-80", "ssh", "-1", "22;;x", "1" * 300, "22\x00", "٢٢")
    ),
    ("ports", {"protocol": "icmp", "ports": "22"}),
    ("every_port", {"every_port": "on"}),
    ("port_kind", {"port_kind": "inside"}),
    ("port_kind", {"port_kind": "container"}),
    *(
        ("sources", {"sources": text})
        for text in (
            "192.0.2.300",
            "@nobody",
            "@",
            "10.0.0.0/33",
            "2001:db8::/129",
            "office",
            "any, 10.0.0.1",
        )
    ),
    *(("to", {"to": text}) for text in ("moon", "@office", "192.0.2.1/33", LONG)),
    ("to", {"scope": "forwarded", "to": ""}),
    *(
        ("container", {**CONTAINER, "container": text})
        for text in ("a b", "label:", "label:=x", "a/b/c", "<b>", LONG, "läufer")
    ),
    ("container", {"container": "shop/web"}),
    *(("limit_number", {"limit_number": text}) for text in ("0", "-1", "six", "1.5", "1" * 30, "٦")),
    ("limit_number", {"action": "block"}),
    ("limit_unit", {"limit_unit": "day"}),
    *(
        ("starts", {"starts": text})
        for text in ("tomorrow", "2027-13-01T00:00Z", "2027-01-01", "2040-01-01T00:00Z", "2027-01-01T00:00")
    ),
    *(("expires", {"expires": text}) for text in ("never", "99999 weeks", "2026-99-99T00:00Z", "8 moons")),
    ("expires", {"starts": "2027-02-01T00:00Z", "expires": "2027-01-01T00:00Z"}),
    *(("interface", {"interface": text}) for text in ("ens 33", "x" * 16, "a/b", "!lo", "+")),
    ("owner", {"owner": "x" * 101}),
    ("owner", {"owner": "a\u202eb"}),
    ("ticket", {"ticket": "x" * 101}),
    ("ticket", {"ticket": "zero\u200bwidth"}),
    *(("tags", {"tags": text}) for text in ("?", "x" * 41, ",".join(f"t{each}" for each in range(40)))),
    *(("comment", {"comment": text}) for text in ("x" * 201, "a\u202eb", "\x1b[2J", LONG)),
]
GROUP_WRONG = [
    *(("name", {"name": text}) for text in ("", "-x", "a b", "Büro", "x" * 41, LONG, "@", "a/b")),
    ("kind", {"kind": "guess"}),
    *(
        ("entries", {"entries": text})
        for text in ("moon", "10.0.0.0/33", "0.0.0.0/0", "::/0", "any", "@office", "1.2.3", "\x00", "٢")
    ),
    *(
        ("url", {"kind": "feed", "url": text})
        for text in (
            *("", "example.org", "ftp://example.org/x", "http://example.org/x", "https://"),
            *("https://me:pw@example.org/x", "https://example.org:99999/x", "https://a b/", LONG),
        )
    ),
    *(
        ("refresh_hours", {"kind": "feed", "refresh_hours": text})
        for text in ("0", "-1", "8761", "daily", "1.5", "9" * 40)
    ),
    *(("names", {"kind": "names", "names": text}) for text in ("", "a_.-b", "192.0.2.1", "x" * 300, "a..b")),
    ("names", {"kind": "names", "names": "\n".join(f"h{each}.example.org" for each in range(101))}),
    *(("countries", {"kind": "countries", "countries": text}) for text in ("", "Norway", "S", "S1, NO")),
    *(("comment", {"comment": text}) for text in ("x" * 201, "a\u202eb")),
]


def named(case: object) -> str:
    """Return a short id of a case."""
    return ascii(case)[:50]


def assert_refused(page_content: str, form: RuleForm | GroupForm, field: str, sent: dict[str, str]) -> None:
    """The error is at this field, for screen readers too, and every field has what was sent."""
    assert list(form.errors) == [field], dict(form.errors)
    found = re.search(rf'id="id_{field}_error">(.*?)</ul>', page_content, re.DOTALL)
    assert found is not None, f"no error is drawn at {field}"
    assert all(message in unescape(found[1]) for message in map(str, form.errors[field]))
    for name, value in sent.items():
        assert str(form[name].value() or "") in (value, "True"), name
        if "\x00" not in value and name not in (
            "scope",
            "kind",
            "protocol",
            "action",
            "port_kind",
            "limit_unit",
        ):
            assert value.strip() in unescape(page_content), f"what was typed into {name} is gone"


def test_every_field_is_in_the_tables() -> None:
    skipped = {"version", "enabled", "every_port", "allow_http"}
    for wrong, form in ((RULE_WRONG, RuleForm), (GROUP_WRONG, GroupForm)):
        assert {field for field, _ in wrong} >= form.base_fields.keys() - skipped


def post_and_see_refused(signed_in: Client, place: str, field: str, sent: dict[str, str]) -> None:
    """Send the form for a new rule or group, which has to come back with the error at the field."""
    page = signed_in.post(f"{HOST}/{place}/new/", sent)
    assert page.status_code == 422
    assert_refused(page.content.decode(), page.context["form"], field, sent)
    assert has_no_inline_code(page)


@pytest.mark.parametrize(("field", "typed"), RULE_WRONG, ids=named)
def test_wrong_input_of_a_rule(signed_in: Client, host: Host, field: str, typed: dict[str, str]) -> None:
    post_and_see_refused(signed_in, "rules", field, {**RULE, **typed})
    assert not Rule.objects.exists()


@pytest.mark.parametrize(("field", "typed"), GROUP_WRONG, ids=named)
def test_wrong_input_of_a_group(signed_in: Client, host: Host, field: str, typed: dict[str, str]) -> None:
    post_and_see_refused(signed_in, "groups", field, {**GROUP, **typed})
    assert not Group.objects.exists()
