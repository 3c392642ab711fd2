"""The messages between web, root worker and clerk: orders and answers, `outcomes`, and `snapshots`.

Owns their shape: frozen values, strict `from_json`, plain `to_json`. Everything that is read here comes over
a queue that others can write to, so nothing is taken on trust. It must not do I/O, read a clock, or import
Django; the document inside an order is carried as it came, and the root worker validates it from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, cast

from dockerfw.messages.fields import Fields
from dockerfw.messages.outcomes import (
    MOST_CONFIRM_SECONDS,
)

ORDER_FORMAT = "dockerfw-order/1"
ANSWER_FORMAT = "dockerfw-answer/1"

CLERK_QUEUE = "clerk"

# A confirmation window, from the moment that the rules are loaded.
LEAST_CONFIRM_SECONDS = 15
# Older orders and answers are refused: the queue was stuck, and whoever sent them may have gone.
EXPIRY_SECONDS = 120
CLOCK_SKEW_SECONDS = 60

AnswerKind = Literal["keep", "rollback", "extend"]


def firewall_queue(host: str) -> str:
    """Name the queue that the root worker of `host` serves."""
    return f"firewall-{host}"


def observe_key(host: str) -> str:
    """Name the Redis key whose presence says that a look at `host` was asked for less than a second ago."""
    return f"dockerfw:observe:{host}"


@dataclass(frozen=True, slots=True)
class Order:
    """One request to load one revision on one host.

    `end_sessions` asks to end, once it is kept, the sessions that it takes the allowance away from; with
    `override` it is loaded also when an expectation fails.
    """

    apply: str
    sequence: int
    host: str
    revision: int
    document: Mapping[str, object]
    digest: str
    confirm_seconds: int
    issued_at: str
    end_sessions: bool = False
    override: bool = False

    @classmethod
    def from_json(cls, value: object) -> Order:
        """Read an order; the document is only known to be an object. Raises MessageError."""
        fields = Fields.of_message(value, ORDER_FORMAT)
        document = fields.take("document")
        if not isinstance(document, dict):
            fields.fail("document", "must be an object")
        order = cls(
            apply=fields.uuid("apply"),
            sequence=fields.integer("sequence", least=1),
            host=fields.host(),
            revision=fields.integer("revision", least=1, most=2**31 - 1),
            document=document,
            digest=fields.digest("digest"),
            confirm_seconds=_window_seconds(fields, "confirm_seconds"),
            issued_at=fields.time("issued_at"),
            end_sessions=fields.flag("end_sessions"),
            override=fields.flag("override"),
        )
        fields.done()
        return order

    def to_json(self) -> dict[str, object]:
        """Return the order as a JSON object."""
        return {
            "format": ORDER_FORMAT,
            "apply": self.apply,
            "sequence": self.sequence,
            "host": self.host,
            "revision": self.revision,
            "document": dict(self.document),
            "digest": self.digest,
            "confirm_seconds": self.confirm_seconds,
            "issued_at": self.issued_at,
            "end_sessions": self.end_sessions,
            "override": self.override,
        }


@dataclass(frozen=True, slots=True)
class Answer:
    """What the admin says while the window of an apply is open; `seconds` is the new length for "extend"."""

    apply: str
    sequence: int
    host: str
    answer: AnswerKind
    seconds: int | None
    issued_at: str

    @classmethod
    def from_json(cls, value: object) -> Answer:
        """Read an answer. Raises MessageError."""
        fields = Fields.of_message(value, ANSWER_FORMAT)
        answer = cls(
            apply=fields.uuid("apply"),
            sequence=fields.integer("sequence", least=1),
            host=fields.host(),
            answer=cast(AnswerKind, fields.one_of("answer", ("keep", "rollback", "extend"))),
            seconds=fields.optional("seconds", lambda key: _window_seconds(fields, key)),
            issued_at=fields.time("issued_at"),
        )
        if (answer.seconds is not None) != (answer.answer == "extend"):
            fields.fail("seconds", "is needed to extend a window, and for nothing else")
        fields.done()
        return answer

    def to_json(self) -> dict[str, object]:
        """Return the answer as a JSON object."""
        return {
            "format": ANSWER_FORMAT,
            "apply": self.apply,
            "sequence": self.sequence,
            "host": self.host,
            "answer": self.answer,
            "seconds": self.seconds,
            "issued_at": self.issued_at,
        }


def why_expired(issued_at: str, now: datetime) -> str | None:
    """Say in a sentence why a message that was issued then is not carried out at `now`; None when it is."""
    age = (now - datetime.fromisoformat(issued_at)).total_seconds()
    if age > EXPIRY_SECONDS:
        return (
            f"it was issued {age:.0f} s ago and counts for {EXPIRY_SECONDS} s only: the queue was stuck, or"
            " the clocks of the two machines differ"
        )
    if age < -CLOCK_SKEW_SECONDS:
        return f"it was issued {-age:.0f} s in the future: the clocks of the two machines differ"
    return None


def _window_seconds(fields: Fields, key: str) -> int:
    return fields.integer(key, least=LEAST_CONFIRM_SECONDS, most=MOST_CONFIRM_SECONDS)
