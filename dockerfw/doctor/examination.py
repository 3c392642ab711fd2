"""Gather the facts of every check and judge them: `examine` returns one finding for each check.

The kernel comes last: to read its rules this process may have to enter the root worker's network namespace,
which it cannot leave again.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from dockerfw.chains.rendered_rules import Rendering
from dockerfw.doctor.boot import judge_boot
from dockerfw.doctor.boot_facts import BOOTED_STATE, boot_facts, unit_facts
from dockerfw.doctor.clock import ClockFacts, judge_clock
from dockerfw.doctor.clock_facts import began_in_this_boot, last_sequence, newest_file, wall_offset
from dockerfw.doctor.dashboard import NO_DASHBOARD, Dashboard, DatabaseAnswer
from dockerfw.doctor.database import DatabaseFacts, judge_database
from dockerfw.doctor.disk import judge_space
from dockerfw.doctor.disk_facts import room
from dockerfw.doctor.finding import Finding, in_order, unknown
from dockerfw.doctor.host import judge_host
from dockerfw.doctor.host_facts import host_facts
from dockerfw.doctor.kernel import KernelFacts, judge_kernel
from dockerfw.doctor.kernel_facts import look_at_kernel
from dockerfw.doctor.permissions import PermissionFacts, judge_permissions
from dockerfw.doctor.permissions_facts import docker_socket_path, permission_facts, users_files
from dockerfw.doctor.redis_server import RedisFacts, judge_redis
from dockerfw.doctor.redis_server_facts import Probe, probe, read_loaded, read_stored, socket_folder
from dockerfw.doctor.root_worker import Found, find_root_worker, join_network, runs_as_root
from dockerfw.doctor.shipped import USERS_TEMPLATE, code_folder, shipped_file
from dockerfw.doctor.signing import PairFacts, SigningFacts, judge_signing
from dockerfw.doctor.signing_facts import owner_of, signer_file, signing_key_file
from dockerfw.doctor.versions import Process, VersionFacts, judge_versions
from dockerfw.doctor.versions_facts import docker_version, versions_here
from dockerfw.doctor.work import WorkFacts, judge_work
from dockerfw.doctor.work_facts import about_from_state, restore_left, waiting_words, window_left
from dockerfw.document.document import digest, load_document
from dockerfw.iptables.model import Family
from dockerfw.messages.about import About
from dockerfw.messages.snapshots import Snapshot
from dockerfw.messages.space import Space
from dockerfw.settings import AgentSettings
from dockerfw.store.state import StateDirectory
from dockerfw.version import VERSION


def examine(
    settings: AgentSettings, *, ask_dashboard: Callable[[], Dashboard] = lambda: NO_DASHBOARD
) -> list[Finding]:
    """Check everything that this process can see, and return the findings in the order of their groups."""
    state = StateDirectory(settings.state_dir)
    worker = find_root_worker(state)
    dashboard = ask_dashboard()
    answer = dashboard.answer
    redis = probe(settings.redis_url)
    about, stored = (None, None) if redis.error else read_stored(settings.redis_url, settings.host)
    about = about_from_state(state) or about
    permissions = _permission_facts(settings, state, worker, dashboard)
    elsewhere = permissions.state == () and stored is not None
    if elsewhere:
        # The root worker, and what it writes, is in another container or on another host.
        permissions, worker = replace(permissions, state=None), Found(None, seen=False)
    found = [
        *judge_redis(_redis_facts(settings, redis, here=worker.seen and state.path.is_dir())),
        *judge_signing(_signing_facts(settings, state, worker, about, dashboard)),
        *judge_database(
            DatabaseFacts(answer.error, dashboard.untried, answer.migrations, tuple(answer.triggers))
        ),
        *judge_permissions(permissions),
        *judge_clock(_clock_facts(settings, state, worker, about, answer, redis)),
        *judge_work(_work_facts(settings, state, worker, about, stored, dashboard)),
        *judge_versions(_version_facts(settings, about, answer, redis)),
        judge_space("disk.state", "the state directory", _state_room(settings, state, about)),
        _data_space(settings, dashboard),
    ]
    unit = unit_facts() if state.path == BOOTED_STATE else None
    kernel = replace(read_kernel(settings, state, worker, stored, answer), command=settings.command)
    boot = replace(
        boot_facts(state, unit=unit),
        database=answer.revision if dashboard.answered else None,
        command=settings.command,
    )
    if elsewhere:
        boot = replace(boot, readable=False)
    host = host_facts(kernel.snapshot, there=kernel.snapshot is not stored)
    found += [*judge_boot(boot), *judge_kernel(kernel), *judge_host(host)]
    return in_order(found)


def read_kernel(
    settings: AgentSettings,
    state: StateDirectory,
    worker: Found,
    stored: Snapshot | None,
    answer: DatabaseAnswer,
) -> KernelFacts:
    """Read the rules in the root worker's network namespace, or return its last snapshot where that fails."""
    why_not = _enter_namespace(state, worker)
    if not why_not:
        facts = look_at_kernel(settings.host, state, settings.docker_socket)
        assert facts.snapshot is not None
        if not facts.snapshot.unread or facts.snapshot.unprinted:
            return facts
        why_not = "this process may not read the rules; root on the host can"
        if stored is None:
            return facts if os.geteuid() == 0 else KernelFacts(None, why_not)
    if stored is None:
        return KernelFacts(None, why_not)
    document = load_document(answer.document) if answer.document else None
    return KernelFacts(
        snapshot=stored,
        document=document,
        loaded=_loaded(settings, answer.revision, digest(document)) if document else {},
        revision=answer.revision,
        kept_backend=stored.confirmed.backend if stored.confirmed else None,
        released=bool(stored.confirmed and stored.confirmed.released),
    )


