"""The verbs that use the database: import, export, diff, history and status."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator

from django.utils import timezone

from dockerfw.document.document import to_json_object
from dockerfw.document.words import describe_count
from dockerfw.streams import InputError, Output
from rules.applying.apply_selectors import awaiting_view
from rules.applying.drift_selectors import drift_view
from rules.applying.history_selectors import compare_revisions, revision_get
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.audit.actors import command_line_actor
from rules.command_line.files import read_import, report_import
from rules.command_line.plans import diff_json, diff_lines
from rules.draft.basis_selectors import basis_of
from rules.draft.draft_selectors import draft_document, pending_diff, revision_document
from rules.draft.draft_services import draft_replace
from rules.models import Apply, Host, Revision
from rules.pages.host_selectors import host_default, host_get
from rules.seen.snapshot_selectors import Look, SnapshotView, look, observe_request, redis_answers

LOOK_SECONDS = 3.0


def import_draft(options: argparse.Namespace, output: Output) -> int:
    """Replace the draft with the content of a file."""
    host = wanted_host(options)
    imported = read_import(options.file, draft_document(host))
    draft_replace(host=host, actor=command_line_actor(), document=imported.document, version=None)
    report_import(imported, output)
    diff = pending_diff(Host.objects.get(pk=host.pk))
    if output.as_json:
        output.json({"rules": len(imported.document.rules), "pending": diff_json(diff)})
    else:
        output.line(f"the draft now has {describe_count(len(imported.document.rules), 'rule')}")
        output.line(f"not applied yet: {diff.sentence}")
    return 0


def export(options: argparse.Namespace, output: Output) -> int:
    """Print the draft, or a revision, as a document."""
    host = wanted_host(options)
    if options.revision is None:
        output.json(to_json_object(draft_document(host)))
        return 0
    output.json(to_json_object(revision_document(_revision(host, options.revision))))
    return 0


def diff(options: argparse.Namespace, output: Output) -> int:
    """Print the differences between two revisions; status 1 when there are any."""
    host = wanted_host(options)
    _revision(host, options.a)
    _revision(host, options.b)
    comparison = compare_revisions(host, options.a, options.b)
    assert comparison is not None
    if output.as_json:
        output.json(diff_json(comparison.diff))
    else:
        for line in diff_lines(comparison.diff):
            output.line(line)
    return 1 if comparison.diff.count else 0


def history(options: argparse.Namespace, output: Output) -> int:
    """Print all revisions, newest first."""
    host = wanted_host(options)
    revisions = Revision.objects.filter(host=host).prefetch_related("applies")
    rows = []
    for revision in revisions:
        applies = sorted(revision.applies.all(), key=lambda apply: -apply.sequence)
        rows.append(
            {
                "number": revision.number,
                "created_at": revision.created_at.isoformat(timespec="seconds"),
                "author": revision.author_name,
                "message": revision.message,
                "digest": revision.digest,
                "parent": revision.parent.number if revision.parent else None,
                "restores": revision.restores,
                "override": applies[0].override if applies else "",
                "state": applies[0].state if applies else None,
                "confirmed": revision.pk == host.confirmed_revision_id,
            }
        )
    if output.as_json:
        output.json(rows)
        return 0
    for row in rows:
        mark = "*" if row["confirmed"] else " "
        first = str(row["message"]).splitlines()[0]
        output.line(
            f"{mark}{row['number']:>4}  {row['created_at']}  {row['author']}  {row['state']}  {first}"
        )
    if not rows:
        output.line("nothing has been applied yet")
    return 0


def status(options: argparse.Namespace, output: Output) -> int:
    """Print the state of the kernel; status 0 only if it holds the revision confirmed last."""
    host = wanted_host(options)
    basis = basis_of(host, fresh_look(host))
    sentence = kernel_sentence(basis)
    pending, base = pending_diff(host), basis.base
    newest = Apply.objects.filter(host=host).select_related("revision").first()
    if output.as_json:
        output.json(
            {
                "host": host.name,
                "level": sentence.level,
                "text": sentence.text,
                "reasons": list(sentence.reasons),
                "drift": [finding.to_json() for finding in sentence.drift.findings] if sentence.drift else [],
                "taken_at": sentence.taken_at.isoformat() if sentence.taken_at else None,
                "revision": base.number if base else None,
                "pending": pending.count,
                "last_apply": {"revision": newest.revision.number, "state": newest.state} if newest else None,
            }
        )
    else:
        output.line(sentence.text)
        for line in _reason_lines(sentence):
            output.line(f"  {line}")
        output.line(f"pending: {pending.sentence}")
        if newest:
            output.line(f"last apply: revision {newest.revision.number}, {newest.get_state_display()}")
    return 0 if sentence.level == "ok" else 1


def _reason_lines(sentence: KernelSentence) -> Iterator[str]:
    """Yield one line for each reason; for drift also the probable cause and the rules that differ."""
    drift = drift_view(sentence.drift)
    if drift is None:
        yield from sentence.reasons
        return
    for row in drift.rows:
        yield row.what
        if row.who:
            yield f"  {row.who}"
        yield from (f"  {line.sign} {line.text}" for line in row.lines)
        if row.more:
            yield f"  and {describe_count(row.more, 'more line')}"


def wanted_host(options: argparse.Namespace) -> Host:
    """Return the host that --host names, or the only one. Raises InputError."""
    if not options.host:
        return host_default()
    host = host_get(options.host)
    if host is None:
        raise InputError(f"there is no host {options.host}")
    return host


def fresh_look(host: Host) -> Look:
    """Request a new snapshot, wait up to 3 seconds for it, and return the newest one.

    In an open window the root worker reads the kernel once, after the load.
    """
    asked = timezone.now()
    waiting = awaiting_view(host)
    if waiting is not None and waiting.window is not None and not waiting.window.over:
        asked = min(asked, waiting.window.opened_at)
    wanted = False
    deadline = time.monotonic() + LOOK_SECONDS
    while time.monotonic() < deadline:
        # Another viewer's request within the last second may have been answered before this one.
        wanted = wanted or observe_request(host)
        sight = look(host)
        if sight.view is not None and sight.view.taken_at >= asked:
            return sight
        if not wanted and not redis_answers():
            return sight
        time.sleep(0.1)
    return look(host)


def tell_age(view: SnapshotView, output: Output) -> None:
    """Print a note if a snapshot cannot show what the kernel holds now."""
    if view.overtaken_by is not None:
        output.note(view.overtaken)
    elif view.stale:
        output.note(f"the kernel's rules were read {view.when}")


def _revision(host: Host, number: int) -> Revision:
    revision = revision_get(host, number)
    if revision is None:
        raise InputError(f"there is no revision {number}")
    return revision
