"""The error that scripts/run shows to the user."""

from __future__ import annotations


class StackError(Exception):
    """dockerfw cannot run; the text is a sentence for the user, and `status` the exit status."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
