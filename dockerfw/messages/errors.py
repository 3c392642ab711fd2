"""The error of a message or a stored file that is not valid."""

from __future__ import annotations


class MessageError(ValueError):
    """A message is not valid; `path` names the field, and is empty for the whole message."""

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}" if path else message)
        self.path = path
        self.message = message

    def within(self, outer: str) -> MessageError:
        """Return the same error for a value that is a part of the field `outer`."""
        separator = "" if not self.path or self.path.startswith("[") else "."
        return MessageError(f"{outer}{separator}{self.path}", self.message)
