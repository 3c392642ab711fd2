"""Gather every fact for the doctor, each from whom it can be had, and return all findings.

This module, like console.py, reaches `rules.host`, and it is where that meets Redis and the database. The
kernel comes last: to see it, this process may have to go into the root worker's network namespace for good.
"""

from __future__ import annotations

import os
import time
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dockerfw.doctor.boot import judge_boot
from dockerfw.doctor.boot_facts import BOOTED_STATE, boot_facts, unit_facts
from dockerfw.doctor.clock import ClockFacts, judge_clock
from dockerfw.doctor.finding import NOT_ROOT, Finding, in_order
from dockerfw.doctor.kernel import KernelFacts, judge_kernel
from dockerfw.doctor.kernel_facts import look_at_kernel
from dockerfw.doctor.permissions import PermissionFacts, judge_permissions
from dockerfw.doctor.place_facts import docker_socket_path, permission_facts, users_files
from dockerfw.doctor.redis_rights import RedisFacts, judge_redis
from dockerfw.doctor.services import DatabaseFacts, judge_database, judge_host, judge_space
from dockerfw.doctor.system_facts import (
    about_from_state,
    began_in_this_boot,
    docker_version,
    host_facts,
    newest_file,
    restore_left,
    room,
    versions_here,
    waiting_words,
    wall_offset,
    window_left,
)
from dockerfw.doctor.versions import Process, VersionFacts, judge_versions
from dockerfw.doctor.work import WorkFacts, judge_work
from dockerfw.doctor.worker_facts import Found, find_root_worker, join_network, runs_as_root
from dockerfw.document.document import load_document
from dockerfw.messages.about import MAX_BYTES as ABOUT_BYTES
from dockerfw.messages.about import About
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.snapshots import Snapshot
from dockerfw.messages.space import Space
from dockerfw.store.state import StateDirectory
from dockerfw.version import VERSION
from dockerfw_site.environment import BASE_DIR, Environment
from rules.command_line.as_owner import NotTheOwner, as_owner
from rules.command_line.database_facts import Told, database_file, database_told
from rules.link import client
from rules.link.probe import Probe, probe, socket_folder

TEMPLATE = BASE_DIR / "deploy" / "redis" / "users.acl"


def examine(environment: Environment) -> list[Finding]:
    """Look at everything that can be looked at from here, and judge it."""
    state = StateDirectory(environment.state_dir)
    worker = find_root_worker(state)
    told, untried = _ask_database(environment)
    redis = probe(environment.redis_url)
    about, stored = _stored(environment.host, redis)
    about = about_from_state(state) or about
    permissions = _permission_facts(environment, state, worker)
    elsewhere = permissions.state == () and stored is not None
    if elsewhere:
        # The root worker, and what it writes, is in another container or on another host.
        permissions, worker = replace(permissions, state=None), Found(None, seen=False)
    found = [
        *judge_redis(_redis_facts(environment, redis, here=worker.seen and state.path.is_dir())),
        *judge_database(DatabaseFacts(told.error, untried, told.migrations)),
        *judge_permissions(permissions),
        *judge_clock(_clock_facts(state, about, told, redis)),
        *judge_work(_work_facts(environment, state, worker, about, stored, told, untried)),
        *judge_versions(_version_facts(environment, about, told, redis)),
        judge_space("disk.state", "the state directory", _state_room(environment, state, about)),
        judge_space(
            "disk.data", "the data directory", room(environment.data_dir, contained=environment.in_container)
        ),
    ]
    unit = unit_facts(BASE_DIR) if state.path == BOOTED_STATE else None
    kernel = replace(_kernel(environment, state, worker, stored, told), command=environment.command)
    boot = replace(
        boot_facts(state, unit=unit), database=_confirmed(told, untried), command=environment.command
    )
    if elsewhere:
        boot = replace(boot, readable=False)
    host = host_facts(kernel.snapshot, there=kernel.snapshot is not stored)
    found += [*judge_boot(boot), *judge_kernel(kernel), *judge_host(host)]
    return in_order(found)


def _ask_database(environment: Environment) -> tuple[Told, str]:
    """Return what the database tells, and why it could not be asked, empty when it was."""
    path = database_file()
    if path is None:
        return database_told(environment.host), ""
    try:
        if path.exists():
            value = as_owner(path, lambda: database_told(environment.host).to_json())
            return Told.from_json(value), ""
        if not environment.data_dir.is_dir():
            return Told(), f"the data directory {environment.data_dir} is not here"
    except NotTheOwner as error:
        return Told(), str(error)
    except OSError:
        return Told(), NOT_ROOT
    return database_told(environment.host), ""


def _stored(host: str, redis: Probe) -> tuple[About | None, Snapshot | None]:
    """Return what the root worker left in Redis; the pages' user may read it, the root worker's may not."""
    about: About | None = None
    snapshot: Snapshot | None = None
    if redis.error:
        return None, None
    try:
        if (raw := client.about_read(host)) is not None:
            about = About.from_json(load_json(raw, max_bytes=ABOUT_BYTES))
        if (raw := client.snapshot_read(host)) is not None:
            snapshot = Snapshot.from_json(load_json(raw, max_bytes=client.SNAPSHOT_BYTES_MAX))
    except (client.QueueError, MessageError):
        pass
    return about, snapshot


