"""Write down which process told what about itself: its version, and that it is there."""

from __future__ import annotations

import logging
import time

from django.db import DatabaseError
from django.utils import timezone

from dockerfw.version import VERSION
from rules.models import ProcessNote

EVERY_SECONDS = 60.0

logger = logging.getLogger(__name__)
_told: dict[str, float] = {}


def process_seen(*, name: str) -> None:
    """Note that this process, called `name`, runs this version now; at most once a minute. Never raises.

    A database that does not take it is met again a minute later: nothing else must fail because of it.
    """
    now = time.monotonic()
    if now - _told.get(name, -EVERY_SECONDS) < EVERY_SECONDS:
        return
    _told[name] = now
    try:
        ProcessNote.objects.update_or_create(
            name=name, defaults={"version": VERSION, "seen_at": timezone.now()}
        )
    except DatabaseError as error:
        logger.warning("the version of %s is not written down: %s", name, error)
