"""Where a run keeps its data, and the environment that its processes get.

The sandbox and --host have folders of their own, so that what was tried in one never reaches the other.
"""

from __future__ import annotations

import fcntl
import os
import pwd
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scripts.stack.errors import StackError
from scripts.stack.options import Options
from scripts.stack.redis_users import new_passwords, redis_url, root_user, users_acl, write_private

ROOT = Path(__file__).resolve().parent.parent.parent
# sockaddr_un holds 108 bytes with the closing zero (unix(7)).
SOCKET_PATH_MAX = 107
# Made by scripts/setup for a run that root started itself, not by sudo.
ACCOUNT = "dockerfw"
# Where Docker listens; only a root worker that manages the machine itself is given it.
DOCKER_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True, slots=True)
class WebUser:
    """The ordinary user that web, clerk and Redis run as when root started the run."""

    uid: int
    gid: int
    name: str


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one run. `lock` is the open file that keeps a second run away."""

    data: Path
    state: Path
    logs: Path
    runtime: Path
    lock: int
    web_user: WebUser | None
    host: str
    passwords: Mapping[str, str] = field(repr=False)

    @property
    def redis_socket(self) -> Path:
        """The unix socket of this run's Redis."""
        return self.runtime / "redis.sock"

    @property
    def redis_acl(self) -> Path:
        """The file of its users, with digests of their passwords."""
        return self.runtime / "users.acl"

    @property
    def root_user(self) -> str:
        """The Redis user of the root worker."""
        return root_user(self.host)

    def redis_url(self, user: str) -> str:
        """Return the address under which one user reaches Redis."""
        return redis_url(self.redis_socket, user, self.passwords[user])

    def environment(self, options: Options, user: str = "web") -> dict[str, str]:
        """Return the variables for the process that is this user in Redis; what somebody set stays."""
        names = [
            "localhost",
            "127.0.0.1",
            "[::1]",
            f"[{options.bind}]" if ":" in options.bind else options.bind,
        ]
        if options.bind in {"0.0.0.0", "::"}:  # noqa: S104
            # Reached by a name or address that cannot be known here; DOCKERFW_ALLOWED_HOSTS narrows it.
            names = ["*"]
        defaults = {
            "DOCKERFW_ALLOWED_HOSTS": ",".join(dict.fromkeys(names)),
            # Plain HTTP: browsers would not send back a cookie that is marked secure.
            "DOCKERFW_SECURE_COOKIES": "0",
        }
        if options.host and user == self.root_user and DOCKER_SOCKET.is_socket():
            defaults["DOCKERFW_DOCKER_SOCKET"] = str(DOCKER_SOCKET)
        return {**defaults, **os.environ, **self._places(user), "PYTHONUNBUFFERED": "1"}

    def _places(self, user: str) -> dict[str, str]:
        return {
            "DOCKERFW_DATA_DIR": str(self.data),
            "DOCKERFW_STATE_DIR": str(self.state),
            "DOCKERFW_REDIS_URL": self.redis_url(user),
        }

    def write_files(self, kind: str) -> None:
        """Leave Redis its users, and scripts/firewall the places where it finds everything."""
        lines = [f"# {kind}\n"]
        lines += [f"export {name}={shlex.quote(value)}\n" for name, value in self._places("web").items()]
        write_private(self.data / "environment", "".join(lines))
        write_private(self.redis_acl, users_acl(self.passwords))


def prepare_layout(options: Options) -> Layout:
    """Make the folders and take the lock; StackError when another run holds it or root owns the folder."""
    kind = "host" if options.host else "sandbox"
    chosen = os.environ.get("DOCKERFW_DATA_DIR", "").strip()
    data = Path(chosen).absolute() if chosen else ROOT / "var" / kind
    state = Path(os.environ.get("DOCKERFW_STATE_DIR", "").strip() or data / "state").absolute()
    try:
        for folder in (data, data / "log", data / "run"):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _take_lock(data)
    except PermissionError as error:
        raise StackError(
            f"cannot write {error.filename}: it belongs to another user. Run as that user, "
            "or choose another folder with DOCKERFW_DATA_DIR."
        ) from error
    host = os.environ.get("DOCKERFW_HOST", "").strip() or "local"
    web_user = _web_user(data)
    layout = Layout(
        data, state, data / "log", _runtime(data), lock, web_user, host, passwords=new_passwords([host])
    )
    layout.write_files(kind)
    if web_user is not None:
        _hand_over(layout, web_user)
    return layout


def _take_lock(data: Path) -> int:
    lock = os.open(data / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode("ascii", "replace").strip()
        raise StackError(f"dockerfw is already running with the data in {data} (process {holder}).") from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _runtime(data: Path) -> Path:
    folder = data / "run"
    if len(bytes(folder / "redis.sock")) <= SOCKET_PATH_MAX:
        return folder
    return Path(tempfile.mkdtemp(prefix="dockerfw-"))


def remove_runtime(layout: Layout) -> None:
    """Remove the socket, and the folder that only lives as long as the run."""
    layout.redis_socket.unlink(missing_ok=True)
    layout.redis_acl.unlink(missing_ok=True)
    if layout.runtime.parent != layout.data:
        shutil.rmtree(layout.runtime, ignore_errors=True)


def _web_user(data: Path) -> WebUser | None:
    """Choose who web, clerk and Redis run as: the caller of sudo, the owner of the clone, or the account."""
    if os.geteuid() != 0:
        return None
    for uid in (int(os.environ.get("SUDO_UID", "0") or 0), ROOT.stat().st_uid, _account()):
        if uid and (user := _able_user(uid, data)):
            return user
    # A clone below /root, say, is closed to everybody else, and so may be the place of the data.
    return None


def _account() -> int:
    try:
        return pwd.getpwnam(ACCOUNT).pw_uid
    except KeyError:
        return 0


def _able_user(uid: int, data: Path) -> WebUser | None:
    """Return the user when it can run what lies here and come to the data."""
    try:
        entry = pwd.getpwuid(uid)
        probe = subprocess.run(
            [sys.executable, "-c", "import os, sys, django, rules; os.stat(sys.argv[1])", str(data)],
            cwd=ROOT,
            user=uid,
            group=entry.pw_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
            timeout=30,
        )
    # The interpreter itself may be closed to that user, when it lies below /root.
    except (KeyError, PermissionError):
        return None
    return WebUser(uid, entry.pw_gid, entry.pw_name) if probe.returncode == 0 else None


def _hand_over(layout: Layout, user: WebUser) -> None:
    """Give the web side's files to its user; the state folder stays root's.

    The root worker gives up its right to pass everywhere, so it comes to the socket and to its state folder
    as a member of the user's group.
    """
    folders = (layout.data, layout.runtime, layout.logs)
    for path in (*folders, *(path for folder in folders for path in folder.glob("*"))):
        if path != layout.state and path.name != "run.lock":
            os.chown(path, user.uid, user.gid, follow_symlinks=False)
    for folder in (layout.data, layout.runtime):
        folder.chmod(0o710)
