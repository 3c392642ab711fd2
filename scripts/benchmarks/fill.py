"""`python -m scripts.benchmarks.fill revisions|events COUNT RULES`: add what years leave behind.

It runs with the environment of a running stack's web process, and prints the number of rows as JSON.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Iterator
from typing import Final

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
django.setup()

from django.db import connection, transaction  # noqa: E402 - Django has to know its settings first
from django.utils import timezone  # noqa: E402

from dockerfw.document.diff import diff_documents  # noqa: E402
from dockerfw.document.document import canonical_json, parse_document  # noqa: E402
from rules.models import Apply, AuditEvent, Host, Revision  # noqa: E402
from scripts.benchmarks.documents import make_object  # noqa: E402

AT_ONCE: Final = 10_000
VERBS: Final = ("rule-create", "rule-update", "rule-enable", "apply-start", "apply-confirmed", "sign-in")


def main(what: str, count: str, rules: str) -> int:
    """Add the rows."""
    host = Host.objects.get()
    with transaction.atomic():
        if what == "revisions":
            add_revisions(host, int(count), int(rules))
        else:
            add_events(host, int(count))
    print(json.dumps(int(count)))
    return 0


def add_revisions(host: Host, count: int, rules: int) -> None:
    """Add confirmed revisions, each of which changes one rule of the one before."""
    newest = Revision.objects.filter(host=host).latest("number")
    sequence, now = Apply.objects.filter(host=host).latest("sequence").sequence, timezone.now()
    revisions = list(_revisions(host, newest, count, rules))
    Revision.objects.bulk_create(revisions, batch_size=100)
    Apply.objects.bulk_create(
        Apply(
            host=host,
            revision=revision,
            requested_by="admin7",
            message=revision.message,
            state=Apply.State.CONFIRMED,
            sequence=sequence + number,
            job_id="bench",
            started_at=now,
            finished_at=now,
        )
        for number, revision in enumerate(revisions, 1)
    )
    Host.objects.update(sequence=sequence + count)


def _revisions(host: Host, newest: Revision, count: int, rules: int) -> Iterator[Revision]:
    documents = [parse_document(make_object(rules, note=f"revision {number}")) for number in (1, 2)]
    change = diff_documents(*documents).sentence
    whole = canonical_json(documents[0])
    parent = newest
    for number in range(1, count + 1):
        document = whole.replace("revision 1", f"revision {number}", 1)
        parent = Revision(
            pk=newest.pk + number,
            host=host,
            number=newest.number + number,
            document=document,
            digest=hashlib.sha256(document.encode()).hexdigest(),
            author_name="admin7",
            parent=parent,
            message=f"change number {number}",
            change=change,
        )
        yield parent


def add_events(host: Host, count: int) -> None:
    """Add entries of the audit log; above AT_ONCE the database copies the first ones."""
    newest = AuditEvent.objects.order_by("-pk").values_list("pk", flat=True).first() or 0
    AuditEvent.objects.bulk_create(_event(host, number) for number in range(min(count, AT_ONCE)))
    names = ", ".join(
        field.column for field in AuditEvent._meta.fields if field.column and not field.primary_key
    )
    with connection.cursor() as cursor:
        for done in range(AT_ONCE, count, AT_ONCE):
            cursor.execute(
                f"INSERT INTO rules_auditevent ({names}) SELECT {names} FROM rules_auditevent"  # noqa: S608
                " WHERE id > %s ORDER BY id LIMIT %s",
                [newest, min(AT_ONCE, count - done)],
            )


def _event(host: Host, number: int) -> AuditEvent:
    return AuditEvent(
        actor_name=f"admin{number % 20}",
        address="192.0.2.7",
        host=host,
        verb=VERBS[number % len(VERBS)],
        target=f"r{number % 10_000:05d}",
        before={"comment": f"service {number}"},
        after={"comment": f"service number {number}"},
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
