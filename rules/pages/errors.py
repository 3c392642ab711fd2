"""The exceptions of the services; each prints as a sentence for the admin."""

from __future__ import annotations

from dockerfw.iptables.errors import FieldError


class ServiceError(Exception):
    """The base of what a service refuses on purpose."""


class Conflict(ServiceError):  # noqa: N818
    """The same thing was changed by another request first.

    `current` is what is stored now: a Rule, a Host, a Revision, or None when it is gone.
    """

    def __init__(self, message: str, *, current: object) -> None:
        super().__init__(message)
        self.current = current


class Invalid(ServiceError):  # noqa: N818
    """Values that are not allowed, with an error for each field."""

    def __init__(self, errors: tuple[FieldError, ...]) -> None:
        super().__init__("\n".join(str(error) for error in errors))
        self.errors = errors


class NotFound(ServiceError):  # noqa: N818
    """There is no such rule, revision or setup link."""
