"""The outcome: what became of an apply so far, as the root side tells it to the clerk and the pages.

Owns its shape: frozen values, strict `from_json`, plain `to_json`. It must not do I/O, read a clock, run a
command, or import Django.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, cast

from dockerfw.messages.fields import Fields

OUTCOME_FORMAT = "dockerfw-outcome/1"
MOST_CONFIRM_SECONDS = 3600

OutcomeState = Literal["loading", "awaiting", "confirmed", "rolled_back", "failed"]
StepState = Literal["running", "done", "failed"]
# Why the rules from before are in force again: someone asked for it, nobody answered in time, the watch over
# the window was broken and its deadline passed unseen, the host was booted in the window.
WayBackReason = Literal["asked", "silence", "stopped", "rebooted"]

# What an apply does until its window opens, in this order; then what the answer does.
LOADING_STEPS = (
    "lock",
    "validate",
    "snapshot",
    "rehearse",
    "watchdog",
    "load-ipv4",
    "load-ipv6",
    "read-back",
    "expectations",
    "report",
)
STEP_NAMES = (*LOADING_STEPS, "boot-files", "sessions")
# An answer that could not be carried out fails at one of these; the window stays open.
FAILURE_STEPS = (*STEP_NAMES, "keep", "extend", "rollback")


def progress_key(host: str, apply: str) -> str:
    """Return the Redis key that holds the newest, not yet final outcome of an apply of `host`."""
    return f"dockerfw:progress:{host}:{apply}"


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
        """Read a step. Raises MessageError."""
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
        """Read a failure. Raises MessageError."""
        fields = Fields(value, path)
        failure = cls(
            step=fields.one_of("step", FAILURE_STEPS),
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
class Window:
    """The open confirmation window: its length, what is left, and its end by the wall clock, to be shown."""

    deadline: str
    seconds_left: float
    seconds: int

    @classmethod
    def from_json(cls, value: object, path: str = "") -> Window:
        """Read a window. Raises MessageError."""
        fields = Fields(value, path)
        window = cls(
            deadline=fields.time("deadline"),
            seconds_left=fields.number("seconds_left"),
            seconds=fields.integer("seconds", least=1, most=MOST_CONFIRM_SECONDS),
        )
        fields.done()
        return window

    def to_json(self) -> dict[str, object]:
        """Return the window as a JSON object."""
        return {"deadline": self.deadline, "seconds_left": self.seconds_left, "seconds": self.seconds}


@dataclass(frozen=True, slots=True)
class WayBack:
    """Why the rules from before are in force again, as a word and as a sentence."""

    reason: WayBackReason
    summary: str

    @classmethod
    def from_json(cls, value: object, path: str = "") -> WayBack:
        """Read a way back. Raises MessageError."""
        fields = Fields(value, path)
        reasons = ("asked", "silence", "stopped", "rebooted")
        way_back = cls(
            reason=cast(WayBackReason, fields.one_of("reason", reasons)),
            summary=fields.text("summary", longest=4000),
        )
        fields.done()
        return way_back

    def to_json(self) -> dict[str, object]:
        """Return the way back as a JSON object."""
        return {"reason": self.reason, "summary": self.summary}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an apply so far; `event` counts from 0 for each apply and never goes back.

    `window` is there while the state is "awaiting", `way_back` when it is "rolled_back". "awaiting" with an
    `error` says that an answer could not be carried out; the window is as open as it was.
    """

    apply: str
    host: str
    event: int
    state: OutcomeState
    at: str
    steps: tuple[Step, ...]
    error: Failure | None
    loaded: Loaded | None
    window: Window | None = None
    way_back: WayBack | None = None

    @classmethod
    def from_json(cls, value: object) -> Outcome:
        """Read an outcome. Raises MessageError."""
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
            window=fields.optional("window", lambda key: Window.from_json(fields.take(key), key)),
            way_back=fields.optional("way_back", lambda key: WayBack.from_json(fields.take(key), key)),
        )
        if (outcome.window is not None) != (outcome.state == "awaiting"):
            fields.fail("window", "is there while an apply is awaiting, and only then")
        if (outcome.way_back is not None) != (outcome.state == "rolled_back"):
            fields.fail("way_back", "is there when an apply was rolled back, and only then")
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
            "window": None if self.window is None else self.window.to_json(),
            "way_back": None if self.way_back is None else self.way_back.to_json(),
        }


def _loaded(fields: Fields) -> Loaded:
    loaded = Loaded(revision=fields.integer("revision", least=1), digest=fields.digest("digest"))
    fields.done()
    return loaded
