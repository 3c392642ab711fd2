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
from dataclasses import dataclass
from pathlib import Path

from scripts.stack.errors import StackError
from scripts.stack.options import Options

ROOT = Path(__file__).resolve().parent.parent.parent
# sockaddr_un holds 108 bytes with the closing zero (unix(7)).
SOCKET_PATH_MAX = 107


@dataclass(frozen=True, slots=True)
class WebUser:
    """The ordinary user that web, clerk and Redis run as when root started the run by sudo."""

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

    @property
    def redis_socket(self) -> Path:
        """The unix socket of this run's Redis."""
        return self.runtime / "redis.sock"

    @property
    def redis_url(self) -> str:
        """The same as a URL."""
        return f"unix://{self.redis_socket}"

    def environment(self, options: Options) -> dict[str, str]:
        """The variables for web, clerk and root worker; what the user set stays."""
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
        return {**defaults, **os.environ, **self._places, "PYTHONUNBUFFERED": "1"}

    @property
    def _places(self) -> dict[str, str]:
        return {
            "DOCKERFW_DATA_DIR": str(self.data),
            "DOCKERFW_STATE_DIR": str(self.state),
            "DOCKERFW_REDIS_URL": self.redis_url,
        }

    def write_environment(self) -> None:
        """Leave the places where scripts/firewall finds them."""
        lines = [f"export {name}={shlex.quote(value)}\n" for name, value in self._places.items()]
        (self.data / "environment").write_text("".join(lines))


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
    web_user = _web_user()
    layout = Layout(data, state, data / "log", _runtime(data), lock, web_user)
    layout.write_environment()
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
    if layout.runtime.parent != layout.data:
        shutil.rmtree(layout.runtime, ignore_errors=True)


def _web_user() -> WebUser | None:
    uid = int(os.environ.get("SUDO_UID", "0") or 0)
    if os.geteuid() != 0 or uid == 0:
        return None
    try:
        entry = pwd.getpwuid(uid)
        probe = subprocess.run(
            [sys.executable, "-c", "import django, rules"],
            cwd=ROOT,
            user=uid,
            group=entry.pw_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
            timeout=30,
        )
    # A clone below /root, say, is closed to that user: then all runs as root, which is said at the start.
    except (KeyError, PermissionError):
        return None
    return WebUser(uid, entry.pw_gid, entry.pw_name) if probe.returncode == 0 else None


def _hand_over(layout: Layout, user: WebUser) -> None:
    """Give the web side's files to its user; the state folder stays root's."""
    for path in (layout.data, layout.runtime, layout.logs, *layout.data.glob("*"), *layout.logs.glob("*")):
        if path != layout.state and path.name != "run.lock":
            os.chown(path, user.uid, user.gid, follow_symlinks=False)
