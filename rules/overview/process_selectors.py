"""Notices of the dashboard about dockerfw's own processes: other versions, silence, full file systems."""

from __future__ import annotations

import os
from datetime import timedelta

from django.conf import settings
from django.utils import timezone

from dockerfw.messages.about import About
from dockerfw.messages.space import Space
from dockerfw.version import VERSION
from rules.models import Host, ProcessNote
from rules.seen.about_selectors import read_about
from rules.seen.snapshot_selectors import Look

# The clerk reports once a minute.
CLERK_SILENT = timedelta(minutes=5)

RESTART_ROOT = "Restart it: systemctl restart dockerfw-root, or docker compose restart firewall."
RESTART_CLERK = "Restart it: systemctl restart dockerfw-clerk, or docker compose restart clerk."
RESTART_WEB = "Restart the web process: systemctl restart dockerfw-web, or docker compose restart web."


def process_notices(host: Host, seen: Look) -> tuple[str, ...]:
    """Return a sentence for each thing about dockerfw's processes that an admin must fix."""
    about = read_about(host.name)
    found = [_root_version(about, seen), _clerk(), _bound_sets(about), _state_room(about), _data_room()]
    return tuple(sentence for sentence in found if sentence)


def _root_version(about: About | None, seen: Look) -> str:
    if seen.view is None or seen.view.stale:
        # The page says already that the root worker is silent.
        return ""
    if about is None or about.at < seen.view.snapshot.taken_at:
        return f"The root worker runs a version before 0.2.0, the web process runs {VERSION}. {RESTART_ROOT}"
    return _differs("root worker", about.version, RESTART_ROOT)


def _clerk() -> str:
    note = ProcessNote.objects.filter(name="clerk").first()
    if note is None:
        before = "It runs a version before 0.2.0, or does not run."
        return f"The clerk has not reported in yet. {before} {RESTART_CLERK}"
    if timezone.now() - note.seen_at > CLERK_SILENT:
        when = f"{note.seen_at:%Y-%m-%d %H:%M} UTC"
        return f"The clerk last reported at {when}. Results of applies are not recorded. {RESTART_CLERK}"
    return _differs("clerk", note.version, RESTART_CLERK)


def _differs(process: str, version: str, restart: str) -> str:
    if version == VERSION:
        return ""
    differ = f"The {process} runs {version}, the web process runs {VERSION}"
    return f"{differ}. {restart} If the {process} is newer: {RESTART_WEB}"


def _bound_sets(about: About | None) -> str:
    if about is None or not about.sets_problem:
        return ""
    return (
        "The bound sets may not hold what the host shows, so rules for published ports may allow too little"
        f" or too much: {about.sets_problem.rstrip('.')}. {RESTART_ROOT}"
    )


def _state_room(about: About | None) -> str:
    if about is None or about.state is None or about.state.room == "enough":
        return ""
    words = f"The file system of the root worker's state directory {about.state.words}."
    if about.state.room == "low":
        return f"{words} Free some space before it is full."
    return f"{words} Until it is writable, applies are refused, and drift is neither reported nor repaired."


def _data_room() -> str:
    space = data_space()
    if space is None or space.room == "enough":
        return ""
    words = f"The file system of the data directory {space.words}."
    if space.room == "low":
        return f"{words} Free some space before it is full."
    return f"{words} Until it is writable, nothing can be edited or applied."


def data_space() -> Space | None:
    """Return the free space of the data directory, None when this process cannot read it."""
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
