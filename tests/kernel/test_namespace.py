"""The namespaces of the kernel tests: rules stay inside, and nothing is left behind."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rig.namespace import Backend, CommandError, Family, Namespace, join_namespaces

pytestmark = pytest.mark.kernel

RULES = "*filter\n:MINE - [0:0]\n-A MINE -p tcp -m tcp --dport 22 -j RETURN\nCOMMIT\n"


def test_rules_load_into_the_namespace_and_nowhere_else(
    make_namespace: Callable[..., Namespace], backend: Backend, family: Family
) -> None:
    one, other = make_namespace("one"), make_namespace("other")
    one.restore(RULES, backend, family)
    assert b"-A MINE -p tcp -m tcp --dport 22 -j RETURN\n" in one.save(backend, family)
    assert b"MINE" not in other.save(backend, family)
    assert os.readlink(one.path) != os.readlink("/proc/self/ns/net")


def test_a_failed_restore_raises_with_the_words_of_iptables(namespace: Namespace) -> None:
    with pytest.raises(CommandError, match="line: 2"):
        namespace.restore("*filter\n-A INPUT --no-such-option\nCOMMIT\n")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can join namespaces of different users")
def test_two_namespaces_are_joined(make_namespace: Callable[..., Namespace]) -> None:
    one, other = make_namespace("one"), make_namespace("other")
    join_namespaces(one, "left", other, "right")
    assert "left" in one.output("ip", "-br", "link")
    assert "right" in other.output("ip", "-br", "link")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can enter a namespace")
def test_a_thread_enters_and_leaves(namespace: Namespace) -> None:
    home = os.readlink("/proc/thread-self/ns/net")
    with namespace.entered():
        seen = subprocess.run(
            ["readlink", "/proc/self/ns/net"], capture_output=True, text=True, check=True
        ).stdout.strip()
    assert seen == os.readlink(namespace.path) != home
    assert os.readlink("/proc/thread-self/ns/net") == home


def test_a_deleted_namespace_leaves_nothing_behind() -> None:
    with Namespace("gone") as gone:
        process = gone.start("sleep", "60")
        pid, directory = gone.pid, gone.directory
    assert process.poll() is not None
    assert not Path(f"/proc/{pid}").exists()
    assert not directory.exists()