def _loaded(settings: AgentSettings, revision: int, document_digest: str) -> Mapping[Family, Rendering]:
    """Return the rules that the root worker reported for this revision, none where they cannot be read."""
    loaded = read_loaded(settings.redis_url, settings.host)
    if loaded is None or (loaded.revision, loaded.digest) != (revision, document_digest):
        return {}
    return loaded.rules()


def _enter_namespace(state: StateDirectory, worker: Found) -> str:
    """Enter the root worker's network namespace; return why that failed, empty when it did not."""
    if worker.pid is None:
        if os.geteuid() == 0 and state.path == BOOTED_STATE:
            return ""
        return (
            "no root worker runs here, so its network namespace is unknown" if worker.seen else "needs root"
        )
    try:
        joined = join_network(worker.pid)
    except OSError as error:
        return f"the root worker's network namespace cannot be entered ({error.strerror})"
    return "" if joined or os.geteuid() == 0 else "needs root"


def _redis_facts(settings: AgentSettings, redis: Probe, *, here: bool) -> RedisFacts:
    files = users_files(settings.settings_dir, socket_folder(settings.redis_url))
    texts = [text for file in files if (text := _text(file)) is not None]
    return RedisFacts(
        error=redis.error,
        user=redis.user,
        anonymous=redis.anonymous,
        allowed=redis.allowed,
        users=texts[0] if texts else None,
        template=_text(shipped_file(USERS_TEMPLATE)) or "",
        host=settings.host if here else "",
    )


def _signing_facts(
    settings: AgentSettings, state: StateDirectory, worker: Found, about: About | None, dashboard: Dashboard
) -> SigningFacts:
    here = worker.pid is not None or (worker.seen and state.path.is_dir())

    def pair(public: Path, private: Path | None, reported: str) -> PairFacts:
        key = signing_key_file(private) if private is not None else None
        return PairFacts(signer_file(public) if here else None, key, reported)

    return SigningFacts(
        orders=pair(settings.signer_file, dashboard.signing_key, about.signer if about else ""),
        lists=pair(settings.lists_signer_file, dashboard.lists_key, about.lists_signer if about else ""),
        account=owner_of(dashboard.data_dir),
    )


def _permission_facts(
    settings: AgentSettings, state: StateDirectory, worker: Found, dashboard: Dashboard
) -> PermissionFacts:
    return permission_facts(
        state=state.path,
        no_dashboard="" if dashboard.data_dir else dashboard.untried,
        data=dashboard.data_dir,
        secret_key=dashboard.secret_key,
        settings=settings.settings_dir,
        beside_redis=socket_folder(settings.redis_url),
        code=code_folder(),
        root_runs=runs_as_root(worker.pid, state),
        docker_socket=settings.docker_socket,
    )


def _clock_facts(
    settings: AgentSettings,
    state: StateDirectory,
    worker: Found,
    about: About | None,
    answer: DatabaseAnswer,
    redis: Probe,
) -> ClockFacts:
    return ClockFacts(
        now=time.time(),
        offset=wall_offset(),
        began=began_in_this_boot(about),
        event=answer.event,
        file=newest_file(state),
        redis=redis.seconds,
        sequence=last_sequence(state) if worker.seen else None,
        command=settings.command,
    )


def _work_facts(
    settings: AgentSettings,
    state: StateDirectory,
    worker: Found,
    about: About | None,
    stored: Snapshot | None,
    dashboard: Dashboard,
) -> WorkFacts:
    words, oldest = waiting_words(state)
    seen = (dashboard.answer.seen or {}).get("clerk")
    clerk = -1.0 if seen is None else max(0.0, time.time() - seen)
    return WorkFacts(
        worker=worker.pid is not None if worker.seen else None,
        restore=restore_left(state) if worker.seen else None,
        snapshot=time.time() - _seconds(stored.taken_at) if stored else None,
        every=about.every if about else 60.0,
        order=dashboard.answer.order if dashboard.answered else None,
        left=window_left(state) if worker.seen else None,
        words=words,
        oldest=oldest,
        clerk=clerk if dashboard.answered else None,
        command=settings.command,
    )


def _version_facts(
    settings: AgentSettings, about: About | None, answer: DatabaseAnswer, redis: Probe
) -> VersionFacts:
    python, kernel = versions_here()
    clerk, web = (
        None if answer.versions is None else Process(answer.versions.get(name, ""))
        for name in ("clerk", "web")
    )
    return VersionFacts(
        code=VERSION,
        python=python,
        kernel=kernel,
        docker=docker_version(docker_socket_path(settings.docker_socket)),
        redis=redis.version,
        root_worker=Process(about.version) if about else None,
        clerk=clerk,
        web=web,
    )


def _state_room(settings: AgentSettings, state: StateDirectory, about: About | None) -> Space | None:
    return room(state.path, contained=settings.in_container) or (about.state if about else None)


def _data_space(settings: AgentSettings, dashboard: Dashboard) -> Finding:
    if dashboard.data_dir is None:
        return unknown("disk.data", dashboard.untried)
    space = room(dashboard.data_dir, contained=settings.in_container)
    return judge_space("disk.data", "the data directory", space)


def _text(path: Path) -> str | None:
    try:
        # Redis' user may put a pipe there, on which root would wait for ever.
        return path.read_text(errors="replace") if path.is_file() else None
    except OSError:
        return None


def _seconds(moment: str) -> float:
    return datetime.fromisoformat(moment.replace("Z", "+00:00")).timestamp()
