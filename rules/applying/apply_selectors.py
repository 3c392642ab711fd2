"""Read applies: the stored row, and while one runs the root worker's own progress from Redis."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from django.core.exceptions import ValidationError
from django.utils import timezone

from dockerfw.messages.outcomes import STEP_NAMES, Failure, RollBack, Step
from rules.applying.window_selectors import WindowView, stored_window, window_view
from rules.models import Apply, Host
from rules.pages.host_selectors import read_along
from rules.seen.progress_selectors import Progress, progress_of

SILENT_AFTER_SECONDS = 5.0
RECENT = 5
ANSWERED_WITHIN_SECONDS = 5.0
KEEP_NOT_TOLD = "The root worker has not reported yet whether Keep arrived in time."
ANSWER_WORDS = {"keep": "Keep", "rollback": "Roll back", "extend": "Extend"}
NOT_TOLD = "The host restores the previous rules. The root worker has not reported it yet."


@dataclass(frozen=True, slots=True)
class StepView:
    """One step of an apply; `state` is waiting, running, done, failed or skipped."""

    name: str
    state: str
    seconds: float | None
    detail: str


@dataclass(frozen=True, slots=True)
class ApplyView:
    """An apply as its page shows it.

    `notice` is a sentence for a root worker that is silent. `window` is the open confirmation window.
    `asked` is the answer that was sent a moment ago.
    """

    apply: Apply
    state: str
    state_label: str
    steps: tuple[StepView, ...]
    error: Failure | None
    finished: bool
    notice: str
    window: WindowView | None
    asked: str

    @property
    def sessions_told(self) -> str:
        """The result of ending sessions, empty until it is known."""
        return next((step.detail for step in self.steps if step.name == "sessions"), "")

    @property
    def way_back(self) -> RollBack | None:
        """Why the previous rules were restored."""
        stored = self.apply.way_back
        return RollBack(**stored) if stored else None


def apply_get(identifier: uuid.UUID | str) -> ApplyView | None:
    """Return an apply with its live progress, None when there is no such apply."""
    try:
        apply = Apply.objects.select_related("host", "revision").filter(pk=identifier).first()
    except (ValueError, ValidationError):
        return None
    return apply_view(apply) if apply else None


def recent_applies(host: Host) -> tuple[Apply, ...]:
    """Return the last few applies of a host, the newest first."""
    applies = Apply.objects.filter(host=host).select_related("revision")
    return tuple(applies.defer("revision__document")[:RECENT])


def unfinished_apply(host: Host) -> Apply | None:
    """Return the apply that has to finish before another one may start, None when there is none."""
    known = read_along(host, "applies_unfinished")
    if known is not None:
        return next(iter(known), None)
    unfinished = Apply.objects.filter(host=host, state__in=Apply.UNFINISHED)
    # Mostly there is none, which each page asks: Django takes long to write the whole query.
    if not unfinished.exists():
        return None
    return unfinished.select_related("revision", "host").defer("revision__document").first()


def awaiting_view(host: Host) -> ApplyView | None:
    """Return the apply of a host whose confirmation window is open, None when there is none.

    The root worker's own report counts before the clerk has recorded it.
    """
    view = unfinished_view(host)
    return view if view is not None and view.window is not None else None


def unfinished_view(host: Host) -> ApplyView | None:
    """Return the unfinished apply of a host with its progress, None when there is none."""
    apply = unfinished_apply(host)
    return apply_view(apply) if apply else None


def apply_view(apply: Apply, known: Progress | None = None) -> ApplyView:
    """Return a stored apply with its progress: `known`, or what Redis holds now."""
    read = Progress() if apply.is_finished else known or progress_of(apply)
    progress, problem = read.outcome, read.problem
    state, ended, window = apply.state, False, stored_window(apply)
    if progress is not None and progress.event > apply.last_event:
        reported, error = progress.steps, progress.error
        # A final state counts once it is recorded. Until then the steps show how far the apply is.
        ended = progress.state in ("confirmed", "failed", "rolled_back")
        window = window_view(progress.window) if progress.window else None
        if not ended:
            state = str(progress.state)
        elif state == Apply.State.QUEUED:
            state = Apply.State.LOADING
    else:
        reported, error = _stored_steps(apply), _stored_error(apply)
    asked = _asked(apply) if window else ""
    return ApplyView(
        apply=apply,
        state=state,
        state_label=Apply.State(state).label,
        steps=_steps(reported, over=apply.is_finished or ended, sessions=apply.end_sessions),
        error=error,
        finished=apply.is_finished,
        notice=problem or _notice(apply, state, window, ended=ended, asked=asked),
        window=window,
        asked=asked,
    )


def _asked(apply: Apply) -> str:
    """Return the answer that was sent in the last few seconds; after that it may be sent again."""
    if not apply.answer or apply.answered_at is None:
        return ""
    age = (timezone.now() - apply.answered_at).total_seconds()
    return str(apply.answer) if age < ANSWERED_WITHIN_SECONDS else ""


def _notice(apply: Apply, state: str, window: WindowView | None, *, ended: bool, asked: str) -> str:
    if apply.is_finished:
        return ""
    if ended:
        return "The root worker has finished. The result is being recorded."
    if window is not None and window.over:
        unreported = KEEP_NOT_TOLD if apply.answer == Apply.Answer.KEEP else NOT_TOLD
        return f"The confirmation window has ended. {unreported}"
    if window is not None and apply.answer and not asked:
        word = ANSWER_WORDS[apply.answer]
        return f"{apply.answered_by} requested: {word}. The root worker has not answered yet."
    if state == "queued" and (timezone.now() - apply.created_at).total_seconds() > SILENT_AFTER_SECONDS:
        return "The root worker has not answered yet. Nothing has been changed."
    return ""


def _stored_steps(apply: Apply) -> tuple[Step, ...]:
    return tuple(Step.from_json(step) for step in apply.steps)


def _stored_error(apply: Apply) -> Failure | None:
    error = apply.error
    if not error:
        return None
    command = error["command"]
    return Failure(**{**error, "command": None if command is None else tuple(command)})


def _steps(reported: tuple[Step, ...], *, over: bool, sessions: bool) -> tuple[StepView, ...]:
    """Return all steps in order; that of the sets only where it ran, the sessions' where it was asked for."""
    known = {step.name: step for step in reported}
    views: list[StepView] = []
    for name in STEP_NAMES:
        step = known.get(name)
        if step is None and (name == "sets" or (name == "sessions" and not sessions)):
            continue
        if step is None:
            views.append(StepView(name, "skipped" if over else "waiting", None, ""))
        else:
            seconds = None if step.state == "running" else step.seconds
            views.append(StepView(name, step.state, seconds, step.detail))
    return tuple(views)
