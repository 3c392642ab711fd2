"""The root worker's jobs about lists: parts that arrive, and the order to load them.

They are signed with a key of their own, that of the process which fetches lists. It can order nothing else.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from dockerfw.agent import sentences
from dockerfw.bindings.list_binder import bind_lists, held_lists, loaded_documents
from dockerfw.host.clock import utc_now
from dockerfw.host.errors import HostError
from dockerfw.host.signer import find_sender_fault
from dockerfw.iptables.errors import NetfilterError
from dockerfw.messages.errors import MessageError
from dockerfw.messages.events import ConsoleEvent, Verb
from dockerfw.messages.list_orders import BindLists, BoundList, ListPart
from dockerfw.store.bound_lists import note_list_problem, read_list_record, write_part
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.lists")

ACTOR = "root worker"


class ListJobs:
    """The jobs about lists of one host; `signer` is the file of the public key for them, None without one.

    `confirmed` returns the confirmed revision where it is remembered. The rules of that revision, and of an
    open window, say what a list is for: with the key for lists nobody can change them.
    """

    def __init__(
        self,
        state: StateDirectory,
        *,
        host: str,
        signer: Path | None,
        tell: Callable[[ConsoleEvent], object],
        confirmed: Callable[[], ConfirmedRecord | None] = lambda: None,
    ) -> None:
        self._state = state
        self._host = host
        self._signer = signer
        self._tell = tell
        self._confirmed = confirmed

    def list_part(self, value: dict[str, object]) -> None:
        """Store one part of a list until its order arrives."""
        if not self._is_trusted(value):
            return
        try:
            part = ListPart.from_json(value)
            if part.host == self._host:
                write_part(self._state, part)
        except (MessageError, HostError, OSError) as error:
            # The order will say which part is missing.
            logger.warning("a part of a list was dropped: %s", error)

    def bind_lists(self, value: dict[str, object]) -> None:
        """Fill the sets of lists, and report that or why not."""
        if not self._is_trusted(value):
            return
        former = self._problem()
        try:
            order = BindLists.from_json(value)
            filled = bind_lists(
                self._state,
                order,
                host=self._host,
                now=datetime.now(UTC),
                documents=loaded_documents(self._state, self._confirmed()),
            )
        except (MessageError, HostError, NetfilterError, OSError) as error:
            logger.warning("an order about lists was not carried out: %s", error)
            with contextlib.suppress(HostError, OSError):
                note_list_problem(self._state, str(error))
            if str(error) != former:
                self._report("lists-failed", sentences.LISTS_FAILED.format(why=error))
            return
        if filled:
            self._report("lists-loaded", sentences.LISTS_LOADED.format(names=", ".join(filled)))

    def report(self) -> tuple[tuple[BoundList, ...], str]:
        """Return the lists that are loaded, and why a later order was not carried out. Never raises."""
        try:
            return held_lists(self._state), self._problem()
        except (HostError, OSError) as error:
            return (), str(error)

    def _problem(self) -> str:
        try:
            return read_list_record(self._state).problem
        except (HostError, OSError) as error:
            return str(error)

    def _is_trusted(self, value: dict[str, object]) -> bool:
        fault = sentences.NO_LISTS_SIGNER if self._signer is None else find_sender_fault(value, self._signer)
        if fault is not None:
            logger.warning("a message about lists was refused: %s", fault)
        return fault is None

    def _report(self, verb: Verb, detail: str) -> None:
        event = ConsoleEvent(str(uuid4()), self._host, verb, ACTOR, utc_now(), detail[:8000])
        with contextlib.suppress(OSError):
            self._tell(event)
