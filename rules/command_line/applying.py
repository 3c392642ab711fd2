"""The verbs that order something of the root worker and wait: apply, rollback, confirm, cancel.

What is loaded is not confirmed: on a terminal the admin is asked, `--keep` keeps at once, and whoever says
nothing gets back what was there before.
"""

from __future__ import annotations

import argparse
import shlex
from time import monotonic, sleep

from django.conf import settings

from dockerfw.document.words import describe_count
from dockerfw.messages.outcomes import Failure
from dockerfw.reach.expectations import find_failures
from dockerfw.streams import Output
from rules.applying.answer_services import apply_keep_at_console, apply_roll_back
from rules.applying.apply_errors import NotAwaiting, NotYours
from rules.applying.apply_selectors import ApplyView, apply_get, awaiting_view
from rules.applying.apply_services import apply_start, check_window, rollback_start
from rules.applying.proposal_selectors import Proposal, propose_draft, propose_rollback
from rules.applying.review_selectors import build_review
from rules.applying.window_selectors import WindowView
from rules.audit.actors import command_line_actor
from rules.command_line.consequences import consequences_of
from rules.command_line.stored import fresh_look, wanted_host
from rules.draft.basis_selectors import Basis, basis_of
from rules.models import Apply
from rules.pages.errors import NotFound, ServiceError

POLL_SECONDS = 0.1
# After the end of a window the host needs a moment to put back what was there, and to tell.
TELL_SECONDS = 20.0


def apply(options: argparse.Namespace, output: Output) -> int:
    """Apply the draft and wait; status 0 when it is confirmed, 1 when nothing was loaded."""
    check_window(options.window)
    host = wanted_host(options)
    basis = basis_of(host, fresh_look(host))
    proposal = propose_draft(basis)
    _tell_sessions(basis, proposal, options, output)
    anyway = _warned(basis, proposal, options, output)
    started = apply_start(
        basis=basis,
        actor=command_line_actor(),
        message=options.message,
        draft_version=host.draft_version,
        window=options.window,
        end_sessions=options.end_sessions,
        override=options.override,
        anyway=anyway,
    )
    return _wait(started, options.timeout, output, _Answering(output, keep=options.keep))


def rollback(options: argparse.Namespace, output: Output) -> int:
    """Apply an earlier revision's content as a new one and wait."""
    check_window(options.window)
    host = wanted_host(options)
    basis = basis_of(host, fresh_look(host))
    proposal = propose_rollback(basis, options.number)
    if proposal is None:
        raise NotFound(f"There is no revision {options.number}.")
    anyway = _warned(basis, proposal, options, output)
    _tell_sessions(basis, proposal, options, output)
    started = rollback_start(
        basis=basis,
        actor=command_line_actor(),
        number=options.number,
        message=options.message,
        expected_head=basis.head,
        window=options.window,
        end_sessions=options.end_sessions,
        override=options.override,
        anyway=anyway,
    )
    return _wait(started, options.timeout, output, _Answering(output, keep=options.keep))


def _tell_sessions(basis: Basis, proposal: Proposal, options: argparse.Namespace, output: Output) -> None:
    """Print which sessions stay open, and how to end them."""
    sessions = build_review(basis, proposal, effects=False).sessions
    for sentence in sessions.sentences:
        output.note(sentence)
    if sessions.can_end:
        ended = "keeping it ends them" if options.end_sessions else "--end-sessions ends them once it is kept"
        output.note(ended)


def confirm(options: argparse.Namespace, output: Output) -> int:
    """Keep what is loaded, also instead of whoever started it; status 0 when it is confirmed."""
    waiting = _awaiting(options)
    actor, starter = command_line_actor(), waiting.requested_by
    if starter != actor.name and not options.instead_of:
        command = settings.ENVIRONMENT.command
        raise NotYours(
            f"{starter} started this, and keeps it. To keep it from here instead:"
            f" `{command} confirm --instead-of {shlex.quote(starter)}`. `{command} cancel` rolls it back."
        )
    apply_keep_at_console(apply=waiting, actor=actor, instead_of=options.instead_of)
    return _wait(waiting, options.timeout, output, _Answering(output, answered=True))


def cancel(options: argparse.Namespace, output: Output) -> int:
    """Put back at once what was there before; status 0 when it is in force again."""
    waiting = _awaiting(options)
    apply_roll_back(apply=waiting, actor=command_line_actor())
    _wait(waiting, options.timeout, output, _Answering(output, answered=True))
    return 0 if _view(waiting).state == Apply.State.ROLLED_BACK else 1


def _awaiting(options: argparse.Namespace) -> Apply:
    waiting = awaiting_view(wanted_host(options))
    if waiting is None:
        raise NotAwaiting("No window is open: nothing waits to be kept.")
    return waiting.apply


class NotOrdered(ServiceError):  # noqa: N818 - it states a fact
    """What is to be applied breaks an expectation or shuts this session out, and nobody said that it may."""


