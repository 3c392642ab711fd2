"""Tell the lists which documents need them: the confirmed revision, those being applied, and the draft."""

from __future__ import annotations

import time

from rules.draft.draft_selectors import draft_document, revision_document
from rules.lists.list_services import lists_follow
from rules.models import Apply, Host

# Also without a change, so that lists which no document needs are forgotten in the end.
AGAIN_SECONDS = 3600.0

_followed: dict[int, tuple[object, float]] = {}


def lists_follow_all() -> None:
    """Have each host's lists follow its documents. The clerk calls this when idle. Raises DatabaseError."""
    now = time.monotonic()
    for host in Host.objects.select_related("confirmed_revision"):
        applies = Apply.objects.filter(host=host, state__in=Apply.UNFINISHED).select_related("revision")
        revisions = [apply.revision for apply in applies]
        if host.confirmed_revision is not None:
            revisions.insert(0, host.confirmed_revision)
        mark = (host.created_at, host.draft_version, *(revision.pk for revision in revisions))
        known = _followed.get(host.pk)
        if known is not None and known[0] == mark and now - known[1] < AGAIN_SECONDS:
            continue
        loaded = [revision_document(revision) for revision in revisions]
        lists_follow(host=host, loaded=loaded, drafts=[draft_document(host)])
        _followed[host.pk] = (mark, now)
