"""Read what the frame of every page shows: an unfinished apply, its open window, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, partial
from typing import Final, Literal

from dockerfw.chains.drift import OF_DOCKER, DriftCode
from rules.applying.apply_selectors import ApplyView, unfinished_view
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.draft.basis_selectors import basis_of
from rules.models import Apply, Host
from rules.seen.snapshot_selectors import Look

# The root worker looks once a minute by itself, and at once when a page asks it.
SILENT_SECONDS = 90.0
# What another program did to rules that are otherwise loaded and called. All other drift is "not protected".
CHANGED: Final[frozenset[DriftCode]] = frozenset(
    (
        "rules-changed",
        "reordered",
        "other-revision",
        "chain-replaced",
        "sets-changed",
        "anchor-stale",
        "anchor-not-first",
    )
)


@dataclass(frozen=True, slots=True)
class StateLine:
    """What every page says while the host is not known to be protected."""

    tone: Literal["warn", "bad"]
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class StatePill:
    """The state of the host in two words, for the top of every page; `reason` is the sentence behind it.

    Only the tone ok is green. The tone wait is neutral: the kernel is being read, or rules are being loaded.
    """

    tone: Literal["ok", "warn", "bad", "wait"]
    text: str
    reason: str = ""

    @property
    def symbol(self) -> str:
        """The name of the icon."""
        return "unknown" if self.text == "Unknown" else "running" if self.tone == "wait" else self.tone


@dataclass(frozen=True, slots=True)
class FrameState:
    """The state of the host as every page shows it; the line is None while nothing is wrong."""

    pill: StatePill
    line: StateLine | None


def apply_facts(host: Host) -> dict[str, object]:
    """Return if an apply is unfinished, the apply and window that wait for confirmation, and the state.

    The state is a function: only the frame of a whole page asks for it, and a page may know it already.
    """
    unfinished = unfinished_view(host)
    waiting = unfinished if unfinished is not None and unfinished.window is not None else None
    return {
        "unfinished": unfinished is not None,
        "open_apply": waiting.apply if waiting else None,
        "open_window": waiting.window if waiting else None,
        "frame_state": cache(partial(frame_state, host, unfinished)),
    }


def frame_state(host: Host, running: ApplyView | None, seen: Look | None = None) -> FrameState:
    """Return the state of a host; `seen` is a look that the caller already took.

    While its unfinished apply loads rules there is nothing to say yet.
    """
    if running is not None and running.state == Apply.State.LOADING:
        return FrameState(StatePill("wait", "Loading rules"), None)
    return state_of(kernel_sentence(basis_of(host, seen)))


def state_of(sentence: KernelSentence) -> FrameState:
    """Return how a page shows a sentence about the kernel, which it may know already."""
    return FrameState(_pill_of(sentence), _line_of(sentence))


def _line_of(sentence: KernelSentence) -> StateLine | None:
    """Return the line of a sentence about the kernel, None where a page need not repeat it.

    An open window has a line of its own. A snapshot that is a minute old is replaced by the first poll.
    """
    told_by_window = _is_young(sentence) and sentence.awaiting and sentence.level != "bad"
    if sentence.level == "ok" or told_by_window or _is_soon_read_again(sentence):
        return None
    tone: Literal["warn", "bad"] = "bad" if sentence.level == "bad" else "warn"
    return StateLine(tone, sentence.text, next(iter(sentence.reasons), ""))


def _pill_of(sentence: KernelSentence) -> StatePill:
    if sentence.level == "ok":
        return StatePill("ok", "Protected", sentence.text)
    if sentence.awaiting and sentence.level != "bad":
        return StatePill("warn", "Not confirmed", sentence.text)
    if _is_soon_read_again(sentence):
        return StatePill("wait", "Checking", sentence.text)
    if sentence.level == "unknown":
        return StatePill("warn", "Unknown", sentence.text)
    tone: Literal["warn", "bad"] = "bad" if sentence.level == "bad" else "warn"
    codes = sentence.drift.codes if sentence.drift is not None else frozenset()
    if sentence.by_lists or (codes and codes == OF_DOCKER):
        return StatePill(tone, "Needs attention", sentence.text)
    if codes and codes <= CHANGED:
        return StatePill(tone, "Changed by another program", sentence.text)
    return StatePill(tone, "Not protected", sentence.text)


def _is_young(sentence: KernelSentence) -> bool:
    return sentence.age is not None and sentence.age < SILENT_SECONDS


def _is_soon_read_again(sentence: KernelSentence) -> bool:
    """Return True if the first poll of a page is about to replace the snapshot."""
    return _is_young(sentence) and sentence.stale and not sentence.reasons
