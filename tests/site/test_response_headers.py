"""Headers of every answer, whoever made it."""

from __future__ import annotations

import pytest
from django.test import Client

PATHS = (
    *("/", "/hosts/local/", "/hosts/local/rules/", "/hosts/local/rules/new/", "/hosts/local/settings/"),
    *("/hosts/local/export/", "/hosts/local/history/", "/hosts/local/trace/", "/audit/", "/audit/audit.csv"),
    *("/password/", "/hosts/nowhere/", "/hosts/local/rules/abcd/edit/"),
)


@pytest.mark.parametrize("path", PATHS)
def test_no_page_is_stored_or_shared(signed_in: Client, path: str) -> None:
    answer = signed_in.get(path)
    assert "no-store" in answer["Cache-Control"]
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
    assert "camera=()" in answer["Permissions-Policy"]


def test_static_files_may_be_stored(db: None) -> None:
    answer = Client().get("/static/rules/pages/dockerfw.css")
    assert answer.status_code == 200
    assert "no-store" not in answer["Cache-Control"]
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"


def test_a_refusal_has_them_too(db: None) -> None:
    answer = Client(headers={"host": "evil example.org"}).get("/sign-in/")
    assert answer.status_code == 400
    assert answer["Cache-Control"] == "no-store"
    assert answer["Cross-Origin-Resource-Policy"] == "same-origin"
