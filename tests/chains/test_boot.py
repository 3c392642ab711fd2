"""The boot files: dockerfw's chains without anchors, and a script that a POSIX shell accepts."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from dockerfw.chains.boot import render_boot_rules, render_boot_script
from dockerfw.iptables.model import Backend, Family
from tests.rig.documents import document


def test_the_rules_are_only_dockerfws_chains() -> None:
    text = render_boot_rules(document({"scope": "both", "protocol": "tcp", "ports": ["22"]}), 4, 3)
    lines = text.splitlines()
    assert all(line.startswith(("*filter", ":FILTERS", "-A FILTERS", "COMMIT")) for line in lines)
    assert '"dockerfw r3 ' in text


@pytest.mark.parametrize("backend", ["nft", "legacy"])
@pytest.mark.parametrize("interfaces", [(), ("ens33",), ("ens33", "ppp+")])
@pytest.mark.parametrize("own_jumps", [(), (6,), (4, 6)])
def test_sh_accepts_the_script(
    backend: Backend, interfaces: tuple[str, ...], own_jumps: tuple[Family, ...]
) -> None:
    text = render_boot_script(backend, interfaces, "/var/lib/it's here/boot", own_jumps)
    shell = shutil.which("sh")
    assert shell is not None
    done = subprocess.run([shell, "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"ip6tables-{backend}" in text
