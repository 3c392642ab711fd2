"""Gather what the host is: versions, commands, switches of the kernel, clocks, room, the journal."""

from __future__ import annotations

import contextlib
import platform
import shutil
import time
from pathlib import Path
from typing import Any

from dockerfw.doctor.kernel_facts import keeps_apart
from dockerfw.doctor.services import HostFacts
from dockerfw.document.bounded_json import read_json
from dockerfw.host.clock import boot_id, boottime
from dockerfw.host.docker import DockerError, get_from_docker
from dockerfw.host.files import read_bounded
from dockerfw.host.runner import command_path
from dockerfw.host.space import space_of
from dockerfw.iptables.errors import JsonError
from dockerfw.messages.about import ABOUT_FILE, MAX_BYTES, About
from dockerfw.messages.codec import load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.snapshots import Snapshot
from dockerfw.messages.space import Space
from dockerfw.store.interrupted import read_restore_record
from dockerfw.store.state import StateDirectory, StateError
from dockerfw.window.window import overstay_words

_COMMANDS = ("ip", "ss", "unshare", "nft", "conntrack", "ipset")


def versions_here() -> tuple[str, str]:
    """Return the versions of Python and of the kernel."""
    return platform.python_version(), platform.release()


def docker_version(path: Path | None) -> str | None:
    """Ask Docker for its version; empty without a socket, None when it does not say. Never raises."""
    if path is None:
        return ""
    try:
        value: Any = read_json(get_from_docker(path, "/version"))
        return str(value["Version"])[:100]
    except (DockerError, JsonError, KeyError, TypeError):
        return None


def host_facts(snapshot: Snapshot | None, *, there: bool = True) -> HostFacts:
    """Look for commands and switches; Docker is judged by the snapshot.

    A process that is not `there`, where the rules are, would see the switches of another network.
    """
    backend = snapshot.backend if snapshot else "nft"
    names = (
        *_COMMANDS,
        *(f"{stem}-{backend}-{verb}" for stem in ("iptables", "ip6tables") for verb in ("save", "restore")),
    )
    saves = snapshot.saves if snapshot else {4: "", 6: ""}
    return HostFacts(
        missing=[name for name in names if shutil.which(name, path=command_path()) is None],
        needs_sets=any("--match-set" in save for save in saves.values()),
        docker=":DOCKER " in saves[4],
        docker6=":DOCKER " in saves[6],
        keeps_apart=snapshot is not None and keeps_apart(snapshot),
        forward=_switch("net/ipv4/ip_forward") if there else None,
        forward6=_switch("net/ipv6/conf/all/forwarding") if there else None,
        bridges=snapshot is not None and 4 in (snapshot.bridges_filtered or ()),
    )


def room(path: Path, *, contained: bool = False) -> Space | None:
    """Return the room at a folder, None when it cannot be asked.

    In a container a folder that is no mount is the image's own, and another service's matter.
    """
    if contained and not path.is_mount():
        return None
    try:
        return space_of(path)
    except OSError:
        return None


def wall_offset() -> float:
    """Return the wall clock less CLOCK_BOOTTIME, in seconds."""
    return time.time() - boottime()


def about_from_state(state: StateDirectory) -> About | None:
    """Return what the root worker wrote down about itself when it started, None when that is not known."""
    with contextlib.suppress(OSError, MessageError):
        raw = read_bounded(state.path / ABOUT_FILE, most=MAX_BYTES)
        return None if raw is None else About.from_json(load_json(raw))
    return None


def began_in_this_boot(about: About | None) -> float | None:
    """Return the offset at which the root worker started; None when another boot's or unknown."""
    with contextlib.suppress(OSError):
        if about is not None and about.boot == boot_id():
            return about.offset
    return None


def newest_file(state: StateDirectory) -> float | None:
    """Return when the root worker last wrote something that lasts, None when that cannot be seen."""
    times = []
    with contextlib.suppress(OSError):
        for folder in (state.path, state.journal):
            times += [path.lstat().st_mtime for path in folder.iterdir() if path.is_file()]
    return max(times, default=None)


def waiting_words(state: StateDirectory) -> tuple[int | None, float]:
    """Return how many reports wait in the journal, None when nobody can see, and the oldest one's age."""
    try:
        if not state.path.is_dir():
            return None, 0.0
        paths = [path for path in state.journal.iterdir() if path.suffix == ".json"]
        times = [path.stat().st_mtime for path in paths if path.name.startswith(("outcome-", "console-"))]
    except OSError:
        return None, 0.0
    return len(times), max(0.0, time.time() - min(times, default=time.time()))


def window_left(state: StateDirectory) -> str | None:
    """Say which apply should have come to its end, empty for none, None when nobody can see."""
    try:
        if not state.path.is_dir():
            return None
        record = state.read_window()
    except StateError as error:
        return str(error)
    except OSError:
        return None
    return overstay_words(record) if record is not None else ""


def restore_left(state: StateDirectory) -> str | None:
    """Say which restore has not come to its end, empty for none, None when nobody can see."""
    try:
        if not state.path.is_dir():
            return None
        left = read_restore_record(state.path)
    except OSError:
        return None
    return left.words(state.path) if left is not None else ""


def _switch(name: str) -> bool | None:
    try:
        return Path("/proc/sys", name).read_text().strip() != "0"
    except OSError:
        return None
