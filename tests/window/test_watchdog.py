"""The watchdog and its supervisor on the real kernel: killed, stopped, started twice, never needed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from dockerfw.agent import apply as apply_module
from dockerfw.agent.apply import Apply
from dockerfw.store.backup import StateInUse, state_lock
from dockerfw.store.outbox import Outbox
from dockerfw.store.state import StateDirectory
from dockerfw.window import sentences, watchdog_process
from dockerfw.window.supervisor import Supervisor
from dockerfw.window.watchdog_start import StartingWatchdog, is_watchdog_alive, start_another
from tests.rig.host_states import (
    HOST,
    add_foreign,
    answer,
    document,
    held,
    let_window_pass,
    load,
    order,
    told,
    watchdogs,
)
from tests.rig.namespace import PATIENCE, Namespace, wait_until

pytestmark = pytest.mark.kernel


def test_watchdog_runs_in_its_own_process_and_session(inside: Namespace, state: StateDirectory) -> None:
    load(state, "22")
    (watchdog,) = watchdogs(state)
    assert os.getsid(watchdog) == watchdog != os.getsid(0)
    assert os.getpgid(watchdog) == watchdog
    wait_until("its lock", lambda: is_watchdog_alive(state))
    # It reads no secrets, and holds neither the lock nor a socket.
    environment = Path(f"/proc/{watchdog}/environ").read_bytes()
    assert b"REDIS" not in environment
    links = [os.readlink(f"/proc/{watchdog}/fd/{fd}") for fd in os.listdir(f"/proc/{watchdog}/fd")]
    assert not [link for link in links if "socket" in link or link.endswith("/lock")]
    maps = Path(f"/proc/{watchdog}/status").read_text()
    (memory,) = [int(line.split()[1]) for line in maps.splitlines() if line.startswith("VmRSS")]
    assert memory < 40_000
    answer("keep", state)
    wait_until("the watchdog to end", lambda: not watchdogs(state))


def test_watchdog_imports_no_more_than_it_needs() -> None:
    code = "import sys, dockerfw.window.watchdog_process, dockerfw.window.watchdog; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"redis", "rq", "django", "asyncio"} & set(done.stdout.split())


def test_watchdog_without_a_window_exits(state: StateDirectory) -> None:
    watch = StartingWatchdog(state)
    # The kernel lets the parent go on a moment before the child's command line can be read.
    wait_until("the watchdog to start", lambda: len(watchdogs(state)) == 1)
    watch.release()
    wait_until("the watchdog to end", lambda: not watchdogs(state))


def test_watchdog_leaves_a_window_that_is_answered_at_once(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory = str(state.path)
    assert watchdog_process._is_closed(directory)
    load(state, "22")
    # It waits for the answer only where the rules are loaded.
    monkeypatch.setattr(watchdog_process, "time", SimpleNamespace(sleep=lambda _: None))
    assert not watchdog_process._is_closed(directory)
    monkeypatch.setattr(watchdog_process, "time", SimpleNamespace(sleep=lambda _: answer("keep", state)))
    assert watchdog_process._is_closed(directory)


def test_killed_watchdog_is_replaced_once(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    # It may only be starting, so soon after the load.
    monkeypatch.setattr("dockerfw.window.supervisor.STARTING_SECONDS", PATIENCE)
    one = load(state, "22")
    (first,) = watchdogs(state)
    supervisor = Supervisor(state, on_closed=lambda: None)
    wait_until("its lock", lambda: is_watchdog_alive(state))
    assert supervisor.check() == 1.0
    assert watchdogs(state) == [first]
    os.kill(first, signal.SIGKILL)
    wait_until("its end", lambda: not is_watchdog_alive(state))
    supervisor.check()
    assert not watchdogs(state)
    monkeypatch.setattr("dockerfw.window.supervisor.STARTING_SECONDS", 0.0)
    supervisor.check()
    wait_until("another", lambda: is_watchdog_alive(state))
    # One that is started by mistake ends at once.
    assert start_another(state, one.apply).wait(PATIENCE) == 0
    let_window_pass(state)
    wait_until("the roll back", lambda: state.read_window() is None)
    assert "FILTERS" not in "".join(held(inside, "nft")[4])


def test_a_restore_right_after_keep_waits_for_the_watchdog_to_see_it(
    inside: Namespace, state: StateDirectory
) -> None:
    load(state, "22")
    wait_until("its lock", lambda: is_watchdog_alive(state))
    with pytest.raises(StateInUse, match="An apply waits"), state_lock(state):
        pass
    assert answer("keep", state).state == "confirmed"
    with state_lock(state):
        assert state.read_window() is None


def test_watchdog_that_a_job_started_ends_when_the_machine_goes_down(
    inside: Namespace, state: StateDirectory
) -> None:
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        load(state, "22", seconds=60)
    finally:
        signal.signal(signal.SIGTERM, before)
    (watchdog,) = watchdogs(state)
    os.kill(watchdog, signal.SIGTERM)
    wait_until("its end", lambda: not watchdogs(state))
    assert state.read_window() is not None, "the next boot ends it"


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_worker_ends_the_window_when_the_watchdog_does_not(
    inside: Namespace, state: StateDirectory, how: signal.Signals
) -> None:
    add_foreign(inside, "nft")
    before = held(inside, "nft")
    one = load(state, "22")
    (watchdog,) = watchdogs(state)
    os.kill(watchdog, how)
    let_window_pass(state)
    closed: list[bool] = []
    supervisor = Supervisor(state, on_closed=lambda: closed.append(True))
    wait_until("the end of the window", lambda: supervisor.check() is None and closed)
    assert held(inside, "nft") == before
    assert told(state, one)[-1].state == "rolled_back"
    if how == signal.SIGSTOP:
        os.kill(watchdog, signal.SIGKILL)


def test_load_that_takes_too_long_is_ended_by_the_watchdog(
    inside: Namespace, state: StateDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    before = held(inside, "nft")
    monkeypatch.setattr(apply_module, "LOADING_SECONDS", 2.0)
    one = order(document("22"))
    child = os.fork()
    if child == 0:
        monkeypatch.setattr(Apply, "_read_back", lambda *_: time.sleep(60))
        Apply(one, host=HOST, state=state, tell=lambda _: None, settle=Outbox(state.journal).write).run()
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL
    wait_until("the roll back", lambda: state.read_window() is None)
    assert held(inside, "nft") == before
    last = told(state, one)[-1]
    assert last.error is not None
    assert last.error.summary.startswith(sentences.LOAD_DIED)
