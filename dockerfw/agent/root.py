"""The root worker's process, which `dockerfw agent` runs: the only one that may change the kernel's rules.

It imports no Django and no database driver, refuses to unpickle, and runs until SIGTERM or SIGINT.
"""

from __future__ import annotations

import logging
import os

from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dockerfw.agent.afterboot import load_after_boot
from dockerfw.agent.jobs import RootJobs
from dockerfw.bindings.binder_start import BinderKeeper
from dockerfw.host.clock import boot_id
from dockerfw.host.files import LockHeld
from dockerfw.host.observation import iptables_version
from dockerfw.host.privileges import drop_privileges
from dockerfw.host.scratch import remove_leftovers
from dockerfw.host.static_sets import remember_ip_set
from dockerfw.iptables.model import BACKENDS
from dockerfw.log_lines import log_to_stderr
from dockerfw.messages.orders import firewall_queue
from dockerfw.refused.keeper import RefusalsKeeper
from dockerfw.settings import AgentSettings, SettingError, read_settings
from dockerfw.store.interrupted import read_restore_record
from dockerfw.store.sentences import RESTORE_AGAIN
from dockerfw.store.state import StateDirectory
from dockerfw.window.supervisor import Supervisor
from dockerfw.worker.entries import order_ids, refuse_unpickling
from dockerfw.worker.worker import LockedWorker

logger = logging.getLogger("dockerfw.root")

IDLE_SECONDS = 5.0
# How often the loop asks whether the binder has changed a set: until then pages take an older look for true.
BOUND_SECONDS = 1.0
# A hanging Redis delays the check of the open window by this much at most, so it is short.
ANSWER_SECONDS = 1.5
# An apply reports each of its steps and waits for that, so this is shorter still.
TELL_SECONDS = 1.0


def main(*, window_seconds: int | None = None) -> int:
    """Serve this host's queue; status 0 after a stop, 1 when it could not start, 2 for wrong settings.

    `window_seconds` is for tests, which need shorter windows than an order may have.
    """
    log_to_stderr()
    refuse_unpickling()
    os.umask(0o077)
    try:
        settings = read_settings()
    except SettingError as error:
        logger.error("%s", error)
        return 2

    def connect_again() -> Redis:
        return connect(settings.redis_url)

    # The reader changes to another user, which this process cannot do any more in a moment.
    refusals = RefusalsKeeper(host=settings.host, group=settings.nflog_group, connect=connect_again)
    try:
        drop_privileges()
    except OSError as error:
        logger.error("unneeded privileges could not be dropped: %s", error)
        return 1
    state = StateDirectory(settings.state_dir)
    try:
        state.prepare()
        # A restore of a backup holds this lock too: a note of one that is there now was left behind.
        with state.worker_lock():
            if is_restore_unfinished(settings, state):
                return 1
            serve(settings, state, refusals, window_seconds=window_seconds)
    except LockHeld as error:
        logger.error("another root worker already runs for this state directory: %s", error)
        return 1
    except OSError as error:
        logger.error("the state directory %s cannot be used: %s", settings.state_dir, error)
        return 1
    finally:
        refusals.stop()
    return 0


def is_restore_unfinished(settings: AgentSettings, state: StateDirectory) -> bool:
    """Return True if a restore of a backup did not end, and log that: then nothing is served. Raises OSError.

    After a boot the confirmed revision is loaded anyway: its boot set is complete, from either installation.
    """
    left = read_restore_record(state.path)
    if left is None:
        return False
    # Restoring a backup loads no rules; a boot does.
    if settings.in_container and left.boot != boot_id():
        load_after_boot(state)
    logger.error("%s %s", left.words(state.path), RESTORE_AGAIN.format(command=settings.command))
    return True


def connect(url: str, *, seconds: float = ANSWER_SECONDS) -> Redis:
    """Return a connection that times out after `seconds` and never retries: the worker does that."""
    return Redis.from_url(
        url, socket_connect_timeout=seconds, socket_timeout=seconds, retry=Retry(NoBackoff(), 0)
    )


def serve(
    settings: AgentSettings,
    state: StateDirectory,
    refusals: RefusalsKeeper,
    *,
    window_seconds: int | None = None,
) -> None:
    """End what an earlier root worker left unfinished, then serve until told to stop."""
    connection = connect(settings.redis_url)
    jobs = RootJobs(
        host=settings.host,
        state=state,
        connection=connection,
        telling=connect(settings.redis_url, seconds=TELL_SECONDS),
        signer=settings.signer_file,
        lists_signer=settings.lists_signer_file,
        window_seconds=window_seconds,
        docker_socket=settings.docker_socket,
        observe_seconds=settings.observe_seconds,
        log_group=settings.nflog_group,
        log_problem=lambda: refusals.problem,
    )
    jobs.introduce()

    def window_closed() -> None:
        jobs.window_closed()
        worker.chore_soon()

    supervisor = Supervisor(state, on_closed=window_closed)
    binder = BinderKeeper(
        state, host=settings.host, docker_socket=settings.docker_socket, confirmed=jobs.confirmed
    )
    remove_leftovers()
    try:
        supervisor.start()
    # Serve anyway: the supervisor retries, and an apply reports the problem until that works.
    except Exception as error:  # noqa: BLE001
        logger.error("what an earlier root worker left unfinished could not be ended: %s", error)
    if settings.in_container:
        # The host may have no boot unit.
        load_after_boot(state)
    for backend in BACKENDS:
        iptables_version(backend)
    remember_ip_set()

    def check() -> float | None:
        binder.check()
        refusals.check()
        if jobs.follow_sets():
            worker.chore_soon()
        due = supervisor.check()
        return BOUND_SECONDS if due is None and binder.runs else due

    worker = LockedWorker(
        firewall_queue(settings.host),
        connection=connection,
        ids=order_ids(settings.host),
        allowed=jobs.allowed(),
        on_idle=jobs.idle,
        on_tick=check,
        on_crash=jobs.died,
        chore=jobs.chore(),
        chore_seconds=settings.observe_seconds,
        idle_seconds=IDLE_SECONDS,
        alive=settings.alive_file,
    )
    worker.work()
    binder.stop()
    if settings.in_container:
        # The watchdog ends with the container.
        supervisor.roll_back_at_exit()
