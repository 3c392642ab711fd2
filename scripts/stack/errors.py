"""The one error that the user of scripts/run sees."""

from __future__ import annotations


class StackError(Exception):
    """Something keeps dockerfw from running: a sentence for the user, and the exit `status`."""

    def __init__(self, message: str, *, status: int = 1) -> None:
        super().__init__(message)
        self.status = status
