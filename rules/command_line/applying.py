"""The verbs that send an order to the root worker and wait: apply, rollback, confirm, cancel.

Loaded rules are not confirmed yet. On a terminal the admin is asked, and `--keep` keeps them at once. Without
an answer the previous rules return.
"""

from __future__ import annotations

import argparse
import shlex
from time import monotonic, sleep

from django.conf import settings

from dockerfw.document.every_port import new_every_port_rules
from dockerfw.document.words import describe_count
from dockerfw.messages.outcomes import Failure
from dockerfw.reach.expectations import find_failures
from dockerfw.streams import Output
from rules.applying.answer_services import apply_keep_at_console, apply_roll_back
from rules.applying.apply_errors import EveryPort, NotAwaiting, NotYours
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
# Time for the root worker to restore the previous rules after the end of a window, and to report that.
REPORT_SECONDS = 20.0


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
        every_port=options.every_port,
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
        every_port=options.every_port,
    )
    return _wait(started, options.timeout, output, _Answering(output, keep=options.keep))


def _tell_sessions(basis: Basis, proposal: Proposal, options: argparse.Namespace, output: Output) -> None:
    """Print which sessions stay open, and how to end them."""
    sessions = build_review(basis, proposal, effects=False).sessions
    for sentence in sessions.sentences:
        output.note(sentence)
    if sessions.can_end:
        output.note("they end after Keep" if options.end_sessions else "--end-sessions ends them after Keep")


def confirm(options: argparse.Namespace, output: Output) -> int:
    """Keep the loaded revision, with --instead-of also another admin's; status 0 when it is confirmed."""
    waiting = _awaiting(options)
    actor, starter = command_line_actor(), waiting.requested_by
    if starter != actor.name and not options.instead_of:
        command = settings.ENVIRONMENT.command
        raise NotYours(
            f"{starter} started this apply. To keep it in place of {starter}:"
            f" `{command} confirm --instead-of {shlex.quote(starter)}`. To roll it back: `{command} cancel`."
        )
    apply_keep_at_console(apply=waiting, actor=actor, instead_of=options.instead_of)
    return _wait(waiting, options.timeout, output, _Answering(output, answered=True))


def cancel(options: argparse.Namespace, output: Output) -> int:
    """Restore the previous rules at once; status 0 when they are active again."""
    waiting = _awaiting(options)
    apply_roll_back(apply=waiting, actor=command_line_actor())
    _wait(waiting, options.timeout, output, _Answering(output, answered=True))
    return 0 if _view(waiting).state == Apply.State.ROLLED_BACK else 1


def _awaiting(options: argparse.Namespace) -> Apply:
    waiting = awaiting_view(wanted_host(options))
    if waiting is None:
        raise NotAwaiting("No apply waits for confirmation.")
    return waiting.apply


class NotOrdered(ServiceError):  # noqa: N818 - it states a fact
    """The apply fails a check: an expectation, every port, or this session. No option overrides that."""


def _warned(basis: Basis, proposal: Proposal, options: argparse.Namespace, output: Output) -> bool:
    """Print the effect on outside access and the warnings; return True if this SSH session would be blocked.

    Raises NotOrdered for a failed check that no option overrides.
    """
    every_port = () if options.every_port else new_every_port_rules(basis.base_document, proposal.document)
    if every_port:
        raise NotOrdered(f"Nothing was applied: {EveryPort(every_port)} Use --every-port to apply anyway.")
    meant = consequences_of(basis, proposal)
    if meant is None:
        return False
    for line in () if output.as_json else meant.lines():
        output.line(line)
    for warning in () if output.as_json else build_review(basis, proposal, effects=False).warnings:
        output.line(f"warning: {warning.message}")
    broken = find_failures(meant.findings)
    if broken and not options.override.strip():
        what = f"{describe_count(len(broken), 'expectation')} would fail"
        raise NotOrdered(f"Nothing was applied: {what}. Use --override REASON to apply anyway.")
    if meant.shut_out and not options.anyway:
        raise NotOrdered("Nothing was applied: it would block your session. Use --anyway to apply anyway.")
    return meant.shut_out


class _Answering:
    """Answers an open window: at once with --keep, or as the admin at the terminal says."""

    def __init__(self, output: Output, *, keep: bool = False, answered: bool = False) -> None:
        self.output = output
        self.keep = keep
        self.answered = answered
        self.told = False

    def look(self, view: ApplyView, window: WindowView) -> None:
        """Print how to keep the open window of `view`; at a terminal wait up to a second for an answer."""
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
                f"revision {number} is loaded but not confirmed; it is rolled back at {window.until}"
            )
            if not terminal:
                command = settings.ENVIRONMENT.command
                self.output.note(
                    f"there is no terminal to ask at; to keep it: `{command} confirm`, or --keep"
                )
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
                deadline = max(deadline, monotonic() + view.window.seconds_left + REPORT_SECONDS)
                answering.look(view, view.window)
            else:
                sleep(POLL_SECONDS)
            view = _view(started)
    except KeyboardInterrupt:
        output.note(f"stopped waiting; apply {started.pk} continues{_describe_rollback(view)}")
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
        output.note(f"no outcome within {timeout:g} seconds; {view.notice or 'the apply continues'}")
    return 0 if view.state == Apply.State.CONFIRMED and view.finished else 1


def _describe_rollback(view: ApplyView) -> str:
    return f", and is rolled back at {view.window.until} unless you keep it" if view.window else ""


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
