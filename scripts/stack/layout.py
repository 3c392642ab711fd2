"""The folders of a run, and the environment of its processes.

The sandbox and --host have separate folders, so that a try in one never changes the other. If root starts the
run, root's folders are beside those of the web side, never inside them (see `ownership`).
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
from scripts.stack.ownership import WebUser, check_own, check_roots_own, hand_over, write_for
from scripts.stack.redis_users import new_passwords, redis_url, root_user, users_acl
from scripts.stack.signing_keys import SIGNER, SIGNING_KEY, make_pair

ROOT = Path(__file__).resolve().parent.parent.parent
# sockaddr_un holds 108 bytes with the closing zero (unix(7)).
SOCKET_PATH_MAX = 107
# scripts/setup creates this account for a run that root starts directly, without sudo.
ACCOUNT = "dockerfw"
# The root worker's folder with --host, the same as in deploy/'s units.
HOST_STATE = Path("/var/lib/dockerfw")
# Docker's socket. Only a root worker that manages the machine itself gets it.
DOCKER_SOCKET = Path("/var/run/docker.sock")


@dataclass(frozen=True, slots=True)
class Layout:
    """The folders of one run. `lock` is the open file that keeps a second run away.

    `folder` belongs to the user who starts the run, but `data` and `runtime` in it belong to the web user.
    """

    folder: Path
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
        """The file of Redis' users, with digests of their passwords."""
        return self.runtime / "users.acl"

    @property
    def signing_key(self) -> Path:
        """The file of the key that the web pages sign orders with; a new one for each run."""
        return self.runtime / SIGNING_KEY

    @property
    def signer(self) -> Path:
        """The file of the public key that the root worker trusts, in its own folder."""
        return self.state / SIGNER

    @property
    def root_user(self) -> str:
        """The Redis user of the root worker."""
        return root_user(self.host)

    def redis_url(self, user: str) -> str:
        """Return the URL of Redis for one user."""
        return redis_url(self.redis_socket, user, self.passwords[user])

    def environment(self, options: Options, user: str = "web") -> dict[str, str]:
        """Return the variables of the process that uses this Redis user; variables already set stay."""
        names = [
            "localhost",
            "127.0.0.1",
            "[::1]",
            f"[{options.bind}]" if ":" in options.bind else options.bind,
        ]
        if options.bind in {"0.0.0.0", "::"}:  # noqa: S104
            # The host names of requests are unknown here. DOCKERFW_ALLOWED_HOSTS limits them.
            names = ["*"]
        defaults = {
            "DOCKERFW_ALLOWED_HOSTS": ",".join(dict.fromkeys(names)),
            # Browsers do not send secure cookies over plain HTTP.
            "DOCKERFW_SECURE_COOKIES": "0",
            "DOCKERFW_COMMAND": "scripts/firewall",
        }
        if options.host and user == self.root_user and DOCKER_SOCKET.is_socket():
            defaults["DOCKERFW_DOCKER_SOCKET"] = str(DOCKER_SOCKET)
        return {**defaults, **os.environ, **self._places(user), "PYTHONUNBUFFERED": "1"}

    def _places(self, user: str) -> dict[str, str]:
        return {
            "DOCKERFW_DATA_DIR": str(self.data),
            "DOCKERFW_STATE_DIR": str(self.state),
            # A run has no settings files. Its backup must not include those of another installation.
            "DOCKERFW_SETTINGS_DIR": str(self.folder / "settings"),
            "DOCKERFW_REDIS_URL": self.redis_url(user),
            "DOCKERFW_SIGNING_KEY_FILE": str(self.signing_key),
            "DOCKERFW_SIGNER_FILE": str(self.signer),
        }

    def write_files(self, kind: str) -> None:
        """Write Redis' users, the keys for orders, and the environment file that scripts/firewall reads."""
        places = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in self._places("web").items())
        # Root runs the content of this file, so root has its own.
        write_for(None, self.folder / "environment", f"# {kind}\n{places}")
        if self.web_user is not None:
            write_for(self.web_user, self.data / "environment", f"# {kind}\n{places}")
        write_for(self.web_user, self.redis_acl, users_acl(self.passwords))
        pair = make_pair()
        write_for(self.web_user, self.signing_key, pair.private.decode())
        write_for(None, self.signer, pair.public.decode())


