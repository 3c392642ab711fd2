"""A tree is entered without being changed and leaves nothing behind; what failed to build is not there."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from tests.rig.docker_host import BUSYBOX
from tests.rig.namespace import Namespace
from tests.rig.trees import Inside, TreeError, entered, tree, why_unavailable

pytestmark = pytest.mark.kernel

APPLETS = (
    *("sh", "umount", "rmdir", "sleep"),
    *("cat", "echo", "mkdir", "ls", "env", "touch", "readlink"),
)


@pytest.fixture(autouse=True)
def _possible() -> None:
    reason = why_unavailable() or ("" if BUSYBOX.exists() else f"{BUSYBOX} is not there")
    if reason:
        pytest.skip(f"no tree: {reason}")


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """A tree that needs no network to build: busybox under a few names."""
    root = tmp_path / "small"
    for name in ("bin", "dev", "etc", "proc", "run", "sys", "usr/sbin"):
        (root / name).mkdir(parents=True)
    shutil.copy2(BUSYBOX, root / "bin" / "busybox")
    for applet in APPLETS:
        (root / "bin" / applet).symlink_to("busybox")
    (root / "usr/sbin/chroot").symlink_to("/bin/busybox")
    (root / "etc/name").write_text("small\n")
    return root


def _mounted() -> list[str]:
    return [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]


def test_what_is_written_inside_is_gone_afterwards(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "shared").mkdir()
    (tmp_path / "views").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "views"))
    before = _mounted()
    with entered(small, binds={"/srv/shared": tmp_path / "shared"}) as inside:
        assert inside.run("cat", "/etc/name").stdout == "small\n"
        inside.run("sh", "-c", "echo other >/etc/name; touch /run/lock /etc/new; echo hi >/srv/shared/word")
        assert (inside.root / "etc/name").read_text() == "other\n"
        assert _mounted() == before
    assert (small / "etc/name").read_text() == "small\n"
    assert not (small / "etc/new").exists()
    assert (tmp_path / "shared/word").read_text() == "hi\n"
    assert _mounted() == before
    assert list((tmp_path / "views").iterdir()) == []


def test_nothing_outlives_the_view(small: Path) -> None:
    with entered(small) as inside:
        inside.run("sh", "-c", "sleep 1000 >/dev/null 2>&1 &")
        first = inside.pid
        assert len(inside.run("sh", "-c", "echo /proc/[0-9]*").stdout.split()) >= 3
    assert not Path(f"/proc/{first}").exists()


def test_what_runs_inside_is_in_the_network_that_the_view_was_given(small: Path) -> None:
    def network(view: Inside) -> str:
        return view.run("readlink", "/proc/self/ns/net").stdout.strip()

    with Namespace() as space:
        there = space.output("readlink", "/proc/self/ns/net").strip()
        with entered(small, network=space.path) as inside:
            assert network(inside) == there
    with entered(small) as inside:
        assert network(inside) == os.readlink("/proc/self/ns/net") != there


def test_a_failing_command_is_told_with_its_words(small: Path) -> None:
    with entered(small) as inside, pytest.raises(TreeError, match="cat /nowhere: status 1\ncat: can't open"):
        inside.run("cat", "/nowhere")


def test_what_cannot_be_entered_is_named(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match="nowhere cannot be entered: "), entered(tmp_path / "nowhere"):
        pass


def test_a_failed_build_leaves_no_tree(tmp_path: Path) -> None:
    with pytest.raises(TreeError, match=r"debootstrap nosuch failed with status 1:\n.*nosuch"):
        tree("nosuch", cache=tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []
