"""Read the history: revisions with their changes, authors and results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from django.db.models import Prefetch, Q, Subquery

from dockerfw.chains.kernel_state import read_kernel_state
from dockerfw.document.diff import DocumentDiff, diff_documents
from dockerfw.messages.events import NOTICED_VERBS
from rules.draft.draft_selectors import revision_document
from rules.models import Apply, AuditEvent, Host, Revision
from rules.seen.memory import Memory
from rules.seen.snapshot_selectors import SnapshotView

PAGE = 25
NOTICED = 5
# Events of the root worker that are further back in the audit log are no news.
MOST_SEARCHED = 20_000

_sentences: Memory[str] = Memory(2_048)


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One revision.

    `state` is that of its last apply. `loaded` is true if a fresh snapshot shows it in the kernel.
    `overrides` are the reasons for overriding expectations, of all its applies, oldest first.
    """

    revision: Revision
    sentence: str
    apply: Apply | None
    state: str
    loaded: bool
    confirmed: bool
    overrides: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """One page of entries, the newest first."""

    entries: tuple[HistoryEntry, ...]
    page: int
    pages: int
    total: int

    @property
    def first(self) -> int:
        """The position of the first entry, from 1."""
        return (self.page - 1) * PAGE + 1

    @property
    def last(self) -> int:
        """The position of the last entry."""
        return min(self.page * PAGE, self.total)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two revisions and their differences; `old` None compares with an empty document."""

    old: Revision | None
    new: Revision
    diff: DocumentDiff


def history_page(
    host: Host,
    *,
    system: bool = True,
    query: str = "",
    page: int = 1,
    snapshot: SnapshotView | None = None,
) -> HistoryPage:
    """Return a page of revisions; `system` False leaves out those made by the system.

    Every word of `query` has to be in the reason or the author's name, or be the number.
    """
    # The documents are the larger part of a revision, and only new sentences need them.
    revisions = Revision.objects.filter(host=host).defer("document", "parent__document")
    for word in query.split():
        found = Q(message__icontains=word) | Q(author_name__icontains=word)
        if word.isascii() and word.isdigit() and len(word) < 10:
            found |= Q(number=int(word))
        revisions = revisions.filter(found)
    if not system:
        revisions = revisions.filter(origin=Revision.Origin.PERSON)
    total = revisions.count()
    pages = max(1, -(-total // PAGE))
    page = min(max(page, 1), pages)
    wanted = revisions.select_related("parent").prefetch_related(
        Prefetch("applies", queryset=Apply.objects.order_by("-sequence"))
    )[(page - 1) * PAGE : page * PAGE]
    loaded = loaded_number(snapshot)
    rows = list(wanted)
    sentences = _read_sentences(rows)
    entries = tuple(_entry(host, revision, loaded, sentences[revision.pk]) for revision in rows)
    return HistoryPage(entries=entries, page=page, pages=pages, total=total)


def noticed_events(host: Host) -> tuple[AuditEvent, ...]:
    """Return the latest events that the root worker noticed or caused on its own, the newest first."""
    newest = Subquery(AuditEvent.objects.order_by("-pk").values("pk")[:1])
    events = AuditEvent.objects.filter(pk__gt=newest - MOST_SEARCHED, host=host, verb__in=NOTICED_VERBS)
    return tuple(events.order_by("-pk")[:NOTICED])


def revision_get(host: Host, number: int) -> Revision | None:
    """Return a revision by its number, None when there is none."""
    return Revision.objects.filter(host=host, number=number).select_related("parent").first()


def revision_applies(revision: Revision) -> tuple[Apply, ...]:
    """Return the last 20 applies of a revision, the newest first."""
    return tuple(revision.applies.select_related("host").order_by("-sequence")[:20])


def newest_revisions(host: Host, most: int = 30) -> tuple[Revision, ...]:
    """Return the newest revisions, the newest first."""
    return tuple(Revision.objects.filter(host=host).defer("document")[:most])


def compare_revisions(host: Host, a: int | None, b: int) -> Comparison | None:
    """Compare revision `a` (None: the parent of `b`) with revision `b`; None when one does not exist."""
    new = revision_get(host, b)
    if new is None:
        return None
    old = new.parent if a is None else revision_get(host, a)
    if a is not None and old is None:
        return None
    before = revision_document(old) if old else None
    return Comparison(old=old, new=new, diff=diff_documents(before, revision_document(new)))


def loaded_number(snapshot: SnapshotView | None) -> int | None:
    """Return the number of the revision that a fresh snapshot shows in all families, None otherwise."""
    if snapshot is None or snapshot.stale:
        return None
    state = read_kernel_state({family: snapshot.rulesets[family] for family in snapshot.snapshot.families})
    return state.label.revision if state.label else None


def _read_sentences(revisions: list[Revision]) -> dict[int, str]:
    """Return what each revision changed: as it is stored with it, or found out once for earlier releases'."""

    def key(revision: Revision) -> tuple[str, str]:
        return (revision.parent.digest if revision.parent else "", revision.digest)

    known = {revision.pk: revision.change or _sentences.get(key(revision)) for revision in revisions}
    missing = [revision for revision in revisions if known[revision.pk] is None]
    needed = {pk for revision in missing for pk in (revision.pk, revision.parent_id) if pk is not None}
    full = Revision.objects.in_bulk(needed) if needed else {}
    for revision in missing:
        old = full[revision.parent_id] if revision.parent_id else None
        new = full[revision.pk]
        known[revision.pk] = _sentences.get_or_compute(key(revision), partial(_sentence, old, new))
    return {pk: sentence or "" for pk, sentence in known.items()}


def _sentence(old: Revision | None, new: Revision) -> str:
    return diff_documents(revision_document(old) if old else None, revision_document(new)).sentence


def _entry(host: Host, revision: Revision, loaded: int | None, sentence: str) -> HistoryEntry:
    applies = list(revision.applies.all())
    newest = applies[0] if applies else None
    return HistoryEntry(
        revision=revision,
        sentence=sentence,
        apply=newest,
        state=newest.state if newest else "",
        loaded=revision.number == loaded,
        confirmed=revision.pk == host.confirmed_revision_id,
        overrides=tuple(dict.fromkeys(each.override for each in reversed(applies) if each.override)),
    )
