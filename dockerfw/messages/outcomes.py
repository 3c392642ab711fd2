"""The outcome: the state of an apply, as the root worker reports it to the clerk and the pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

from dockerfw.messages.codec import AtMost, Message
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Digest, HostName, OneOf, Positive, Seconds, Text, Time, Uuid, Whole

MOST_CONFIRM_SECONDS = 3600

OutcomeState = Literal["loading", "awaiting", "confirmed", "rolled_back", "failed"]
StepState = Literal["running", "done", "failed"]
RollBackReason = Literal["asked", "silence", "stopped", "rebooted"]
"""Why the previous rules were restored: the admin asked for it, the window ended without an answer, the
watchdog had stopped and the deadline passed unseen, or the host booted while the window was open."""

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
"""The steps of every apply until its window opens, in this order."""
STEP_NAMES = (*LOADING_STEPS[:3], "sets", *LOADING_STEPS[3:], "boot-files", "sessions")
"""All steps: "sets" only where rules need bound sets, and the last ones follow the answer "keep"."""
FAILURE_STEPS = (*STEP_NAMES, "keep", "extend", "rollback")
"""Where an apply can fail; when an answer cannot be carried out, the window stays open."""

REFUSED_EVENT = 0
"""The event of an outcome that refuses an order before its first step."""

CommandLine = Annotated[tuple[Annotated[str, Text(4000)], ...], AtMost(64)]
ExitStatus = Annotated[int, Whole(-1000, 1000)]
ErrorOutput = Annotated[str, Text(16_000)]
Sentence = Annotated[str, Text(4000)]


def progress_key(host: str, apply: str) -> str:
    """Return the Redis key that holds the newest, not yet final outcome of an apply of `host`."""
    return f"dockerfw:progress:{host}:{apply}"


@dataclass(frozen=True, slots=True)
class Step(Message):
    """One step of an apply: when it began, how many seconds it took, and its result in words."""

    name: Annotated[str, OneOf(STEP_NAMES)]
    state: StepState
    at: Time
    seconds: Seconds
    detail: Sentence


@dataclass(frozen=True, slots=True)
class Failure(Message):
    """Why an apply failed: the step, a sentence, and the output of the command, where a command failed.

    `line_number` and `line` name the line of the generated restore text that iptables refused.
    """

    step: Annotated[str, OneOf(FAILURE_STEPS)]
    summary: Sentence
    command: CommandLine | None = None
    exit_status: ExitStatus | None = None
    stderr: ErrorOutput = ""
    line_number: Positive | None = None
    line: Annotated[str, Text(4000)] | None = None


@dataclass(frozen=True, slots=True)
class Loaded(Message):
    """The revision that was read back from the kernel."""

    revision: Positive
    digest: Digest


@dataclass(frozen=True, slots=True)
class Window(Message):
    """The open confirmation window: its end by the wall clock, for display, what is left, and its length."""

    deadline: Time
    seconds_left: Seconds
    seconds: Annotated[int, Whole(1, MOST_CONFIRM_SECONDS)]


@dataclass(frozen=True, slots=True)
class RollBack(Message):
    """Why the previous rules were restored, as a word and as a sentence."""

    reason: RollBackReason
    summary: Sentence


@dataclass(frozen=True, slots=True)
class Outcome(Message):
    """The state of an apply; `event` counts from 0 for each apply and never decreases.

    `window` is set while the state is "awaiting", `way_back` when it is "rolled_back". "awaiting" with an
    `error` means that an answer could not be carried out; the window is still open.
    """

    FORMAT: ClassVar = "dockerfw-outcome/1"

    apply: Uuid
    host: HostName
    event: Annotated[int, Whole(most=100_000)]
    state: OutcomeState
    at: Time
    steps: Annotated[tuple[Step, ...], AtMost(64)]
    error: Failure | None
    loaded: Loaded | None
    window: Window | None = None
    way_back: RollBack | None = None

    def check(self) -> None:
        """Refuse a window or a reason for the roll back that does not belong to the state."""
        if (self.window is not None) != (self.state == "awaiting"):
            raise MessageError("window", "must be set while an apply is awaiting, and only then")
        if (self.way_back is not None) != (self.state == "rolled_back"):
            raise MessageError("way_back", "must be set when an apply was rolled back, and only then")
