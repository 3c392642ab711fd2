"""The outbox: every letter to the clerk is a file in the journal directory until it has been delivered.

The root worker, its jobs, the watchdog and the console write here, the last two without Redis; the sending is
in `dockerfw.agent.journal`. Space is reserved for outcomes, so that the last one of an apply can be written
even on a full disk.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path

from dockerfw.host.files import make_directory, sync_directory, write_durably
from dockerfw.messages.codec import dump_json
from dockerfw.messages.outcomes import REFUSED_EVENT, Outcome
from dockerfw.store.event_limit import limit_events
from dockerfw.store.letters import EVENTS, OUTCOMES, Letter, letter_name, read_outcome

RESERVE_BYTES = 512 * 1024
FINAL_STATES = frozenset({"confirmed", "rolled_back", "failed"})
MOST_REFUSALS = 100
_LAST = "last.json"
_RESERVE = "reserve"


class Outbox:
    """The journal directory of one state directory."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def write(self, letter: Letter) -> None:
        """Keep a letter until it is delivered; when this returns it survives a power cut. Raises OSError."""
        path = self._directory / f"{letter_name(letter)}.json"
        content = dump_json(letter.to_json())
        if isinstance(letter, Outcome):
            self._write_with_reserve(path, content)
            return
        # The console may be used before the root worker has ever run.
        make_directory(self._directory)
        write_durably(path, content)
        limit_events(self._directory)

    def _write_with_reserve(self, path: Path, content: bytes) -> None:
        try:
            write_durably(path, content)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            (self._directory / _RESERVE).unlink(missing_ok=True)
            write_durably(path, content)

    def reserve(self) -> None:
        """Reserve space for outcomes, unless that is done already. Raises OSError."""
        path = self._directory / _RESERVE
        if not path.exists():
            write_durably(path, os.urandom(RESERVE_BYTES))

    def settled(self, apply: str) -> bool:
        """Return True if the last outcome of an apply is known, delivered or not. Raises OSError."""
        paths = [self._directory / _LAST, *self._directory.glob(f"outcome-{apply}-*.json")]
        for path in paths:
            outcome = read_outcome(path)
            if outcome is not None and outcome.apply == apply and _ends_apply(outcome):
                return True
        return False

    def crowded(self) -> bool:
        """Return True if so many outcomes wait that refusals of messages could push out others."""
        return sum(1 for _ in self._directory.glob(OUTCOMES)) >= MOST_REFUSALS

    def pending(self) -> list[Path]:
        """Return the files of the letters that are not delivered yet, the oldest first. Raises OSError."""
        found = (path for pattern in (OUTCOMES, EVENTS) for path in self._directory.glob(pattern))
        return [path for _, path in sorted((path.stat().st_mtime_ns, path) for path in found)]

    def forget(self, path: Path) -> None:
        """Remove a letter that was delivered. Raises OSError."""
        outcome = read_outcome(path)
        if outcome is not None and _ends_apply(outcome):
            # The last outcome stays, so that an order that comes twice is known.
            os.replace(path, self._directory / _LAST)
        else:
            path.unlink(missing_ok=True)
        sync_directory(self._directory)


def _ends_apply(outcome: Outcome) -> bool:
    """Return True for the last outcome of an apply; the refusal of a message that only names it is none."""
    return outcome.state in FINAL_STATES and outcome.event != REFUSED_EVENT
