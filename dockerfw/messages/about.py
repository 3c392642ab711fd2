"""What a root worker tells about itself beside each snapshot: its version, its clock, the room that it has.

Owns the message's shape, as snapshots.py does for what it saw. It is a message of its own because pages of
release 0.1.0 refuse a snapshot with a key that they do not know, and it passes over keys that it does not
know itself, so that another release may add some.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from dockerfw.messages.fields import MAX_INTEGER, Fields
from dockerfw.messages.space import Space

FORMAT: Final = "dockerfw-about/1"
MAX_BYTES: Final = 64 * 1024
# In the state directory; what it says was so when the root worker started.
ABOUT_FILE: Final = "about.json"


def about_key(host: str) -> str:
    """Name the Redis key of it: one that the users of release 0.1.0 may write and read, and no apply has."""
    return f"dockerfw:progress:{host}:about"


@dataclass(frozen=True, slots=True)
class About:
    """What the root worker of `host` told at `at`, just before it stored the snapshot of that time.

    `boot` is the id of the host's boot and `offset` the wall clock less CLOCK_BOOTTIME, in seconds, when the
    root worker started. `state` is the room in its state directory, None when it could not be asked.
    """

    host: str
    at: str
    version: str
    boot: str
    offset: float
    every: int
    state: Space | None

    @classmethod
    def from_json(cls, value: object) -> About:
        """Read it; unknown keys are passed over. Raises MessageError."""
        fields = Fields.of_message(value, FORMAT)
        return cls(
            host=fields.host(),
            at=fields.time("at"),
            version=fields.text("version", longest=64),
            boot=fields.text("boot", longest=64),
            offset=fields.number("offset"),
            every=fields.integer("every", most=86_400),
            state=fields.optional("state", lambda key: _space(fields.object(key))),
        )

    def to_json(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "format": FORMAT,
            "host": self.host,
            "at": self.at,
            "version": self.version,
            "boot": self.boot,
            "offset": self.offset,
            "every": self.every,
            "state": None if self.state is None else _space_json(self.state),
        }


def _space(fields: Fields) -> Space:
    return Space(
        free=fields.integer("free"),
        total=fields.integer("total"),
        files=fields.optional("files", fields.integer),
        read_only=fields.flag("read_only"),
    )


def _space_json(space: Space) -> dict[str, object]:
    return {
        "free": min(space.free, MAX_INTEGER),
        "total": min(space.total, MAX_INTEGER),
        "files": None if space.files is None else min(space.files, MAX_INTEGER),
        "read_only": space.read_only,
    }
