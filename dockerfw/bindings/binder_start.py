"""Keeps the binder's process running while a revision needs bound sets."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path

from dockerfw.host.background import BackgroundProcess, start_module
from dockerfw.host.errors import HostError
from dockerfw.iptables.errors import NetfilterError
from dockerfw.store.bound_sets import has_bound_record, may_need_sets
from dockerfw.store.confirmed import ConfirmedRecord
from dockerfw.store.state import StateDirectory

logger = logging.getLogger("dockerfw.binder")

MODULE = "dockerfw.bindings.binder_process"
RESTART_SECONDS = 5.0
STOP_SECONDS = 2.0


class BinderKeeper:
    """The root worker's end of the binder; `confirmed` returns the confirmed revision without much work."""

    def __init__(
        self,
        state: StateDirectory,
        *,
        host: str,
        docker_socket: Path | None,
        confirmed: Callable[[], ConfirmedRecord | None],
    ) -> None:
        self._state = state
        self._arguments = (
            str(state.path.absolute()),
            host,
            *((str(docker_socket),) if docker_socket else ()),
        )
        self._confirmed = confirmed
        self._process: BackgroundProcess | None = None
        self._not_before = 0.0
        # The apply whose revision was last found to need sets or not.
        self._judged: tuple[str, bool] = ("", False)

    @property
    def runs(self) -> bool:
        """True if the binder was running at the last check."""
        return self._process is not None

    def check(self) -> None:
        """Start the binder if it is needed and does not run. Never raises."""
        if self._process is not None:
            if self._process.poll() is None:
                return
            self._close()
        if time.monotonic() < self._not_before:
            return
        try:
            if not self._is_needed():
                return
            self._not_before = time.monotonic() + RESTART_SECONDS
            self._process = start_module(MODULE, *self._arguments, pipes=True)
        except (HostError, NetfilterError, OSError) as error:
            logger.warning("the binder does not run: %s", error)

    def stop(self) -> None:
        """End the binder. Never raises."""
        if self._process is None:
            return
        process = self._process
        self._close()
        deadline = time.monotonic() + STOP_SECONDS
        while process.poll() is None:
            if time.monotonic() > deadline:
                process.kill()
            time.sleep(0.02)

    def _is_needed(self) -> bool:
        if has_bound_record(self._state):
            return True
        confirmed = self._confirmed()
        if confirmed is None:
            return False
        if confirmed.apply != self._judged[0]:
            self._judged = (confirmed.apply, may_need_sets(confirmed))
        return self._judged[1]

    def _close(self) -> None:
        if self._process is None:
            return
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
        self._process = None
