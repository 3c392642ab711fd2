"""The messages between web, root worker and clerk: orders, outcomes, and (in `snapshots`) what was seen.

Owns their shape: frozen values, strict `from_json`, plain `to_json`. Everything that is read here comes over
a queue that others can write to, so nothing is taken on trust. It must not do I/O, read a clock, or import
Django; the document inside an order is carried as it came, and the root worker validates it from scratch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, cast

from rules.queue.fields import Fields, OrderError, dump_json, load_json
from rules.queue.snapshots import CommandError, Interface, PublishedPort, Snapshot, saves_digest

__all__ = [
    "CLERK_QUEUE",
    "CommandError",
    "Failure",
    "Interface",
    "Loaded",
    "Order",
    "OrderError",
    "Outcome",
    "PublishedPort",
    "Snapshot",
    "Step",
    "dump_json",
    "firewall_queue",
    "load_json",
    "observe_key",
    "progress_key",
    "saves_digest",
    "snapshot_key",
]

ORDER_FORMAT = "dockerfw-order/1"
OUTCOME_FORMAT = "dockerfw-outcome/1"

CLERK_QUEUE = "clerk"

OutcomeState = Literal["loading", "awaiting", "confirmed", "rolled_back", "failed"]
StepState = Literal["running", "done", "failed"]

STEP_NAMES = (
    "lock",
    "validate",
    "snapshot",
    "rehearse",
    "load-ipv4",
    "load-ipv6",
    "read-back",
    "boot-files",
    "report",
)


def firewall_queue(host: str) -> str:
    """Name the queue that the root worker of `host` serves."""
    return f"firewall-{host}"


def snapshot_key(host: str) -> str:
    """Name the Redis key that holds the last snapshot of `host`."""
    return f"dockerfw:snapshot:{host}"


def observe_key(host: str) -> str:
    """Name the Redis key whose presence says that a look at `host` was asked for less than a second ago."""
    return f"dockerfw:observe:{host}"


def progress_key(apply: str) -> str:
    """Name the Redis key that holds the newest, not yet final outcome of an apply."""
    return f"dockerfw:progress:{apply}"


@dataclass(frozen=True, slots=True)
class Order:
    """One request to load one revision on one host."""

    apply: str
    sequence: int
    host: str
    revision: int
    document: Mapping[str, object]
    digest: str
    confirm_seconds: int
    issued_at: str

    @classmethod
    def from_json(cls, value: object) -> Order:
        """Read an order; the document is only known to be an object. Raises OrderError."""
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
            confirm_seconds=fields.integer("confirm_seconds"),
            issued_at=fields.time("issued_at"),
        )
        if order.confirm_seconds:
            fields.fail("confirm_seconds", "a confirmation window is not supported yet: only 0 is taken")
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
        }


@dataclass(frozen=True, slots=True)
class Step:
    """One step of an apply: when it began, how many seconds it took, what there is to say about it."""

    name: str
    state: StepState
    at: str
    seconds: float
    detail: str

    @classmethod
    def from_json(cls, value: object, path: str = "") -> Step:
        """Read a step. Raises OrderError."""
        fields = Fields(value, path)
        step = cls(
            name=fields.one_of("name", STEP_NAMES),
            state=cast(StepState, fields.one_of("state", ("running", "done", "failed"))),
            at=fields.time("at"),
            seconds=fields.number("seconds"),
            detail=fields.text("detail", longest=4000),
        )
        fields.done()
        return step

    def to_json(self) -> dict[str, object]:
        """Return the step as a JSON object."""
        return {
            "name": self.name,
            "state": self.state,
            "at": self.at,
            "seconds": self.seconds,
            "detail": self.detail,
        }


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an apply failed: the step, a sentence, and the command's own words where a command failed.

    `line_number` and `line` name the line of the generated restore text that iptables refused.
    """

    step: str
    summary: str
    command: tuple[str, ...] | None = None
    exit_status: int | None = None
    stderr: str = ""
    line_number: int | None = None
    line: str | None = None

    @classmethod
    def from_json(cls, value: object, path: str = "") -> Failure:
        """Read a failure. Raises OrderError."""
        fields = Fields(value, path)
        failure = cls(
            step=fields.one_of("step", STEP_NAMES),
            summary=fields.text("summary", longest=4000),
            command=fields.optional("command", lambda key: fields.texts(key, most=64, longest=4000)),
            exit_status=fields.optional(
                "exit_status", lambda key: fields.integer(key, least=-1000, most=1000)
            ),
            stderr=fields.text("stderr", longest=16_000),
            line_number=fields.optional("line_number", lambda key: fields.integer(key, least=1)),
            line=fields.optional("line", lambda key: fields.text(key, longest=4000)),
        )
        fields.done()
        return failure

    def to_json(self) -> dict[str, object]:
        """Return the failure as a JSON object."""
        return {
            "step": self.step,
            "summary": self.summary,
            "command": None if self.command is None else list(self.command),
            "exit_status": self.exit_status,
            "stderr": self.stderr,
            "line_number": self.line_number,
            "line": self.line,
        }


@dataclass(frozen=True, slots=True)
class Loaded:
    """The revision that the kernel was seen to hold."""

    revision: int
    digest: str


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an apply so far; `event` counts from 0 for each apply and never goes back."""

    apply: str
    host: str
    event: int
    state: OutcomeState
    at: str
    steps: tuple[Step, ...]
    error: Failure | None
    loaded: Loaded | None

    @classmethod
    def from_json(cls, value: object) -> Outcome:
        """Read an outcome. Raises OrderError."""
        fields = Fields.of_message(value, OUTCOME_FORMAT)
        states = ("loading", "awaiting", "confirmed", "rolled_back", "failed")
        outcome = cls(
            apply=fields.uuid("apply"),
            host=fields.host(),
            event=fields.integer("event", most=100_000),
            state=cast(OutcomeState, fields.one_of("state", states)),
            at=fields.time("at"),
            steps=tuple(Step.from_json(item, path) for item, path in fields.items("steps", most=64)),
            error=fields.optional("error", lambda key: Failure.from_json(fields.take(key), key)),
            loaded=fields.optional("loaded", lambda key: _loaded(fields.object(key))),
        )
        fields.done()
        return outcome

    def to_json(self) -> dict[str, object]:
        """Return the outcome as a JSON object."""
        loaded = self.loaded
        return {
            "format": OUTCOME_FORMAT,
            "apply": self.apply,
            "host": self.host,
            "event": self.event,
            "state": self.state,
            "at": self.at,
            "steps": [step.to_json() for step in self.steps],
            "error": None if self.error is None else self.error.to_json(),
            "loaded": None if loaded is None else {"revision": loaded.revision, "digest": loaded.digest},
        }


def _loaded(fields: Fields) -> Loaded:
    loaded = Loaded(revision=fields.integer("revision", least=1), digest=fields.digest("digest"))
    fields.done()
    return loaded
