"""Read what a root worker reports about itself: its version, its lists, its log, its last change of sets."""

from __future__ import annotations

from typing import Literal

from dockerfw.messages.about import MAX_BYTES, About
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from rules.link import client
from rules.seen.memory import Memory

_reports: Memory[About] = Memory(8)


def read_about(host_name: str) -> About | None:
    """Return a root worker's report about itself, None when it has not reported or cannot be read."""
    try:
        data = client.about_read(host_name)
        if data is None:
            return None
        # Pages ask for it several times each, and it names up to 500 lists.
        return _reports.get_or_compute(data, lambda: About.from_json(load_json(data, max_bytes=MAX_BYTES)))
    except (client.QueueError, MessageError):
        return None


def reported_log_group(host_name: str) -> int | Literal[""] | None:
    """Return the group to which a host logs refused packets, None where its kernel cannot.

    It is empty while that is not known, and for a root worker of a release that does not log.
    """
    about = read_about(host_name)
    if about is None or (about.log_group is None and not about.log_problem):
        return ""
    return about.log_group