def _redis_facts(environment: Environment, redis: Probe, *, here: bool) -> RedisFacts:
    files = users_files(environment.settings_dir, socket_folder(environment.redis_url))
    texts = [text for file in files if (text := _text(file)) is not None]
    return RedisFacts(
        error=redis.error,
        user=redis.user,
        let_in=redis.anonymous,
        allowed=redis.allowed,
        users=texts[0] if texts else None,
        template=_text(TEMPLATE) or "",
        host=environment.host if here else "",
    )


def _permission_facts(environment: Environment, state: StateDirectory, worker: Found) -> PermissionFacts:
    named = os.environ.get("DOCKERFW_SECRET_KEY_FILE", "").strip()
    return permission_facts(
        state=state.path,
        data=environment.data_dir,
        secret_key=Path(named) if named else environment.data_dir / "secret_key",
        settings=environment.settings_dir,
        beside_redis=socket_folder(environment.redis_url),
        code=BASE_DIR,
        root_runs=runs_as_root(worker.pid, state),
        docker_socket=environment.docker_socket,
    )


def _clock_facts(state: StateDirectory, about: About | None, told: Told, redis: Probe) -> ClockFacts:
    return ClockFacts(
        now=time.time(),
        offset=wall_offset(),
        began=began_in_this_boot(about),
        event=told.event,
        file=newest_file(state),
        redis=redis.seconds,
    )


def _work_facts(
    environment: Environment,
    state: StateDirectory,
    worker: Found,
    about: About | None,
    stored: Snapshot | None,
    told: Told,
    untried: str,
) -> WorkFacts:
    words, oldest = waiting_words(state)
    answered = not untried and not told.error and not told.migrations
    seen = (told.seen or {}).get("clerk")
    clerk = -1.0 if seen is None else max(0.0, time.time() - seen)
    return WorkFacts(
        worker=worker.pid is not None if worker.seen else None,
        restore=restore_left(state) if worker.seen else None,
        snapshot=time.time() - _seconds(stored.taken_at) if stored else None,
        every=about.every if about else 60.0,
        order=told.order if answered else None,
        left=window_left(state) if worker.seen else None,
        words=words,
        oldest=oldest,
        clerk=clerk if answered else None,
        command=environment.command,
    )


def _version_facts(environment: Environment, about: About | None, told: Told, redis: Probe) -> VersionFacts:
    python, kernel = versions_here()
    processes = {
        name: None if told.versions is None else Process(told.versions.get(name, ""))
        for name in ("clerk", "web")
    }
    return VersionFacts(
        code=VERSION,
        python=python,
        kernel=kernel,
        docker=docker_version(docker_socket_path(environment.docker_socket)),
        redis=redis.version,
        root_worker=Process(about.version) if about else None,
        clerk=processes["clerk"],
        web=processes["web"],
    )


def _state_room(environment: Environment, state: StateDirectory, about: About | None) -> Space | None:
    return room(state.path, contained=environment.in_container) or (about.state if about else None)


def _confirmed(told: Told, untried: str) -> int | None:
    return None if untried or told.error or told.migrations else told.revision


def _kernel(
    environment: Environment, state: StateDirectory, worker: Found, stored: Snapshot | None, told: Told
) -> KernelFacts:
    """Look at the kernel where the root worker does; who may not gets what the root worker saw last."""
    why_not = _go_there(state, worker)
    if not why_not:
        facts = look_at_kernel(environment.host, state)
        assert facts.snapshot is not None
        if not facts.snapshot.unread:
            return facts
        why_not = "the rules may not be read here; as root on the host they can be"
        if stored is None:
            return facts if os.geteuid() == 0 else KernelFacts(None, why_not)
    if stored is None:
        return KernelFacts(None, why_not)
    return KernelFacts(
        snapshot=stored,
        document=load_document(told.document) if told.document else None,
        revision=told.revision,
        kept_backend=stored.confirmed.backend if stored.confirmed else None,
        released=bool(stored.confirmed and stored.confirmed.released),
    )


def _go_there(state: StateDirectory, worker: Found) -> str:
    """Go where the root worker is; return why that is not possible, empty when it was."""
    if worker.pid is None:
        if os.geteuid() == 0 and state.path == BOOTED_STATE:
            return ""
        return "no root worker runs here to look where it looks" if worker.seen else "only root can look"
    try:
        joined = join_network(worker.pid)
    except OSError as error:
        return f"the root worker's network namespace cannot be entered ({error.strerror})"
    return "" if joined or os.geteuid() == 0 else "only root can look"


def _text(path: Path) -> str | None:
    try:
        # Redis' user may put a pipe there, on which root would wait for ever.
        return path.read_text(errors="replace") if path.is_file() else None
    except OSError:
        return None


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
