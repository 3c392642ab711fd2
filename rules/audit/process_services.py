"""Record the version of each process of dockerfw and when it was last seen."""

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
    """Record that this process, called `name`, runs this version now, at most once a minute. Never raises.

    A database error must not fail anything else. The next attempt is a minute later.
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
        logger.warning("cannot record the version of %s: %s", name, error)
