"""Load one revision on this host, or leave the kernel as it was and say what failed.

Owns the order of the steps and the way back. An order is checked here from scratch, whoever sent it: the
worst that a valid order can do is to load a valid document. It must not know about Redis, jobs or databases.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from rules.host.backend import find_backend
from rules.host.bootfiles import put_back_boot_files, read_boot_files, write_boot_files
from rules.host.files import LockedOut
from rules.host.restore import (
    NotPutBack,
    RestoreFailed,
    load,
    put_back,
    read_rulesets,
    rehearse,
    saves_or_fail,
)
from rules.host.runner import CommandFailed
from rules.host.snapshot import utc_now
from rules.host.state import Begun, StateDirectory, StateError, UndoRecord
from rules.netfilter.document import Document, digest, parse_document
from rules.netfilter.errors import NetfilterError
from rules.netfilter.model import Ruleset
from rules.netfilter.parse import parse_save
from rules.netfilter.plan import plan_changes
from rules.netfilter.render import render_restore
from rules.queue.orders import Failure, Loaded, Order, Outcome, OutcomeState, Step
from rules.queue.snapshots import FAMILIES, Backend, Family

logger = logging.getLogger("dockerfw.apply")

MAX_DETAIL = 3500


class Refused(Exception):  # noqa: N818 - it states a fact
    """An order is not one that this host carries out now; the text says why."""


EXPECTED = (Refused, NetfilterError, CommandFailed, RestoreFailed, NotPutBack, LockedOut, StateError, OSError)


@dataclass(frozen=True, slots=True)
class Seen:
    """The backend in use and what both families' tables hold in it."""

    backend: Backend
    rulesets: Mapping[Family, Ruleset]
    saves: Mapping[Family, bytes]


class Apply:
    """One attempt to load one revision; `run` it once.

    `tell` gets an outcome whenever a step begins, and must not raise. `settle` gets the last one, and has to
    keep it for good before it returns; when it raises OSError the apply fails and is undone.
    """

    def __init__(
        self,
        order: Order,
        *,
        host: str,
        state: StateDirectory,
        tell: Callable[[Outcome], None],
        settle: Callable[[Outcome], None],
    ) -> None:
        self._order = order
        self._host = host
        self._state = state
        self._tell = tell
        self._settle = settle
        self._steps: list[Step] = []
        self._event = 0
        self._undo: UndoRecord | None = None
        self._before: Seen | None = None
        self.after: Seen | None = None

    def run(self) -> Outcome:
        """Go through all steps and return the last outcome, confirmed or failed. Never raises Exception."""
        with contextlib.ExitStack() as stack:
            try:
                return self._go(stack)
            # Also for what nobody thought of: the kernel must not be left half way.
            except Exception as error:
                if not isinstance(error, EXPECTED):
                    logger.exception("apply %s met something unforeseen", self._order.apply)
                return self._fail(error)

    def _go(self, stack: contextlib.ExitStack) -> Outcome:
        with self._step("lock"):
            self._state.prepare()
            stack.enter_context(self._state.lock())
            with contextlib.suppress(NotPutBack):
                # What still differs then, this apply puts right.
                recover(self._state)
        with self._step("validate") as say:
            document = self._validate()
            self._state.write_begun(Begun(self._order.sequence, self._order.apply))
            say(f"revision {self._order.revision}, {len(document.rules)} rules")
        with self._step("snapshot") as say:
            before = self._before = look()
            say(f"backend {before.backend}")
        restores = self._render(document, before)
        with self._step("rehearse") as say:
            rehearse(before.backend, before.rulesets, restores)
            say("loaded in a scratch network namespace")
        self._load(before, restores)
        with self._step("read-back"):
            self.after = self._read_back(document, before.backend)
        with self._step("boot-files") as say:
            write_boot_files(
                document,
                revision=self._order.revision,
                backend=before.backend,
                directory=self._state.boot,
            )
            say(str(self._state.boot))
        return self._report()

    def _validate(self) -> Document:
        order = self._order
        if order.host != self._host:
            raise Refused(f"the order is for the host {order.host!r}; this is {self._host!r}")
        last = self._state.last_begun()
        if order.sequence <= last.sequence:
            raise Refused(
                f"the order's sequence number {order.sequence} is not above {last.sequence}, the last one"
                " that this host let in: it is old, or was sent twice"
            )
        document = parse_document(order.document)
        found = digest(document)
        if found != order.digest:
            raise Refused(f"the document's digest is {found}, and the order says {order.digest}")
        return document

    def _render(self, document: Document, before: Seen) -> dict[Family, str]:
        return {
            family: render_restore(
                document,
                family,
                live=before.rulesets[family],
                revision=self._order.revision,
                counters=True,
            )
            for family in before.rulesets
        }

    def _load(self, before: Seen, restores: Mapping[Family, str]) -> None:
        for family in FAMILIES:
            with self._step(f"load-ipv{family}") as say:
                if family not in restores:
                    say("this kernel has no IPv6: there is nothing to load and nothing to refuse")
                    continue
                if self._undo is None:
                    self._remember(before, restores)
                load(before.backend, family, restores[family])

    def _remember(self, before: Seen, restores: Mapping[Family, str]) -> None:
        record = UndoRecord(
            apply=self._order.apply,
            host=self._host,
            event=self._event,
            revision=self._order.revision,
            backend=before.backend,
            saves={family: _text(save) for family, save in before.saves.items()},
            restores=restores,
            boot_files=read_boot_files(self._state.boot),
        )
        self._state.write_undo(record)
        self._undo = record

    def _read_back(self, document: Document, backend: Backend) -> Seen:
        after = look(backend)
        plan = plan_changes(document, after.rulesets, revision=self._order.revision)
        if not plan.empty:
            wrong = [f"IPv{family}" for family, part in plan.families.items() if not part.empty]
            raise Refused(
                f"the kernel does not hold what was loaded: {' and '.join(wrong) or 'the label'} differ when"
                " read back. Somebody else may have changed the rules at the same moment"
            )
        return after

    def _report(self) -> Outcome:
        loaded = Loaded(self._order.revision, self._order.digest)
        with self._step("report"):
            done = replace(self._steps[-1], state="done")
            outcome = self._outcome("confirmed", steps=(*self._steps[:-1], done), loaded=loaded)
            self._settle(outcome)
            # From here on the new rules stand: the outcome that says so is on disk.
            with contextlib.suppress(OSError):
                self._state.clear_undo()
        return outcome

    def _fail(self, error: Exception) -> Outcome:
        failure = describe_failure(self._steps[-1].name if self._steps else "lock", error)
        outcome = self._outcome("failed", error=replace(failure, summary=self._way_back(failure.summary)))
        try:
            self._settle(outcome)
        except OSError as disk:
            logger.error("the outcome of apply %s could not be kept: %s", self._order.apply, disk)
            self._tell(outcome)
        return outcome

    def _way_back(self, summary: str) -> str:
        """Undo what was done and add to the summary what the kernel holds now."""
        if self._undo is None or self._before is None:
            return f"{summary}. Nothing was changed in the kernel."[:MAX_DETAIL]
        try:
            put_back(self._undo.backend, self._before.rulesets, self._undo.restores)
            put_back_boot_files(self._state.boot, self._undo.boot_files)
            self._state.clear_undo()
        except (CommandFailed, RestoreFailed, NotPutBack, NetfilterError, OSError) as error:
            logger.error("apply %s could not be undone: %s", self._order.apply, error)
            return (
                f"{summary}. Putting back what was there before failed too: {error}. The root worker tries"
                " again before the next apply and when it starts; until then look at the live page"
            )[:MAX_DETAIL]
        return f"{summary}. The rules that were there before are in force again."[:MAX_DETAIL]

    def _outcome(
        self,
        state: OutcomeState,
        *,
        steps: tuple[Step, ...] | None = None,
        error: Failure | None = None,
        loaded: Loaded | None = None,
    ) -> Outcome:
        return Outcome(
            apply=self._order.apply,
            host=self._host,
            event=self._event,
            state=state,
            at=utc_now(),
            steps=tuple(self._steps) if steps is None else steps,
            error=error,
            loaded=loaded,
        )

    @contextlib.contextmanager
    def _step(self, name: str) -> Iterator[Callable[[str], None]]:
        began = time.monotonic()
        detail = ""

        def say(text: str) -> None:
            nonlocal detail
            detail = text

        self._steps.append(Step(name, "running", utc_now(), 0.0, ""))
        self._tell(self._outcome("loading"))
        self._event += 1
        try:
            yield say
        except BaseException:
            self._steps[-1] = replace(self._steps[-1], state="failed", seconds=_since(began))
            raise
        self._steps[-1] = replace(self._steps[-1], state="done", seconds=_since(began), detail=detail)