def prepare_layout(options: Options) -> Layout:
    """Create the folders and take the lock. Raises StackError if that is not possible."""
    kind = "host" if options.host else "sandbox"
    chosen = os.environ.get("DOCKERFW_DATA_DIR", "").strip()
    folder = Path(chosen).absolute() if chosen else ROOT / "var" / kind
    data, logs = folder / "web", folder / "log"
    state = _state(options, folder)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        check_own(folder)
        for path in (data, logs, folder / "run", state):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = _take_lock(folder)
    except PermissionError as error:
        raise StackError(
            f"cannot write {error.filename}: it belongs to another user. Run as that user, "
            "or choose another folder with DOCKERFW_DATA_DIR."
        ) from error
    host = os.environ.get("DOCKERFW_HOST", "").strip() or "local"
    user = _web_user(folder)
    layout = Layout(
        folder, data, state, logs, _runtime(folder), lock, user, host, passwords=new_passwords([host])
    )
    if user is not None:
        _give_web_folders(layout, user)
    layout.write_files(kind)
    return layout


def _state(options: Options, folder: Path) -> Path:
    """Return the root worker's folder; with --host only root may be able to change it."""
    chosen = os.environ.get("DOCKERFW_STATE_DIR", "").strip()
    state = Path(chosen).absolute() if chosen else HOST_STATE if options.host else folder / "state"
    if options.host:
        check_roots_own(state)
    return state


def _take_lock(folder: Path) -> int:
    lock = os.open(folder / "run.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 20).decode("ascii", "replace").strip()
        raise StackError(
            f"dockerfw is already running with the data in {folder} (process {holder})."
        ) from None
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())
    return lock


def _runtime(folder: Path) -> Path:
    runtime = folder / "run"
    if len(bytes(runtime / "redis.sock")) <= SOCKET_PATH_MAX:
        return runtime
    # A folder directly in /tmp could be replaced by its owner.
    above = Path(tempfile.mkdtemp(prefix="dockerfw-"))
    above.chmod(0o711)
    (above / "run").mkdir(mode=0o700)
    return above / "run"


def remove_runtime(layout: Layout) -> None:
    """Remove the socket, the users' file, the key for orders, and a temporary folder of this run."""
    for path in (layout.redis_socket, layout.redis_acl, layout.signing_key):
        path.unlink(missing_ok=True)
    if layout.runtime.parent != layout.folder:
        shutil.rmtree(layout.runtime.parent, ignore_errors=True)


def _web_user(folder: Path) -> WebUser | None:
    """Return the user of web, clerk and Redis: sudo's caller, the owner of the clone, or the account."""
    if os.geteuid() != 0:
        return None
    for uid in (int(os.environ.get("SUDO_UID", "0") or 0), ROOT.stat().st_uid, _account()):
        if uid and (user := _able_user(uid, folder)):
            return user
    # Other users cannot read a clone below /root, for example, and perhaps not the data's folder either.
    return None


def _account() -> int:
    try:
        return pwd.getpwnam(ACCOUNT).pw_uid
    except KeyError:
        return 0


def _able_user(uid: int, folder: Path) -> WebUser | None:
    """Return the user if it can run this code and reach the data, else None."""
    try:
        entry = pwd.getpwuid(uid)
        probe = subprocess.run(
            [
                sys.executable,
                "-c",
                "import os, sys, django, dockerfw, rules; os.stat(sys.argv[1])",
                str(folder),
            ],
            cwd=ROOT,
            user=uid,
            group=entry.pw_gid,
            extra_groups=[],
            capture_output=True,
            check=False,
            timeout=30,
        )
    # That user may be unable to run an interpreter below /root.
    except (KeyError, PermissionError):
        return None
    return WebUser(uid, entry.pw_gid, entry.pw_name) if probe.returncode == 0 else None


def _give_web_folders(layout: Layout, user: WebUser) -> None:
    """Give the web side's folders to its user, and make them reachable; all other folders stay root's.

    The root worker drops its capability to bypass file modes, so it uses the socket as a member of the user's
    group.
    """
    hand_over(layout.data, user, mode=0o700)
    hand_over(layout.runtime, user, mode=0o710)
    for path, mode in ((layout.folder, 0o710), (layout.logs, 0o750)):
        os.chown(path, 0, user.gid)
        path.chmod(mode)
