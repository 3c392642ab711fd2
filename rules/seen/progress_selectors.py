"""Read the root worker's own progress of an apply from Redis, which is there before the clerk records it."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.outcomes import Outcome
from rules.link import client
from rules.models import Apply

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Progress:
    """The root worker's last report on an apply, or the reason why there is none."""

    outcome: Outcome | None = None
    problem: str = ""


def progress_of(apply: Apply) -> Progress:
    """Read the root worker's progress of an apply from Redis."""
    try:
        data = client.progress_read(apply.host.name, str(apply.pk))
    except client.QueueError as error:
        return Progress(problem=str(error))
    if data is None:
        return Progress()
    try:
        outcome = Outcome.from_json(load_json(data))
    except MessageError as error:
        logger.warning("progress of apply %s cannot be read: %s", apply.pk, error)
        return Progress(problem=f"The progress cannot be read: {error}")
    if outcome.apply != str(apply.pk) or outcome.host != apply.host.name:
        return Progress()
    return Progress(outcome)
