"""The Debian packages whose programs the root worker runs: each way to install dockerfw brings all."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from dockerfw.host.runner import _PACKAGES

ROOT = Path(__file__).resolve().parent.parent
# In every Debian system.
ESSENTIAL = {"util-linux"}
NEEDED = {*_PACKAGES.values(), "iptables", "conntrack"} - ESSENTIAL


def installed_by_the_image() -> set[str]:
    """Return the packages of the Dockerfile's first RUN with apt-get."""
    found = re.search(
        r"apt-get install -y --no-install-recommends \\\n(.*?)\\?\n &&",
        (ROOT / "Dockerfile").read_text(),
        re.S,
    )
    assert found is not None
    return set(found[1].replace("\\", " ").split())


def installed_by_the_setup() -> set[str]:
    """Return the packages that scripts/setup needs of a host, as root."""
    text = (ROOT / "scripts" / "setup").read_text()
    branch = text[text.index("run | host)") : text.index("test) needs=")]
    return {package for _, package in re.findall(r"([\w-]+):([\w.-]+)", branch)}


@pytest.mark.parametrize("package", sorted(NEEDED))
def test_each_way_to_install_brings_it(package: str) -> None:
    assert "ipset" in NEEDED
    assert package in installed_by_the_image()
    assert package in installed_by_the_setup()
    assert package in (ROOT / "docs" / "install-systemd.md").read_text() or package == "iproute2"
