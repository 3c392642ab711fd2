"""One apply: its steps from the order to the open window, and what is undone when one of them fails.

How the window ends is in dockerfw/window. An order is checked completely, whatever its sender: the worst that
a valid order can do is to load a valid document.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from dockerfw.agent import sentences
from dockerfw.agent.expected import check_loaded
from dockerfw.bindings.binder import drop_unneeded_sets, prepare_bound_sets
from dockerfw.bindings.list_binder import check_stored_lists
from dockerfw.chains.anchors import wanted_anchors
from dockerfw.chains.bound_sets import bound_sets_of
from dockerfw.chains.drift import find_drift
from dockerfw.chains.forwarding import add_own_jumps, lost_docker_user
from dockerfw.chains.loaded_documents import can_be_read_back
from dockerfw.chains.log_lines import DEFAULT_GROUP, add_log_lines
from dockerfw.chains.match_groups import USUAL
from dockerfw.chains.names import FORWARD, own_chains, own_rules
from dockerfw.chains.plan import plan_rules
from dockerfw.chains.refusals import Refusal, describe_refusals, find_refusals
from dockerfw.chains.render import loaded_rendering, render, write_restore
from dockerfw.chains.static_sets import StaticSet, find_difference, owners_of, write_sets
from dockerfw.document.document import Document, Settings, digest, parse_document, to_json_object
from dockerfw.document.moments import to_second
from dockerfw.document.words import describe_count
from dockerfw.host.backend import SAVE_SECONDS
from dockerfw.host.clock import boot_id, boottime, utc_now
from dockerfw.host.errors import HostError
from dockerfw.host.hooks import checkpoint
from dockerfw.host.loading import RestoreFailed, load, rehearse_with_log, restore_previous
from dockerfw.host.observation import read_container_families
from dockerfw.host.reading import Seen, look
from dockerfw.host.runner import CommandFailed
from dockerfw.host.space import describe_write_failure
from dockerfw.host.static_sets import fill_static_sets, ip_set_limits, read_static_sets
from dockerfw.host.time_limits import extra_seconds
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES, Backend, Family
from dockerfw.messages.loaded import LoadedRules
from dockerfw.messages.orders import AHEAD_SECONDS, Order, seconds_ahead, why_expired
from dockerfw.messages.outcomes import Failure, Loaded, Outcome, OutcomeState, Step
from dockerfw.store.bootfiles import read_confirmed_again
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.log_note import write_log_note
from dockerfw.store.records import UndoRecord, WindowRecord
from dockerfw.store.state import LastOrder, StateDirectory, StateError
from dockerfw.store.static_sets import drop_static_sets, sets_of_confirmed
from dockerfw.window.watchdog_start import StartingWatchdog
from dockerfw.window.window import AWAITING_EVENT, FINAL_EVENT, awaiting_outcome, describe_waiting, end_if_due

logger = logging.getLogger("dockerfw.apply")

MAX_DETAIL = 3500
SETTLE_SECONDS = 0.1
# Longer than loading both families and reading them back may take. Then the watchdog ends the apply. The
# lines of the texts add to it, once each for loading, saving and comparing.
LOADING_SECONDS = 60.0
# Added for checking expectations, with thousands of rules on a busy host.
EXPECTING_SECONDS = 60.0


class Refused(HostError):  # noqa: N818 - it states a fact
    """This host does not carry out the order; the text says why."""


class Apply:
    """One attempt to load one revision; `run` it once.

    `tell` gets an outcome whenever a step begins, and must not raise. `settle` gets the last outcome and
    stores it durably before it returns. If it raises OSError, the apply fails and is undone. `window_seconds`
    is for tests, which need shorter windows than an order may have. `docker_socket` leads to the Docker that
    is asked for the containers which rules and expectations name. `log_group` is the group of the kernel's
    log to which refused packets go. `known` is the confirmed revision if it was read before.
    """

    def __init__(
        self,
        order: Order,
        *,
        host: str,
        state: StateDirectory,
        tell: Callable[[Outcome], None],
        settle: Callable[[Outcome], None],
        window_seconds: int | None = None,
        docker_socket: Path | None = None,
        log_group: int = DEFAULT_GROUP,
        known: ConfirmedRecord | None = None,
    ) -> None:
        self._order = order
        self._known = known
        self._log_group = log_group
        self._seconds = window_seconds or order.confirm_seconds
        self._host = host
        self._state = state
        self._docker_socket = docker_socket
        self._tell = tell
        self._settle = settle
        self._steps: list[Step] = []
        self._event = 0
        self._window: WindowRecord | None = None
        self._before: Seen | None = None
        self._loaded: tuple[Settings, UndoRecord] | None = None
        self._containers: frozenset[Family] = frozenset()
        self._sets_prepared = False
        self._limits = USUAL
        self._sets: tuple[StaticSet, ...] = ()

    def run(self) -> Outcome:
        """Run all steps and return the last outcome: awaiting or failed. Never raises Exception."""
        with contextlib.ExitStack() as stack:
            try:
                return self._run_steps(stack)
            # Also after an unexpected error: the kernel must not be left half way.
            except Exception as error:
                if not isinstance(error, (HostError, NetfilterError, OSError)):
                    logger.exception("apply %s: unexpected error", self._order.apply)
                return self._fail(error)

    def _run_steps(self, stack: contextlib.ExitStack) -> Outcome:
        with self._step("lock"):
            self._state.prepare()
            stack.enter_context(self._state.lock())
            self._end_previous()
        with self._step("validate") as say:
            document = self._validate()
            self._state.write_last_order(LastOrder(self._order.sequence, self._order.apply))
            say(f"revision {self._order.revision}, {describe_count(len(document.rules), 'rule')}")
        # It starts while the next steps run, and is released before the lock.
        watchdog = StartingWatchdog(self._state)
        stack.callback(watchdog.release)
        with self._step("snapshot") as say:
            external = document.settings.external_interfaces
            with ThreadPoolExecutor(1) as pool:
                families = pool.submit(read_container_families, external, self._docker_socket)
                before, limits = _look_settled(), ip_set_limits()
                families_of = families.result()
            self._before, self._limits = before, limits
            _check_refusals(find_refusals(document, before.rulesets, limits))
            self._containers = families_of(before.rulesets)
            say(f"backend {before.backend}")
        restores = self._render(document, before)
        with ThreadPoolExecutor(1) as pool:
            # It needs none of the real sets, and mostly waits for the kernel, as their filling does.
            rehearsal = pool.submit(rehearse_with_log, before.backend, before.rulesets, restores)
            self._prepare_sets(document, restores)
            with self._step("rehearse") as say:
                restores, done = self._note_rehearsal(*rehearsal.result())
                say(done)
        with self._step("watchdog") as say:
            self._open_window(document, before, restores)
            watchdog.arm(self._order.apply)
            say(sentences.RETURNS_UNLESS_KEPT.format(seconds=self._seconds))
        self._load(before, restores)
        with self._step("read-back"):
            after = self._read_back(document, before.backend, restores)
        with self._step("expectations") as say:
            say(
                check_loaded(
                    document,
                    after,
                    override=self._order.override,
                    docker_socket=self._docker_socket,
                    sets=self._sets,
                )
            )
        return self._report()

    def loaded_rules(self) -> LoadedRules | None:
        """Return the rules that were loaded, None if the apply ended before that."""
        if self._loaded is None:
            return None
        settings, undo = self._loaded
        rules = {
            family: loaded_rendering(text, settings, own_jumps=family in undo.own_jumps).with_sets(self._sets)
            for family, text in undo.restores.items()
        }
        return LoadedRules.of(self._host, self._order.revision, self._order.digest, rules)

    def _end_previous(self) -> None:
        """End the previous apply if that is due; if it is not, refuse this one."""
        end_if_due(self._state)
        waiting = self._state.read_window()
        if waiting is not None:
            raise Refused(sentences.WINDOW_IS_OPEN.format(waiting=describe_waiting(waiting)))

    def _validate(self) -> Document:
        order = self._order
        if order.host != self._host:
            raise Refused(sentences.ORDER_FOR_OTHER_HOST.format(named=order.host, host=self._host))
        reason = why_expired(order.issued_at, datetime.now(UTC))
        if reason is not None:
            raise Refused(sentences.ORDER_EXPIRED.format(reason=reason))
        self._check_sequence()
        document = parse_document(order.document)
        found = digest(document)
        if found != order.digest:
            raise Refused(sentences.DIGEST_DIFFERS.format(found=found, ordered=order.digest))
        return document

    def _check_sequence(self) -> None:
        sequence, now, minutes = self._order.sequence, time.time(), AHEAD_SECONDS // 60
        if seconds_ahead(sequence, now):
            raise Refused(sentences.ORDER_AHEAD.format(sequence=sequence, minutes=minutes))
        last = self._state.read_last_order().sequence
        if seconds_ahead(last, now):
            raise Refused(sentences.LAST_ORDER_AHEAD.format(last=last, minutes=minutes))
        if sequence <= last:
            raise Refused(sentences.ORDER_REPLAYED.format(sequence=sequence, last=last))

    def _note_rehearsal(
        self, loadable: dict[Family, str], without_log: RestoreFailed | None
    ) -> tuple[dict[Family, str], str]:
        """Return the texts that this kernel loads, and what was done."""
        write_log_note(
            self._state, sentences.LOG_LEFT_OUT.format(error=without_log) if without_log is not None else ""
        )
        return loadable, sentences.REHEARSED if without_log is None else sentences.REHEARSED_WITHOUT_LOG

    def _render(self, document: Document, before: Seen) -> dict[Family, str]:
        # A rule that expires starts now: a machine without a clock boots in the past.
        moment = to_second(utc_now())
        renderings = {
            family: render(
                document, family, self._order.revision, live=live, moment=moment, limits=self._limits
            )
            for family, live in before.rulesets.items()
        }
        if document.settings.log_refused:
            renderings = {
                family: add_log_lines(rendering, family, self._order.revision, self._log_group)
                for family, rendering in renderings.items()
            }
        self._sets = tuple(one for rendering in renderings.values() for one in rendering.sets)
        return {
            family: write_restore(
                rendering,
                family,
                live=before.rulesets[family],
                counters=True,
                containers=family in self._containers,
            )
            for family, rendering in renderings.items()
        }

    def _prepare_sets(self, document: Document, restores: Mapping[Family, str]) -> None:
        """Create and fill the sets that the rules match; until the load they change no traffic."""
        names = bound_sets_of(restores.values())
        if not names and not self._sets:
            return
        with self._step("sets") as say:
            members = 0
            if self._sets:
                fill_static_sets(self._sets, owners=self._owners(restores))
                members += sum(len(one.members) for one in self._sets)
                checkpoint("static-sets-filled")
            if names:
                check_stored_lists(self._state, document)
                self._sets_prepared = True
                bound = prepare_bound_sets(self._state, names, document, self._docker_socket, self._known)
                members += sum(map(len, bound.values()))
            say(sentences.SETS_PREPARED.format(sets=len(names) + len(self._sets), members=members))

    def _owners(self, restores: Mapping[Family, str]) -> dict[str, str]:
        """Return the rules of sets whose elements have no ids, both of those before and of the new ones."""
        live = [] if self._before is None else self._before.rulesets.values()
        lines = (
            rule.text for ruleset in live for name in own_chains(ruleset) for rule in own_rules(ruleset, name)
        )
        wanted = (line for text in restores.values() for line in text.split("\n"))
        return {**owners_of(wanted), **owners_of(lines)}

    def _load(self, before: Seen, restores: Mapping[Family, str]) -> None:
        for family in FAMILIES:
            with self._step(f"load-ipv{family}") as say:
                if family not in restores:
                    say(sentences.NO_IPV6)
                    continue
                load(before.backend, family, restores[family])
                checkpoint(f"loaded-ipv{family}")

    def _open_window(self, document: Document, before: Seen, restores: Mapping[Family, str]) -> None:
        now, limit = boottime(), LOADING_SECONDS + 3 * extra_seconds(*restores.values())
        if document.expectations:
            limit += EXPECTING_SECONDS
        window = WindowRecord(
            apply=self._order.apply,
            host=self._host,
            event=AWAITING_EVENT,
            revision=self._order.revision,
            digest=self._order.digest,
            phase="loading",
            seconds=self._seconds,
            opened=now,
            deadline=now + limit,
            boot=boot_id(),
            steps=tuple(self._steps[:-1]),
            end_sessions=self._order.end_sessions,
        )
        held = self._held_document(before)
        undo = UndoRecord(
            apply=self._order.apply,
            backend=before.backend,
            document=to_json_object(document),
            saves={family: _text(save) for family, save in before.saves.items()},
            restores=restores,
            own_jumps=self._families_with_own_jumps(document, before),
            sets=write_sets(self._sets),
            held=to_json_object(held) if held else None,
            held_digest=digest(held) if held else "",
        )
        self._window = window
        self._loaded = (document.settings, undo)
        self._state.open_window(window, undo)
        checkpoint("window-written")

    def _held_document(self, before: Seen) -> Document | None:
        """Return the confirmed document where only it tells which sessions the rules have allowed."""
        if not self._order.end_sessions or can_be_read_back(before.rulesets):
            return None
        confirmed = read_confirmed_again(self._known, self._state.boot)
        if confirmed is None:
            return None
        families, loaded = tuple(before.rulesets), confirmed.loaded
        drift = find_drift(
            confirmed.document,
            confirmed.revision,
            before.rulesets,
            families=families,
            loaded=loaded,
            limits=self._limits,
        )
        return None if drift.rules_differ else confirmed.document

    def _families_with_own_jumps(self, document: Document, before: Seen) -> tuple[Family, ...]:
        anchors = wanted_anchors(document.settings)
        return tuple(
            family
            for family, live in before.rulesets.items()
            if add_own_jumps(anchors, live, containers=family in self._containers)[FORWARD]
        )

    def _read_back(self, document: Document, backend: Backend, restores: Mapping[Family, str]) -> Seen:
        after = _look_settled(backend, seconds=SAVE_SECONDS + extra_seconds(*restores.values()))
        plan = plan_rules(
            document,
            after.rulesets,
            revision=self._order.revision,
            container_families=self._containers,
            limits=self._limits,
        )
        _check_refusals(plan.refusals)
        if not plan.empty:
            wrong = [f"IPv{family}" for family, part in plan.families.items() if not part.empty]
            what = " and ".join(wrong) or "the label"
            raise Refused(sentences.READ_BACK_DIFFERS.format(what=what))
        held = read_static_sets(one.name for one in self._sets)
        if any(find_difference(one, held.get(one.name)) for one in self._sets):
            raise Refused(sentences.READ_BACK_DIFFERS.format(what=sentences.SETS_OF_SOURCES))
        return after

    def _report(self) -> Outcome:
        assert self._window is not None
        with self._step("report"):
            done = replace(self._steps[-1], state="done")
            now = boottime()
            window = replace(
                self._window,
                phase="awaiting",
                opened=now,
                deadline=now + self._seconds,
                steps=(*self._steps[:-1], done),
            )
            outcome = awaiting_outcome(window)
            self._settle(outcome)
            checkpoint("report-settled")
            # From here on the window is open: whatever dies now, only an answer or the deadline ends it.
            self._state.write_window(window)
        return outcome

    def _fail(self, error: Exception) -> Outcome:
        failure = describe_failure(self._steps[-1].name if self._steps else "lock", error)
        unwritable = describe_write_failure(self._state.path, error)
        summary, is_restored = self._undo(unwritable or failure.summary)
        if self._window is not None:
            # The open window may have been reported already.
            self._event = FINAL_EVENT
        outcome = self._outcome("failed", error=replace(failure, summary=summary))
        try:
            self._settle(outcome)
            checkpoint("fail-settled")
            if self._window is not None and is_restored:
                self._state.close_window()
            if self._sets_prepared:
                drop_unneeded_sets(self._state)
            if self._sets:
                drop_static_sets(self._state)
        except OSError as disk:
            logger.error("the outcome of apply %s could not be stored: %s", self._order.apply, disk)
            self._tell(outcome)
        return outcome

    def _undo(self, summary: str) -> tuple[str, bool]:
        """Undo the load; return the summary with what the kernel holds now, and whether that worked."""
        if self._window is None or self._before is None or not self._has_begun_loading():
            return sentences.NOTHING_CHANGED_IN_KERNEL.format(summary=summary)[:MAX_DETAIL], True
        try:
            undo = self._state.read_undo()
            if undo is None or undo.apply != self._order.apply:
                raise StateError("the undo record is missing from the state directory")
            known = sets_of_confirmed(self._state)
            restore_previous(undo.backend, self._before.rulesets, undo.restores, known)
        except (HostError, NetfilterError, OSError) as error:
            logger.error("apply %s could not be undone: %s", self._order.apply, error)
            words = sentences.RESTORING_FAILED.format(summary=summary, error=error)
            return words[:MAX_DETAIL], False
        return sentences.PREVIOUS_RULES_RESTORED.format(summary=summary)[:MAX_DETAIL], True

    def _has_begun_loading(self) -> bool:
        return any(step.name.startswith("load-") for step in self._steps)

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
            checkpoint(f"after-{name}")
        except BaseException:
            self._steps[-1] = replace(self._steps[-1], state="failed", seconds=_since(began))
            raise
        self._steps[-1] = replace(self._steps[-1], state="done", seconds=_since(began), detail=detail)


def _check_refusals(refusals: Sequence[Refusal]) -> None:
    """Raise Refused where the rules that were read do not allow the load."""
    if refusals:
        raise Refused(describe_refusals(refusals))


def _look_settled(backend: Backend | None = None, *, seconds: float = SAVE_SECONDS) -> Seen:
    """Read the rules, again where Docker may have taken its call of DOCKER-USER out for a moment."""
    seen = look(backend, seconds=seconds)
    if not any(map(lost_docker_user, seen.rulesets.values())):
        return seen
    time.sleep(SETTLE_SECONDS)
    return look(backend, seconds=seconds)


def describe_failure(step: str, error: Exception) -> Failure:
    """Return what failed, with the command's own words and the generated line if there is one."""
    refused = error if isinstance(error, RestoreFailed) else None
    command = refused.failure if refused else error if isinstance(error, CommandFailed) else None
    if refused is not None:
        summary = f"IPv{refused.family}: {refused.failure.command[0]} {refused.failure.reason}"
    elif command is not None:
        summary = f"{command.command[0]} {command.reason}"
    elif isinstance(error, (HostError, NetfilterError)):
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