def _warned(basis: Basis, proposal: Proposal, options: argparse.Namespace, output: Output) -> bool:
    """Say what it would mean for those outside; return whether it would shut out this session.

    Raises NotOrdered when something speaks against it that no option overrides.
    """
    meant = consequences_of(basis, proposal)
    if meant is None:
        return False
    for line in () if output.as_json else meant.lines():
        output.line(line)
    broken = find_failures(meant.findings)
    if broken and not options.override.strip():
        what = f"{describe_count(len(broken), 'expectation')} would fail"
        raise NotOrdered(f"Nothing was applied: {what}. --override REASON does it all the same.")
    if meant.shut_out and not options.anyway:
        raise NotOrdered("Nothing was applied: it would shut you out. --anyway does it all the same.")
    return meant.shut_out


class _Answering:
    """What is said in an open window: at once by --keep, by the admin at a terminal, or nothing."""

    def __init__(self, output: Output, *, keep: bool = False, answered: bool = False) -> None:
        self.output = output
        self.keep = keep
        self.answered = answered
        self.told = False

    def look(self, view: ApplyView, window: WindowView) -> None:
        """Say what is to be said in the open window of `view`; at a terminal wait a moment for an answer."""
        if self.answered or window.over:
            sleep(POLL_SECONDS)
            return
        number = view.apply.revision.number
        if self.keep:
            self._send("y", view)
            return
        terminal = self.output.at_terminal
        if not self.told:
            self.told = True
            self.output.note(
                f"revision {number} is loaded, not confirmed; it is rolled back at {window.until}"
            )
            if not terminal:
                keeps = f"`{settings.ENVIRONMENT.command} confirm`"
                self.output.note(f"nobody can be asked here: --keep keeps, and so does {keeps}")
        if not terminal:
            sleep(POLL_SECONDS)
            return
        question = f"Keep revision {number}? {window.seconds_left:.0f} s left [y/N] "
        said = self.output.ask(question, seconds=min(1.0, window.seconds_left))
        if said is not None:
            self._send(said, view)

    def _send(self, said: str, view: ApplyView) -> None:
        self.answered = True
        actor = command_line_actor()
        try:
            if said.strip().lower() in ("y", "yes"):
                apply_keep_at_console(apply=view.apply, actor=actor)
            else:
                apply_roll_back(apply=view.apply, actor=actor)
        except ServiceError as error:
            self.output.note(str(error))


def _wait(started: Apply, timeout: float, output: Output, answering: _Answering) -> int:
    shown: set[tuple[str, str]] = set()
    deadline = monotonic() + timeout
    view = _view(started)
    try:
        while not view.finished and monotonic() < deadline:
            _print_steps(view, shown, output)
            if view.window is not None:
                deadline = max(deadline, monotonic() + view.window.seconds_left + TELL_SECONDS)
                answering.look(view, view.window)
            else:
                sleep(POLL_SECONDS)
            view = _view(started)
    except KeyboardInterrupt:
        output.note(f"not waiting any longer; apply {started.pk} goes on{_unless_kept(view)}")
        return 1
    _print_steps(view, shown, output)
    if output.as_json:
        output.json(_json(view))
    elif view.finished:
        output.line(f"revision {view.apply.revision.number}: {view.state_label}")
    if view.way_back is not None:
        output.note(view.way_back.summary)
    if view.error is not None:
        _print_error(view.error, output)
    if not view.finished:
        output.note(f"no outcome within {timeout:g} seconds; {view.notice or 'the apply goes on'}")
    return 0 if view.state == Apply.State.CONFIRMED and view.finished else 1


def _unless_kept(view: ApplyView) -> str:
    return f", and is rolled back at {view.window.until} unless it is kept" if view.window else ""


def _view(started: Apply) -> ApplyView:
    view = apply_get(started.pk)
    assert view is not None
    return view


def _print_steps(view: ApplyView, shown: set[tuple[str, str]], output: Output) -> None:
    if output.as_json:
        return
    for step in view.steps:
        if step.state in ("done", "failed") and (step.name, step.state) not in shown:
            shown.add((step.name, step.state))
            detail = f"  {step.detail}" if step.detail else ""
            output.line(f"{step.name}: {step.state} in {step.seconds or 0:.3f} s{detail}")


def _print_error(error: Failure, output: Output) -> None:
    output.note(f"{error.step}: {error.summary}")
    if error.command:
        output.note(f"command: {' '.join(error.command)} (status {error.exit_status})")
    if error.line:
        output.note(f"line {error.line_number}: {error.line}")
    if error.stderr:
        output.note(error.stderr.rstrip())


def _json(view: ApplyView) -> dict[str, object]:
    return {
        "apply": str(view.apply.pk),
        "revision": view.apply.revision.number,
        "state": view.state,
        "finished": view.finished,
        "reason": view.way_back.reason if view.way_back else None,
        "notice": view.notice,
        "steps": [
            {"name": step.name, "state": step.state, "seconds": step.seconds, "detail": step.detail}
            for step in view.steps
        ],
        "error": view.error.to_json() if view.error else None,
    }
