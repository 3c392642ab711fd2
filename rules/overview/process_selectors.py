"""Say which processes run another version than these pages, which are silent, and where room runs out.

Owns the sentences of the dashboard about dockerfw itself; what the kernel holds is for kernel.py.
"""

from __future__ import annotations

import os
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from dockerfw.messages.about import MAX_BYTES, About
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.space import Space
from dockerfw.version import VERSION
from rules.link import client
from rules.models import Host, ProcessNote
from rules.seen.snapshot_selectors import Look

# The clerk tells once a minute that it is there.
CLERK_SILENT = timedelta(minutes=5)

RESTART_ROOT = "Restart it: systemctl restart dockerfw-root, or docker compose restart firewall."
RESTART_CLERK = "Restart it: systemctl restart dockerfw-clerk, or docker compose restart clerk."
RESTART_WEB = "Restart the pages: systemctl restart dockerfw-web, or docker compose restart web."


def about_root_worker(host: Host) -> About | None:
    """Return what a host's root worker told last about itself, None when that is not known."""
    try:
        data = client.about_read(host.name)
        return None if data is None else About.from_json(load_json(data, max_bytes=MAX_BYTES))
    except (client.QueueError, MessageError):
        return None


def process_notices(host: Host, seen: Look) -> tuple[str, ...]:
    """Return a sentence for each thing about dockerfw's own processes that somebody has to see to."""
    about = about_root_worker(host)
    found = [_root_version(about, seen), _clerk(), _state_room(about), _data_room()]
    return tuple(sentence for sentence in found if sentence)


def _root_version(about: About | None, seen: Look) -> str:
    if seen.view is None or seen.view.stale:
        # The page says already that nobody looks.
        return ""
    if about is None or about.at < seen.view.snapshot.taken_at:
        return f"The root worker runs a release before 0.2.0, and these pages {VERSION}. {RESTART_ROOT}"
    return _differs("root worker", about.version, RESTART_ROOT)


def _clerk() -> str:
    note = ProcessNote.objects.filter(name="clerk").first()
    if note is None:
        before = "it runs a release before 0.2.0, or not at all"
        return f"The clerk has not told its version: {before}. {RESTART_CLERK}"
    if timezone.now() - note.seen_at > CLERK_SILENT:
        when = f"{note.seen_at:%Y-%m-%d %H:%M} UTC"
        return f"The clerk was last seen {when}: what becomes of applies is not written down. {RESTART_CLERK}"
    return _differs("clerk", note.version, RESTART_CLERK)


def _differs(who: str, version: str, restart: str) -> str:
    if version == VERSION:
        return ""
    differ = f"The {who} runs {version}, and these pages {VERSION}"
    return f"{differ}. {restart} If it is the newer one: {RESTART_WEB}"


def _state_room(about: About | None) -> str:
    if about is None or about.state is None or about.state.room == "enough":
        return ""
    words = f"The file system of the root worker's state directory {about.state.words}."
    if about.state.room == "low":
        return f"{words} Make room before it is full."
    return f"{words} While nothing can be written, applies are refused, and drift is neither told nor healed."


def _data_room() -> str:
    space = data_space()
    if space is None or space.room == "enough":
        return ""
    words = f"The file system of the data directory {space.words}."
    if space.room == "low":
        return f"{words} Make room before it is full."
    return f"{words} While nothing can be written, nothing can be edited or applied here."


def data_space() -> Space | None:
    """Return the room in the data directory, where this process can ask; None where it cannot."""
    try:
        found = os.statvfs(settings.ENVIRONMENT.data_dir)
    except OSError:
        return None
    return Space(
        free=found.f_bavail * found.f_frsize,
        total=found.f_blocks * found.f_frsize,
        files=found.f_favail if found.f_files else None,
        read_only=bool(found.f_flag & os.ST_RDONLY),
    )
