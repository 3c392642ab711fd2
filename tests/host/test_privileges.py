"""The capabilities that the root worker drops, tried in separate processes inside network namespaces."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dockerfw.host.privileges import AS_ORDINARY_USER, CAP_NET_ADMIN, CAP_NET_RAW, CAP_SETPCAP, CAP_SYS_ADMIN
from tests.rig.host_states import add_foreign, held
from tests.rig.namespace import PATIENCE, Backend, Namespace

ROOT = Path(__file__).parents[2]
# An exec'd child: its own capabilities count, and not what its parent reports.
STATUS = """
import json, re, subprocess
status = subprocess.run(["cat", "/proc/self/status"], capture_output=True, text=True, check=True).stdout
print(json.dumps(dict(re.findall(r"^(Cap...|NoNewPrivs):\\s*(\\w+)$", status, re.MULTILINE))))
"""
DROP = "from dockerfw.host.privileges import *; from dockerfw.host import privileges; drop_privileges()\n"
KEEP_NET = "from dockerfw.host.privileges import *; keep_only(NEEDED)\n"


def python(namespace: Namespace, code: str, *before: str) -> subprocess.CompletedProcess[bytes]:
    return namespace.run(
        *before, sys.executable, "-c", code, check=False, environment={"PYTHONPATH": str(ROOT)}
    )


def status(namespace: Namespace, code: str, *before: str) -> dict[str, frozenset[int]]:
    done = python(namespace, code + STATUS, *before)
    assert done.returncode == 0, done.stderr.decode()
    values: dict[str, str] = json.loads(done.stdout)
    return {name: frozenset(n for n in range(64) if int(mask, 16) >> n & 1) for name, mask in values.items()}


def user_namespaces_work(namespace: Namespace) -> bool:
    done = namespace.run(*AS_ORDINARY_USER, "ip", "link", "set", "lo", "up", check=False)
    return done.returncode == 0


def test_children_have_the_needed_capabilities_and_cannot_gain_more(namespace: Namespace) -> None:
    if not user_namespaces_work(namespace):
        pytest.skip("this machine allows no user namespaces")
    found = status(namespace, DROP)
    needed = {CAP_NET_ADMIN, CAP_NET_RAW}
    assert found["CapEff"] == found["CapPrm"] == found["CapBnd"] == needed
    assert found["CapAmb"] == found["CapInh"] == frozenset()
    assert found["NoNewPrivs"] == {0}


def test_a_bound_that_cannot_be_lowered_does_no_harm(namespace: Namespace) -> None:
    without = ("setpriv", "--bounding-set=-setpcap", "--")
    found = status(namespace, KEEP_NET, *without)
    assert found["CapEff"] == found["CapPrm"] == {CAP_NET_ADMIN, CAP_NET_RAW}
    assert CAP_SETPCAP not in found["CapBnd"]


def test_one_more_capability_is_kept_where_user_namespaces_are_forbidden(namespace: Namespace) -> None:
    forbid = DROP.replace("drop_", "privileges._user_namespace_works = lambda: False; drop_")
    found = status(namespace, forbid)
    assert found["CapEff"] == {CAP_NET_ADMIN, CAP_NET_RAW, CAP_SYS_ADMIN}


def test_an_ordinary_user_has_no_capabilities_to_drop(namespace: Namespace) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    code = KEEP_NET + "print(sorted(capabilities()), keep_only(NEEDED))"
    # Only root may be able to read the interpreter, so it drops its privileges itself.
    done = python(namespace, "import os; os.setgroups([]); os.setresgid(65534, 65534, 65534)\n" + code)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize(
    "attempt",
    [
        "open('{secret}').read()",
        "open('{directory}/new', 'w')",
        "import os; os.chown('{directory}', 1, 1)",
        "import os; os.setuid(12345)",
        "import os; os.mknod(f'{own}/{{os.getpid()}}', 0o20600, os.makedev(1, 3))",
        "import os; os.chroot('{own}')",
        "import os; os.kill({other}, 0)",
        "import subprocess; subprocess.run(['unshare', '--net', 'true'], check=True)",
        "import subprocess; subprocess.run(['unshare', '--mount', 'true'], check=True)",
        "import socket; socket.socket().bind(('127.0.0.1', 80))",
        "keep_only(frozenset({{CAP_SYS_ADMIN}})); assert CAP_SYS_ADMIN in capabilities()",
    ],
)
def test_the_root_worker_cannot_do_what_root_can(namespace: Namespace, tmp_path: Path, attempt: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has files that it must not touch")
    own, directory, secret = tmp_path / "own", tmp_path / "other", tmp_path / "secret"
    own.mkdir()
    directory.mkdir(mode=0o700)
    secret.write_text("secret")
    os.chown(directory, 65534, 65534)
    os.chown(secret, 65534, 65534)
    secret.chmod(0o600)
    other = subprocess.Popen(["sleep", "60"], user=65534, group=65534, extra_groups=[])
    try:
        code = attempt.format(secret=secret, directory=directory, own=own, other=other.pid)
        # It works as root, which shows that the dropped privilege matters.
        if "capabilities" not in attempt:
            assert python(namespace, code).returncode == 0
        done = python(namespace, KEEP_NET + code)
        assert done.returncode != 0
        words = (b"PermissionError", b"AssertionError", b"CalledProcessError")
        assert any(word in done.stderr for word in words), done.stderr.decode()
    finally:
        other.kill()
        other.wait(PATIENCE)


ORDER = """
import sys
from pathlib import Path
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import answer, document, order, run
state = StateDirectory(Path(sys.argv[1]))
outcome = run(order(document("22", "8080")), state)
print([step.name for step in outcome.steps if step.state == "done"], outcome.error)
print(answer("keep", state).state)
"""


def test_an_apply_works_with_the_remaining_capabilities(
    namespace: Namespace, backend: Backend, tmp_path: Path
) -> None:
    add_foreign(namespace, backend)
    done = namespace.run(
        *(sys.executable, "-c", DROP + ORDER, str(tmp_path / "state")),
        environment={"PYTHONPATH": str(ROOT)},
        timeout=60,
    )
    printed = done.stdout.decode()
    assert "'rehearse'" in printed, printed
    assert "'read-back'" in printed, printed
    assert printed.endswith("confirmed\n")
    assert all(any("8080" in line for line in lines) for lines in held(namespace, backend).values())
