"""Read the host's commands and the kernel's switches."""

from __future__ import annotations

import shutil
from pathlib import Path

from dockerfw.doctor.bound_sets_facts import find_sets_fault
from dockerfw.doctor.host import HostFacts
from dockerfw.doctor.kernel_facts import keeps_apart
from dockerfw.host.runner import command_path
from dockerfw.messages.snapshots import Snapshot

_COMMANDS = ("ip", "ss", "unshare", "nft", "conntrack", "ipset")


def host_facts(snapshot: Snapshot | None, *, there: bool = True) -> HostFacts:
    """Read commands and switches; the snapshot tells about Docker.

    When this process is not `there`, in the network namespace of the rules, its switches are those of another
    network and are left out.
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
        sets_fault=find_sets_fault(),
        bridges=snapshot is not None and 4 in (snapshot.bridges_filtered or ()),
    )


def _switch(name: str) -> bool | None:
    try:
        return Path("/proc/sys", name).read_text().strip() != "0"
    except OSError:
        return None