def look(backend: Backend | None = None) -> Seen:
    """Read and parse both families' saves. Raises CommandFailed and ParseError."""
    if backend is None:
        backend, results = find_backend()
        saves = saves_or_fail(results)
        return Seen(backend, {family: parse_save(save) for family, save in saves.items()}, saves)
    rulesets, saves = read_rulesets(backend)
    return Seen(backend, rulesets, saves)


def recover(state: StateDirectory) -> UndoRecord | None:
    """Undo an apply that died half way, and return its record; None when there is none. Hold the lock for it.

    Raises CommandFailed, RestoreFailed, NotPutBack, ParseError, StateError, OSError.
    """
    record = state.read_undo()
    if record is None:
        return None
    before = {family: parse_save(save) for family, save in record.saves.items()}
    put_back(record.backend, before, record.restores)
    put_back_boot_files(state.boot, record.boot_files)
    state.clear_undo()
    logger.warning("apply %s had died half way; what was there before it is in force again", record.apply)
    return record


def describe_failure(step: str, error: Exception) -> Failure:
    """Say what failed, with the command's words and the generated line where there is one."""
    refused = error if isinstance(error, RestoreFailed) else None
    command = refused.failure if refused else error if isinstance(error, CommandFailed) else None
    if refused is not None:
        summary = f"IPv{refused.family}: {refused.failure.command[0]} {refused.failure.reason}"
    elif command is not None:
        summary = f"{command.command[0]} {command.reason}"
    elif isinstance(error, (Refused, NetfilterError, NotPutBack, LockedOut, StateError)):
        summary = str(error)
    else:
        summary = f"{type(error).__name__}: {error}"
    return Failure(
        step=step,
        summary=summary[:MAX_DETAIL].rstrip("."),
        command=tuple(word[:4000] for word in command.command) if command else None,
        exit_status=command.exit_status if command else None,
        stderr=command.stderr[:16_000] if command else "",
        line_number=refused.line.number if refused and refused.line else None,
        line=refused.line.text[:4000] if refused and refused.line else None,
    )


def _since(began: float) -> float:
    return round(time.monotonic() - began, 4)


def _text(save: bytes) -> str:
    return save.decode("utf-8", "surrogateescape")
