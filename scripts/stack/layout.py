"""The folders of a run, and the environment of its processes.

The sandbox and --host have separate folders, so that a try in one never changes the other. If root starts
the run, both are in a folder of root's outside the clone. In it, what belongs to root is beside what belongs
to the web side, never inside it (see `ownership`).
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
from scripts.stack.key_files import LISTS_KEY, LISTS_SIGNER, SIGNER, SIGNING_KEY
from scripts.stack.made_up_docker import made_up_socket
from scripts.stack.options import Options
from scripts.stack.ownership import (
    WebUser,
    check_code,
    check_own,
    check_roots_own,
    hand_over,
    write_for,
)
from scripts.stack.redis_users import new_passwords, redis_url, root_user, users_acl
from scripts.stack.signing_keys import make_pair

ROOT = Path(__file__).resolve().parent.parent.parent
# sockaddr_un holds 108 bytes with the closing zero (unix(7)).
SOCKET_PATH_MAX = 107
# scripts/copy creates this account for web, clerk and Redis of a run that root starts.
ACCOUNT = "dockerfw"
# The data of runs that root starts.
ROOTS_DATA = Path("/var/lib/dockerfw-run")
# The root worker's folder with --host, the same as in deploy/'s units.
HOST_STATE = Path("/var/lib/dockerfw")
# Docker's socket. Only a root worker that manages the machine itself gets it; a sandbox has its own.
DOCKER_SOCKET = Path("/var/run/docker.sock")
_NO_ACCOUNT = (
    "web, clerk and Redis run as the account {account}, but it does not exist, or cannot run the code in"
    " {code} or reach {folder}. Run useradd --system --user-group {account} if it does not exist, start with"
    " sudo scripts/run --host, and let other users enter the folders above both: chmod go+x FOLDER."
)


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
        elif not options.host and user == self.root_user and (path := made_up_socket(self.state)):
            defaults["DOCKERFW_DOCKER_SOCKET"] = str(path)
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
            "DOCKERFW_LISTS_KEY_FILE": str(self.runtime / LISTS_KEY),
            "DOCKERFW_LISTS_SIGNER_FILE": str(self.state / LISTS_SIGNER),
        }

    def write_files(self, kind: str) -> None:
        """Write Redis' users, the keys for orders, and the file that scripts/firewall runs."""
        places = "".join(f"export {name}={shlex.quote(text)}\n" for name, text in self._places("web").items())
        # (A shell of root's runs this file.)
        code = f"code={shlex.quote(str(ROOT))}\n"
        write_for(None, self.folder / "environment", f"# {kind}\n{code}{places}")
        write_for(self.web_user, self.redis_acl, users_acl(self.passwords))
        pair = make_pair()
        write_for(self.web_user, self.signing_key, pair.private.decode())
        write_for(None, self.signer, pair.public.decode())
        lists = make_pair()
        write_for(self.web_user, self.runtime / LISTS_KEY, lists.private.decode())
        write_for(None, self.state / LISTS_SIGNER, lists.public.decode())


def prepare_layout(options: Options) -> Layout:
    """Create the folders and take the lock. Raises StackError if that is not possible."""
    kind = "host" if options.host else "sandbox"
    chosen = os.environ.get("DOCKERFW_DATA_DIR", "").strip()
    above = ROOTS_DATA if os.geteuid() == 0 else ROOT / "var"
    folder = Path(chosen).absolute() if chosen else above / kind
    data, logs = folder / "web", folder / "log"
    state = _state(options, folder)
    if options.host:
        check_code(ROOT)
        check_roots_own(folder, "DOCKERFW_DATA_DIR")
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
    if user is None and options.host:
        raise StackError(_NO_ACCOUNT.format(account=ACCOUNT, code=ROOT, folder=folder))
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
        check_roots_own(state, "DOCKERFW_STATE_DIR")
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
    for path in (layout.redis_socket, layout.redis_acl, layout.signing_key, layout.runtime / LISTS_KEY):
        path.unlink(missing_ok=True)
    if layout.runtime.parent != layout.folder:
        shutil.rmtree(layout.runtime.parent, ignore_errors=True)


def _web_user(folder: Path) -> WebUser | None:
    """Return the account for web, clerk and Redis if root started the run; None if it cannot run this code.

    It is never the caller of sudo or the owner of the clone: they can change the code of root's next run.
    """
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        return None
    user = WebUser(entry.pw_uid, entry.pw_gid, entry.pw_name)
    return user if user.uid and _is_able(user, folder) else None


def _is_able(user: WebUser, folder: Path) -> bool:
    """Return True if the user can run this code and reach the data."""
    probe = "import os, sys, django, dockerfw, rules; os.stat(sys.argv[1])"
    try:
        done = subprocess.run(
            [sys.executable, "-c", probe, str(folder)],
            cwd=ROOT,
            user=user.uid,
            group=user.gid,
            extra_groups=[],
            capture_output=True,
            check=False,
            timeout=30,
        )
    # That user may be unable to run an interpreter below /root.
    except PermissionError:
        return False
    return done.returncode == 0


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
