"""What is compressed: static files, and answers without a secret beside text that an attacker chose."""

from __future__ import annotations

import gzip

import pytest
from django.test import Client
from django.urls import get_resolver

from dockerfw_site.compression import NEVER
from rules.audit.actors import Actor
from rules.draft.rule_services import rule_create
from rules.models import Host
from tests.rig.web_pages import HOST

pytestmark = pytest.mark.django_db
ACCEPTS = {"Accept-Encoding": "gzip"}


def encoding(client: Client, path: str, **headers: str) -> str:
    """Return the Content-Encoding of an answer, empty without one."""
    answer = client.get(path, headers={**ACCEPTS, **headers})
    assert answer.status_code == 200, path
    return answer.get("Content-Encoding", "")


@pytest.mark.parametrize("name", ["pages/dockerfw.css", "pages/dockerfw.js", "applying/apply.js"])
def test_static_files_are_compressed(client: Client, name: str) -> None:
    path = f"/static/rules/{name}"
    answer = client.get(path, headers=ACCEPTS)
    plain = client.get(path)
    assert answer["Content-Encoding"] == "gzip"
    assert "Accept-Encoding" in answer["Vary"]
    body = b"".join(answer)
    assert gzip.decompress(body) == b"".join(plain)


def test_pages_are_compressed_unless_an_address_carries_text(
    signed_in: Client, host: Host, alice: Actor
) -> None:
    rule_create(host=host, actor=alice, values={"scope": "host", "protocol": "tcp", "ports": ["22"]})
    for page in ("", "rules/", "review/", "exposure/", "live/", "history/", "settings/"):
        assert encoding(signed_in, f"{HOST}/{page}") == "gzip", page
    assert encoding(signed_in, f"{HOST}/rules/?q=guess") == ""
    # Another site cannot send this header.
    assert encoding(signed_in, f"{HOST}/rules/?q=ssh", **{"HX-Request": "true"}) == "gzip"


def test_pages_with_secrets_or_with_what_strangers_typed_are_not(signed_in: Client) -> None:
    for path in ("/audit/", "/password/"):
        assert encoding(signed_in, path) == "", path
    assert encoding(Client(), "/sign-in/") == ""


def test_answers_to_forms_are_not_compressed(signed_in: Client) -> None:
    answer = signed_in.post(f"{HOST}/rules/new/", {"comment": "guess"}, headers=ACCEPTS)
    assert (answer.status_code, answer.get("Content-Encoding")) == (422, None)


def test_the_names_of_secret_pages_exist() -> None:
    resolver = get_resolver()
    known = {name for _, found in resolver.namespace_dict.values() for name in found.reverse_dict}
    assert known >= NEVER
