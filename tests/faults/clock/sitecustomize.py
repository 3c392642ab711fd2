"""Moves the wall clock of a Python process by the seconds that the file DOCKERFW_TEST_CLOCK holds."""

from __future__ import annotations

import datetime
import os

FILE = os.environ.get("DOCKERFW_TEST_CLOCK", "")
real = datetime.datetime


def ahead() -> float:
    """Return the seconds that the clock is ahead."""
    try:
        with open(FILE) as file:
            return float(file.read() or 0)
    except OSError:
        return 0.0


class Moved(real):
    """A datetime whose `now` is moved."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Moved:
        """Return the moved time."""
        return cls.fromtimestamp(real.now().timestamp() + ahead(), tz)


if FILE:
    setattr(datetime, "datetime", Moved)  # noqa: B010 - mypy knows it as a type
