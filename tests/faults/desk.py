"""The web's end of a fault run: the services that its pages call, asked line by line.

Run with `-m` and the site's variables; `order` makes the draft open some ports and applies it, `answer`
answers the window as the page does.
"""

from __future__ import annotations

import json
import os
from typing import Any

import django
from django.db import Error

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
django.setup()

# ruff: noqa: E402 - models cannot be imported before
from dockerfw.document.document import parse_document
from rules.applying.answer_services import apply_extend, apply_keep, apply_nonce_create, apply_roll_back
from rules.applying.apply_services import apply_start
from rules.audit.actors import Actor
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_services import draft_replace
from rules.models import Apply
from rules.pages.errors import ServiceError
from rules.pages.host_selectors import host_default
from tests.faults.documents import document
from tests.faults.lines import serve

ALICE = Actor(name="alice")


def order(ports: list[str]) -> dict[str, Any]:
    """Apply a draft that opens these ports; return what was ordered."""
    value = document(*ports)
    host = draft_replace(host=host_default(), actor=ALICE, document=parse_document(value), version=None)
    version = host.draft_version
    apply = apply_start(
        basis=basis_of(host),
        actor=ALICE,
        message="a fault run",
        draft_version=version,
        end_sessions=True,
        every_port=True,
    )
    revision = apply.revision
    return {
        "apply": str(apply.pk),
        "revision": revision.number,
        # With the rules' ids, which the kernel's comments carry.
        "document": json.loads(revision.document),
    }


def answer(apply: str, kind: str, seconds: int | None) -> None:
    """Answer the window of an apply."""
    found = Apply.objects.get(pk=apply)
    if kind == "keep":
        nonce = apply_nonce_create(apply=found, actor=ALICE, connected_at=None)
        apply_keep(apply=found, actor=ALICE, nonce=nonce, connected_at=None)
    elif kind == "rollback":
        apply_roll_back(apply=found, actor=ALICE)
    else:
        apply_extend(apply=found, actor=ALICE, seconds=seconds or 0)


if __name__ == "__main__":
    serve({"order": order, "answer": answer}, (ServiceError, Error))
