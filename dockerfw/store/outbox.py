"""The outcomes of this host on disk, each a file of its own, until they have been delivered.

Owns the files of the journal directory and the space that is held back for them, so that a full disk cannot
keep the last word of an apply from being written. It must not know about Redis: sending is for
`dockerfw.agent.journal`, and the watchdog, which has no Redis, writes here too.
"""

from __future__ import annotations

import errno
import logging
import os
from pathlib import Path

from dockerfw.host.files import read_bounded, sync_directory, write_durably
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.outcomes import Outcome

logger = logging.getLogger("dockerfw.outbox")

MAX_OUTCOME_BYTES = 1024 * 1024
RESERVE_BYTES = 512 * 1024
FINAL_STATES = frozenset({"confirmed", "rolled_back", "failed"})
_LAST = "last.json"
_RESERVE = "reserve"


class Outbox:
    """The journal directory of one state directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, outcome: Outcome) -> None:
        """Keep an outcome for good; when this returns it survives a power cut. Raises OSError."""
        path = self._directory / f"outcome-{outcome.apply}-{outcome.event:06d}.json"
        content = dump_json(outcome.to_json())
        try:
            write_durably(path, content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            (self._directory / _RESERVE).unlink(missing_ok=True)
            write_durably(path, content)

    def reserve(self) -> None:
        """Hold space back for outcomes, if it is not held already. Raises OSError."""
        path = self._directory / _RESERVE
        if not path.exists():
            write_durably(path, os.urandom(RESERVE_BYTES))

    def settled(self, apply: str) -> bool:
        """Say whether an apply's last outcome is known, sent or not. Raises OSError."""
        paths = [self._directory / _LAST, *self._directory.glob(f"outcome-{apply}-*.json")]
        for path in paths:
            outcome = read_outcome(path)
            if outcome is not None and outcome.apply == apply and outcome.state in FINAL_STATES:
                return True
        return False

    def pending(self) -> list[Path]:
        """Return the outcomes that were not written down yet, the oldest first. Raises OSError."""
        found = self._directory.glob("outcome-*.json")
        return [path for _, path in sorted((path.stat().st_mtime_ns, path) for path in found)]

    def forget(self, path: Path) -> None:
        """Let go of an outcome that was written down. Raises OSError."""
        outcome = read_outcome(path)
        if outcome is not None and outcome.state in FINAL_STATES:
            # The last one stays, so that an order that comes twice is known.
            os.replace(path, self._directory / _LAST)
        else:
            path.unlink(missing_ok=True)
        sync_directory(self._directory)


def read_outcome(path: Path) -> Outcome | None:
    """Read one outcome; None when there is none, or when the file is not one. Raises OSError."""
    raw = read_bounded(path, most=MAX_OUTCOME_BYTES)
    if raw is None:
        return None
    try:
        return Outcome.from_json(load_json(raw))
    except MessageError as error:
        logger.error("%s is not an outcome: %s", path, error)
        return None
