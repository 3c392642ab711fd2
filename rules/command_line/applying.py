"""The verbs that order something of the root worker: apply and rollback. Each waits for the outcome."""

from __future__ import annotations

import argparse
from time import monotonic, sleep

from rules.command_line.stored import command_line_actor, fresh_look, wanted_host
from rules.command_line.streams import Output
from rules.models import Apply
from rules.queue.orders import Failure
from rules.selectors.applies import ApplyView, apply_get
from rules.selectors.drafts import base_revision
from rules.services.applies import apply_start, rollback_start

POLL_SECONDS = 0.1


def apply(options: argparse.Namespace, output: Output) -> int:
    """Apply the draft and wait; status 0 when it is confirmed, 1 when nothing was loaded."""
    host = wanted_host(options)
    fresh_look(host)
    started = apply_start(
        host=host, actor=command_line_actor(), message=options.message, draft_version=host.draft_version
    )
    return _wait(started, options.timeout, output)


def rollback(options: argparse.Namespace, output: Output) -> int:
    """Apply an earlier revision's content as a new one and wait."""
    host = wanted_host(options)
    fresh_look(host)
    base = base_revision(host)
    started = rollback_start(
        host=host,
        actor=command_line_actor(),
        number=options.number,
        message=options.message,
        expected_head=base.number if base else 0,
    )
    return _wait(started, options.timeout, output)


def _wait(started: Apply, timeout: float, output: Output) -> int:
    shown: set[tuple[str, str]] = set()
    deadline = monotonic() + timeout
    view = _view(started)
    try:
        while not view.finished and monotonic() < deadline:
            _print_steps(view, shown, output)
            sleep(POLL_SECONDS)
            view = _view(started)
    except KeyboardInterrupt:
        output.note(f"not waiting any longer; apply {started.pk} goes on")
        return 1
    _print_steps(view, shown, output)
    if output.as_json:
        output.json(_json(view))
    elif view.finished:
        output.line(f"revision {view.apply.revision.number}: {view.state_label}")
    if view.error is not None:
        _print_error(view.error, output)
    if not view.finished:
        output.note(f"no outcome within {timeout:g} seconds; {view.notice or 'the apply goes on'}")
    return 0 if view.state == Apply.State.CONFIRMED and view.finished else 1


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
        "notice": view.notice,
        "steps": [
            {"name": step.name, "state": step.state, "seconds": step.seconds, "detail": step.detail}
            for step in view.steps
        ],
        "error": view.error.to_json() if view.error else None,
    }
