"""Trees of other Debian and Ubuntu releases: built once by debootstrap, and used without changing them.

A finished tree is never written to. Each user works on an overlay, which disappears with its mounts when the
user's first process ends. Nothing of this machine's own system is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import select
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.rig.cache import cache_folder

CACHE = cache_folder("trees")
SECONDS = 1800.0
# Given in full: debootstrap knows no release younger than itself, and all of Ubuntu's are built alike.
_UBUNTU = ("http://archive.ubuntu.com/ubuntu", "/usr/share/debootstrap/scripts/gutsy")
_UBUNTU_SUITES = ("focal", "jammy", "noble", "noble-updates")
_NEEDED = {"debootstrap": "debootstrap", "unshare": "util-linux", "nsenter": "util-linux"}
# Mounts that a build makes, such as /proc, end with it however it ends.
_ALONE = ("unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc")

# In a mount namespace of its own: $1 the tree, $2 a folder for the view, then pairs of folders to bind.
_ENTER = """
set -eu
tree=$1 scratch=$2 root=$2/root
shift 2
mount -t overlay overlay -o "lowerdir=$tree,upperdir=$scratch/upper,workdir=$scratch/work" "$root"
mount -t proc proc "$root/proc"
mount --rbind /sys "$root/sys"
mount --rbind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/run"
while [ $# -gt 0 ]; do
    mkdir -p "$root$2"
    mount --bind "$1" "$root$2"
    shift 2
done
mkdir -p "$root/.outside"
cd "$root"
pivot_root . .outside
exec chroot . /bin/sh -euc "umount -l /.outside; rmdir /.outside; echo ready; while sleep 1; do :; done"
"""
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class TreeError(Exception):
    """A tree could not be built or entered; the text says why."""


def why_unavailable() -> str:
    """Return why no tree can be built and entered here, or "" when one can."""
    if os.geteuid() != 0:
        return "a tree of another release needs root"
    missing = sorted({package for command, package in _NEEDED.items() if not shutil.which(command)})
    return f"not installed: {', '.join(missing)} (Debian packages)" if missing else ""


def tree(
    suite: str,
    packages: Iterable[str] = (),
    *,
    prepare: Callable[[Path], None] | None = None,
    salt: str = "",
    cache: Path = CACHE,
) -> Path:
    """Return the folder of this release with these packages, built now unless it is there. Raises TreeError.

    `prepare` gets the folder of a new tree before it counts as finished; what it does has to be told by
    `salt`, since a tree is found again by suite, packages and salt. Two that ask at once build it once. The
    folder is for reading, by `entered` or a copy.
    """
    wanted = tuple(sorted(set(packages)))
    stamp = hashlib.sha256("\0".join([suite, salt, *wanted]).encode()).hexdigest()[:12]
    folder = cache / f"{suite}-{stamp}"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            print(f"Building {folder}; the next run finds it there.", flush=True)
            draft = cache / f"{folder.name}.draft"
            # What a build that was killed half way has left.
            shutil.rmtree(draft, ignore_errors=True)
            try:
                _build(draft, suite, wanted)
                if prepare is not None:
                    prepare(draft)
                draft.rename(folder)
            finally:
                shutil.rmtree(draft, ignore_errors=True)
    return folder


def _build(folder: Path, suite: str, packages: tuple[str, ...]) -> None:
    options = [f"--include={','.join(packages)}"] if packages else []
    source: tuple[str, ...] = ()
    if suite in _UBUNTU_SUITES:
        # Docker and Redis are in "universe" there.
        options.append("--components=main,universe")
        source = _UBUNTU
        release, _, pocket = suite.partition("-")
        if pocket:
            # The first suite that has a package is the one it comes from.
            options.append(f"--extra-suites={release}")
    done = subprocess.run(
        [*_ALONE, "--", "debootstrap", "--variant=minbase", *options, suite, str(folder), *source],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=SECONDS,
        check=False,
    )
    if done.returncode != 0:
        log = folder / "debootstrap" / "debootstrap.log"
        logged = log.read_text(errors="replace") if log.exists() else ""
        said = "\n".join((logged + done.stdout + done.stderr).splitlines()[-20:])
        raise TreeError(f"debootstrap {suite} failed with status {done.returncode}:\n{said}")
    # Packages' archives, which are not needed again.
    shutil.rmtree(folder / "var/cache/apt/archives", ignore_errors=True)


@dataclass(frozen=True, slots=True)
class Inside:
    """A view of a tree, held open by its first process."""

    pid: int
    own_network: bool = False

    @property
    def root(self) -> Path:
        """The view's root folder as this process sees it."""
        return Path(f"/proc/{self.pid}/root")

    @property
    def prefix(self) -> tuple[str, ...]:
        """The words to put before a command so that it runs inside.

        Its network stays the caller's, unless the view was given one.
        """
        network = ("--net",) if self.own_network else ()
        return ("nsenter", f"--target={self.pid}", "--mount", "--pid", *network, "--")

    def run(
        self, *command: str, stdin: str = "", seconds: float = 60, check: bool = True
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside. Raises TreeError; with `check` also when it fails."""
        return run_inside(
            self.prefix, command, stdin=stdin, seconds=seconds, check=check, fails_with=TreeError
        )


def run_inside(
    prefix: Sequence[str],
    command: Sequence[str],
    *,
    stdin: str,
    seconds: float,
    check: bool,
    fails_with: type[Exception],
) -> subprocess.CompletedProcess[str]:
    """Run a command behind a prefix that goes inside, with an environment of its own.

    Raises `fails_with` when it takes longer; with `check` also when it fails.
    """
    shown = " ".join(command)[:300]
    clean = ("env", "-i", f"PATH={_PATH}", "LC_ALL=C.UTF-8")
    try:
        done = subprocess.run(
            [*prefix, *clean, *command],
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise fails_with(f"{shown}: not done within {seconds:.0f} s") from error
    if check and done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).strip().splitlines()[-25:])
        raise fails_with(f"{shown}: status {done.returncode}\n{said}")
    return done


@contextlib.contextmanager
def entered(
    folder: Path, *, binds: Mapping[str, Path] | None = None, network: str | None = None
) -> Iterator[Inside]:
    """Show a tree in mount and process namespaces of its own, for a `with` block. Raises TreeError.

    What is written inside is gone afterwards, except below `binds`, which are folders of this machine under
    their names inside. `network` is a network namespace, as a file, in which all that runs inside is.
    """
    with contextlib.ExitStack() as stack:
        scratch = Path(tempfile.mkdtemp(prefix="dockerfw-tree-"))
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        for name in ("upper", "work", "root"):
            (scratch / name).mkdir()
        (scratch / "upper").chmod(0o755)
        pairs = [word for inside, outside in (binds or {}).items() for word in (str(outside), inside)]
        flags = ("--mount", "--propagation", "private", "--pid", "--fork", "--kill-child")
        # Whatever becomes of this process, the view ends with it.
        words = ["setpriv", "--pdeathsig", "KILL", "--", "unshare", *flags, "sh", "-c", _ENTER, "sh"]
        into = ["nsenter", f"--net={network}", "--"] if network else []
        outer = subprocess.Popen(
            [*into, *words, str(folder.resolve()), str(scratch), *pairs],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={"PATH": _PATH, "LC_ALL": "C"},
            start_new_session=True,
        )
        stack.callback(_reap, outer)
        assert outer.stdout is not None
        assert outer.stderr is not None
        if outer.stdout.readline() != "ready\n":
            outer.kill()
            raise TreeError(f"{folder} cannot be entered: {outer.stderr.read().strip()}")
        first = int(Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split()[0])
        handle = os.pidfd_open(first)
        stack.callback(os.close, handle)
        stack.callback(_end, handle)
        yield Inside(first, own_network=network is not None)


def _end(first: int) -> None:
    """End the view's first process, and wait: it is not gone before all others there and its mounts are."""
    with contextlib.suppress(ProcessLookupError):
        signal.pidfd_send_signal(first, signal.SIGKILL)
    select.select([first], [], [], 10)


def _reap(outer: subprocess.Popen[str]) -> None:
    outer.kill()
    outer.communicate()
