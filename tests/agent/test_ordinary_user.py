"""An apply in a user namespace, as in the sandbox of scripts/run without root: groups, lists and dispatch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.rig.namespace import why_unavailable
from tests.rig.root_worker import ROOT

pytestmark = pytest.mark.kernel

PROGRAM = """
import json, sys
from pathlib import Path
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import answer, order, run

state = StateDirectory(Path(sys.argv[1]))
state.prepare()
for number, document in enumerate(json.load(sys.stdin), 1):
    outcome = run(order(document, sequence=number), state)
    print(outcome.error or answer("keep", state).state, flush=True)
"""
PREPARED = 'ip link set lo up && iptables-nft -N DOCKER-USER && exec "$@"'


def of(*rules: dict[str, Any], **groups: Any) -> dict[str, Any]:
    """Return a document."""
    settings = {"external_interfaces": ["ens33"]}
    return {"format": "dockerfw/2", "settings": settings, "groups": groups, "rules": list(rules)}


def test_groups_lists_and_dispatch_load_without_root(tmp_path: Path) -> None:
    if why_unavailable():
        pytest.skip(f"no network namespace can be made: {why_unavailable()}")
    ssh = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
    networks = [f"20.0.{number >> 8}.{number & 255}" for number in range(1_000)]
    documents = [
        of({**ssh, "sources": ["@office"]}, office={"kind": "static", "entries": networks[:100]}),
        of({**ssh, "sources": ["@office"]}, office={"kind": "static", "entries": networks}),
        of(
            {"action": "block", "sources": ["@bad"]},
            {**ssh, "scope": "container"},
            bad={"kind": "feed", "url": "https://lists.example.org/bad.txt"},
        ),
        of(*({**ssh, "ports": [str(port)]} for port in range(100, 300))),
    ]
    # Root of a user namespace has no rights outside it, whoever made it.
    done = subprocess.run(
        [
            *("unshare", "--user", "--map-root-user", "--net", "sh", "-c", PREPARED, "sh"),
            *(sys.executable, "-c", PROGRAM, str(tmp_path / "state")),
        ],
        input=json.dumps(documents),
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "XTABLES_LOCKFILE": str(tmp_path / "lock")},
        timeout=300,
        check=False,
    )
    assert done.stdout.split("\n") == ["confirmed"] * 4 + [""], done.stdout + done.stderr
