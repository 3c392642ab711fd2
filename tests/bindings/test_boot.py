"""A boot with rules that name bound sets: the boot files, and a root worker without a boot unit."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dockerfw.agent.afterboot import load_after_boot
from dockerfw.doctor.boot_facts import boot_facts
from dockerfw.host.bound_sets import read_bound_sets
from dockerfw.store.bootfiles import SCRIPT
from dockerfw.store.confirmed import CONFIRMED
from dockerfw.store.state import StateDirectory
from tests.rig.bound_sets import ALL, PROXY, PROXY_6, any_address, members_in, published, sets_in
from tests.rig.docker_proxy import docker_proxy
from tests.rig.host_states import answer, document, order, run, stop_watchdogs
from tests.rig.namespace import Backend, Namespace

pytestmark = pytest.mark.kernel


def keep(state: StateDirectory, value: dict[str, object], sequence: int = 1) -> None:
    outcome = run(order(value, sequence=sequence), state)
    assert outcome.state == "awaiting", outcome.error
    assert answer("keep", state, sequence=sequence).state == "confirmed"


def boot(booted: Namespace, state: StateDirectory, path: str = "") -> subprocess.CompletedProcess[bytes]:
    """Run the boot script in a namespace; `path` replaces its own search path."""
    script = (state.boot / SCRIPT).read_text()
    if path:
        script = script.replace("PATH=/usr/sbin:/usr/bin:/sbin:/bin", f"PATH={path}")
    return booted.run("sh", "-s", stdin=script, check=False)


def test_the_boot_script_creates_the_sets_before_the_rules(
    inside: Namespace, backend: Backend, state: StateDirectory, make_namespace: Callable[..., Namespace]
) -> None:
    with docker_proxy(inside, 8080):
        keep(state, published("8080", reach="allow"))
    booted = make_namespace("booted")
    done = boot(booted, state)
    assert (done.returncode, done.stderr) == (0, b"")
    assert sets_in(booted) == ALL
    # Addresses are given out anew: nothing is allowed until the root worker looks.
    assert members_in(booted, PROXY) == ()
    held = booted.save("nft", 4).decode() + booted.save("nft", 6).decode()
    assert f"--dport 8080 -m set --match-set {PROXY} dst,dst" in held
    assert f"--dport 8080 -m set --match-set {PROXY_6} dst,dst" in held
    # Run again, it leaves what the sets hold by then.
    booted.run("ipset", "add", PROXY, "192.0.2.1,tcp:8080")
    assert boot(booted, state).returncode == 0
    assert members_in(booted, PROXY) == ("192.0.2.1,tcp:8080",)
    assert boot_facts(state, unit=None).refused == {}


def test_a_boot_without_ipset_closes_the_host(
    inside: Namespace, state: StateDirectory, make_namespace: Callable[..., Namespace], tmp_path: Path
) -> None:
    keep(state, published("8080"))
    folder = tmp_path / "path"
    folder.mkdir()
    for place in ("/usr/sbin", "/usr/bin", "/bin", "/sbin"):
        for program in Path(place).iterdir():
            if program.name != "ipset" and not (folder / program.name).is_symlink():
                (folder / program.name).symlink_to(program)
    booted = make_namespace("booted")
    done = boot(booted, state, str(folder))
    assert done.returncode == 1
    words = done.stderr.decode()
    assert f"the ipset {PROXY} could not be created. Is ipset installed" in words
    assert f"the ipset {PROXY_6} could not be created." in words
    assert "Everything but loopback and established connections is refused now" in words
    for family in (4, 6):
        held = booted.save("nft", family).decode()
        assert "-A FILTERS-HOST -j DROP" in held
        assert "-A FILTERS-CONTAINERS -j DROP" in held
        assert "-A INPUT -j FILTERS-HOST" in held


def test_a_script_without_sets_is_that_of_earlier_releases(inside: Namespace, state: StateDirectory) -> None:
    keep(state, document("22"))
    assert "ipset" not in (state.boot / SCRIPT).read_text()


def test_a_root_worker_in_a_container_creates_the_sets_after_a_boot(
    inside: Namespace, backend: Backend, state: StateDirectory, make_namespace: Callable[..., Namespace]
) -> None:
    keep(state, published("8080"))
    stop_watchdogs(state)
    path = Path(state.boot, CONFIRMED)
    path.write_text(json.dumps({**json.loads(path.read_text()), "boot": "an-earlier-one"}))
    booted = make_namespace("booted")
    with booted.entered(), docker_proxy(booted, 8080):
        assert load_after_boot(state)
        assert read_bound_sets() == {PROXY: any_address(8080), PROXY_6: ()}
        assert "--match-set" in booted.save("nft", 4).decode()
