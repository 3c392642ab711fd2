"""A body that is too long is refused before it is parsed, and no upload is written to a disk."""

from __future__ import annotations

import io
import re
from typing import Any

import pytest
from django.conf import settings
from django.test import Client

from dockerfw_site.incoming import MIB, MOST_BODY_BYTES


class Unread(io.BytesIO):
    """A body that must not be read."""

    def read(self, size: int | None = -1, /) -> bytes:
        raise AssertionError("the body was read")


def test_a_stranger_cannot_send_a_long_form(db: None) -> None:
    answer = Client().post("/sign-in/", {"username": "a" * 100_000})
    assert answer.status_code == 413
    assert "The request is too long" in answer.content.decode()


def test_nothing_of_a_long_upload_is_read(db: None) -> None:
    for length in (100_000, 1024 * MIB):
        form = {"CONTENT_TYPE": "multipart/form-data; boundary=x", "CONTENT_LENGTH": str(length)}
        environ: dict[str, Any] = {**form, "wsgi.input": Unread(), "PATH_INFO": "/sign-in/"}
        assert Client().request(REQUEST_METHOD="POST", **environ).status_code == 413


def test_the_example_for_nginx_lets_through_what_an_admin_may_send() -> None:
    text = (settings.BASE_DIR / "docs" / "install.md").read_text()
    limits = re.findall(r"client_max_body_size (\d+)m;", text)
    assert [int(limit) * MIB for limit in limits] == [MOST_BODY_BYTES]


def test_a_session_that_does_not_exist_is_a_stranger_s(db: None) -> None:
    client = Client()
    client.cookies[settings.SESSION_COOKIE_NAME] = "guessed"
    assert client.post("/sign-in/", {"username": "a" * 100_000}).status_code == 413


def test_an_admin_can_send_a_long_draft_but_not_any(signed_in: Client) -> None:
    page = "/hosts/local/import/"
    assert signed_in.post(page, {"document": "x" * (2 * MIB)}).status_code != 413
    assert signed_in.post(page, {"document": "x" * (7 * MIB)}).status_code == 413


def test_an_upload_of_an_admin_stays_in_memory(signed_in: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_file(*args: object, **kwargs: object) -> None:
        raise AssertionError("a temporary file was opened")

    monkeypatch.setattr("django.core.files.uploadedfile.TemporaryUploadedFile.__init__", no_file)
    upload = io.BytesIO(b"x" * (5 * MIB))
    upload.name = "rules.json"
    assert signed_in.post("/hosts/local/import/", {"file": upload}).status_code != 413
