"""What the tests of all pages ask: who may see a page, and what stands on it."""

from __future__ import annotations

import re
from html import unescape

from django.http import HttpResponseBase
from django.test import Client

HOST = "/hosts/local"


def assert_access(path: str, signed_in: Client, *, methods: str = "get", status: int = 200) -> None:
    """Check the access matrix of a page: an account is required, and a known host."""
    anonymous = Client()
    for method in methods.split():
        refused = getattr(anonymous, method)(path)
        assert refused.status_code == 302, (
            f"{method} {path} answered {refused.status_code} without an account"
        )
        assert refused["Location"].startswith("/sign-in/?next="), refused["Location"]
    if "get" in methods.split():
        assert signed_in.get(path).status_code == status
    if path.startswith(HOST):
        method = methods.split()[0]
        elsewhere = path.replace(HOST, "/hosts/nowhere")
        assert getattr(signed_in, method)(elsewhere).status_code == 404
        assert getattr(anonymous, method)(elsewhere).status_code == 302


def text_of(response: HttpResponseBase) -> str:
    """Return the words of a page, blanks collapsed, without tags."""
    body = getattr(response, "content", b"").decode()
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())


def has_no_inline_code(response: HttpResponseBase) -> bool:
    """Return True if a page keeps to the content security policy: no inline script, style or handler."""
    body = getattr(response, "content", b"").decode()
    inline = re.search(r"<style|\sstyle=|\son[a-z]+=|<script(?![^>]*\ssrc=)|javascript:", body)
    return inline is None
