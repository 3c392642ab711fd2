"""Ends the connections of allowances that have expired.

The kernel refuses new connections the second after, with nothing of dockerfw running. Those that were open go
on, because established connections always pass, until this module ends them at the next unasked look.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, ClassVar
from uuid import uuid4

from dockerfw.agent import sentences
from dockerfw.document.moments import document_at, ended_rules, to_second
from dockerfw.document.values import DocumentRule
from dockerfw.document.words import describe_count, describe_rule
from dockerfw.host.clock import utc_now
from dockerfw.host.errors import HostError
from dockerfw.host.files import read_bounded, write_durably
from dockerfw.host.sessions import Ended, end_refused_sessions
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import FAMILIES
from dockerfw.messages.events import ConsoleEvent
from dockerfw.messages.shapes import Text, Uuid
from dockerfw.store.bound_sets import describe_binder_problem
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.records import StateError, StateFile
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.expiry")

FILE = "expiry.json"
ACTOR = "root worker"
MOST_BYTES = 64 * 1024
MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class ExpiryRecord(StateFile):
    """Until when the ends of a confirmed apply's rules have been carried out: a time of UTC."""

    FORMAT: ClassVar = "dockerfw-expiry/1"

    apply: Uuid
    until: Annotated[str, Text(20)]


class Expiry:
    """Ends what expired allowances of the confirmed revision let in; `tell` stores an event."""

    def __init__(self, state: StateDirectory, *, host: str, tell: Callable[[ConsoleEvent], None]) -> None:
        self._state = state
        self._host = host
        self._tell = tell

    def end_connections(self, confirmed: ConfirmedRecord | None) -> None:
        """End the connections of allowances that have ended since this was done last. Never raises.

        What fails is tried again at the next look. Connections that another allowance lets in go on.
        """
        # Most documents have no rule that ends, and need no record.
        if confirmed is None or not any(rule.expires for rule in confirmed.document.rules):
            return
        # A second ago: the clock of the kernel's match is a little late, and lets in what comes until then.
        moment = to_second(utc_now(ahead=-1.0))
        try:
            since = self._since(confirmed, moment)
            ended = ended_rules(confirmed.document, since, moment)
            if ended and not self._end(confirmed, ended, moment):
                return
            record = ExpiryRecord(confirmed.apply, moment)
            write_durably(self._state.path / FILE, record.to_bytes())
        except (HostError, NetfilterError, OSError) as error:
            logger.warning("connections of expired rules continue: %s", error)

    def _since(self, confirmed: ConfirmedRecord, moment: str) -> str:
        """Return from when on an end has not been carried out; empty without a record that can be right."""
        raw = read_bounded(self._state.path / FILE, most=MOST_BYTES)
        try:
            record = ExpiryRecord.from_bytes(raw, FILE) if raw is not None else None
        except StateError:
            record = None
        # After a clock that was ahead, all ends are carried out again, which ends nothing twice.
        if record is None or record.apply != confirmed.apply or record.until > moment:
            return ""
        return record.until

    def _end(self, confirmed: ConfirmedRecord, ended: tuple[DocumentRule, ...], moment: str) -> bool:
        """End the connections of these rules; return False where it cannot be told yet which those are."""
        before = document_at(confirmed.document, moment, but=ended)
        after = document_at(confirmed.document, moment)
        unbound = describe_binder_problem(self._state)
        done = end_refused_sessions(dict.fromkeys(FAMILIES, before), after, unbound=unbound)
        if done.untold:
            logger.warning("connections of expired rules may continue: %s", done.untold)
        if done.count or done.problems:
            self._tell_end(ended, done)
        return not done.untold

    def _tell_end(self, ended: tuple[DocumentRule, ...], done: Ended) -> None:
        named = "; ".join(map(describe_rule, ended[:MOST_NAMED]))
        if len(ended) > MOST_NAMED:
            named += sentences.MORE_EXPIRED.format(rules=describe_count(len(ended) - MOST_NAMED, "rule"))
        words = sentences.EXPIRED.format(done=done, rules=named)
        self._tell(ConsoleEvent(str(uuid4()), self._host, "expired", ACTOR, utc_now(), words[:7900]))
        logger.info("%s", words)
