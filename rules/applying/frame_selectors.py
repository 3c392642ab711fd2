"""Read what the frame of every page shows: an unfinished apply, its open window, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

from rules.applying.apply_selectors import unfinished_view
from rules.applying.kernel_selectors import KernelSentence, kernel_sentence
from rules.draft.basis_selectors import basis_of
from rules.models import Apply, Host

# The root worker looks once a minute by itself, and at once when a page asks it.
SILENT_SECONDS = 90.0


@dataclass(frozen=True, slots=True)
class StateLine:
    """What every page says while the host is not known to be protected."""

    tone: Literal["warn", "bad"]
    text: str
    reason: str


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
        "state_line": partial(state_line, host),
    }


def state_line(host: Host) -> StateLine | None:
    """Return what is wrong with a host now, None while nothing is, or while rules are loading."""
    running = unfinished_view(host)
    if running is not None and running.state == Apply.State.LOADING:
        return None
    return line_of(kernel_sentence(basis_of(host)))


def line_of(sentence: KernelSentence) -> StateLine | None:
    """Return the line of a sentence about the kernel, None where a page need not repeat it.

    An open window has a line of its own. A snapshot that is a minute old is replaced by the first poll.
    """
    young = sentence.age is not None and sentence.age < SILENT_SECONDS
    told_by_window = sentence.awaiting and sentence.level != "bad"
    soon_read_again = sentence.stale and not sentence.reasons
    if sentence.level == "ok" or (young and (told_by_window or soon_read_again)):
        return None
    tone: Literal["warn", "bad"] = "bad" if sentence.level == "bad" else "warn"
    return StateLine(tone, sentence.text, next(iter(sentence.reasons), ""))
