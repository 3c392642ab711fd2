"""Replace the installed code by the prepared code: `python -m scripts.installation.install`, in the new code.

Nothing of the old installation changes before the web pages, the clerk and the root worker have stopped. From
then on each step registers how to undo it, and the last step is the migration. If a step fails, all of them
are undone and the previous version starts again. No step changes the kernel's rules.
"""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

from scripts.installation import files, settings, systemd
from scripts.installation.health import address
from scripts.installation.managing import manage, python
from scripts.installation.places import (
    CLERK,
    CLONE,
    CODE,
    COMMAND,
    DATA,
    GROUP,
    HOST,
    MARK,
    NEW,
    REDIS,
    REDIS_DROP_IN,
    REDIS_USER,
    ROOT_DROP_IN,
    ROOT_WORKER,
    SERVICES,
    SETTINGS,
    UNFINISHED,
    UNIT_FOLDER,
    UNITS,
    WEB,
    WEB_USER,
    window_is_open,
)
from scripts.installation.systemd import InstallationError
from scripts.stack.errors import StackError
from scripts.stack.key_files import LISTS_KEY, LISTS_SIGNER, SIGNER, SIGNING_KEY
from scripts.stack.redis_server import find_server
from scripts.stack.redis_users import HOST_NAME
from scripts.stack.redis_users import main as make_redis_users
from scripts.stack.signing_keys import keep_pair

# (Each list is empty first: host.env stays the last, whose word counts.)
HOST_DROP_IN = """\
# Made by scripts/install: host.env gives this host a name of its own.
[Service]
EnvironmentFile=
EnvironmentFile=-/etc/dockerfw/root-{host}.env
EnvironmentFile=-/etc/dockerfw/host.env
"""
DISTRIBUTIONS_REDIS = "/usr/bin/redis-server"
DROP_IN = """\
# Made by scripts/install: no Redis of this host's own is new enough.
[Service]
Type=exec
ExecStart=
ExecStart={server} /etc/dockerfw/redis.conf
"""
OPEN_WINDOW = (
    "an apply is loading or waits for confirmation. Finish it with dockerfw confirm or dockerfw cancel, then"
    " start again. Nothing was changed."
)


def main() -> int:
    """Install the code; 0 when it is ready to start, 1 when not."""
    # SIGTERM undoes the steps, like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        _check()
        _put_in()
    except KeyboardInterrupt:
        print("dockerfw: stopped by a signal.", file=sys.stderr)
        return 1
    except (InstallationError, StackError) as error:
        print(f"dockerfw: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"dockerfw: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0


def _check() -> None:
    """Check that the installation can succeed, before anything changes. Raises InstallationError."""
    if not HOST_NAME.fullmatch(host := settings.host_name()):
        raise InstallationError(
            f"DOCKERFW_HOST is {host!r} in {SETTINGS}/host.env: a name has 1 to 50 lower-case letters, digits"
            " and hyphens."
        )
    if window_is_open():
        raise InstallationError(OPEN_WINDOW)
    if CODE.exists() and not (CODE / MARK).exists() and CLONE.exists():
        raise InstallationError(
            f"scripts/install did not create {CODE} and would move it to {CLONE}, which exists too."
            " Move one of them away."
        )
    if not systemd.active([WEB]):
        with contextlib.closing(socket.socket()) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address())
            except OSError as error:
                name, port = address()
                raise InstallationError(
                    f"the web pages cannot listen on {name} port {port} ({error.strerror})."
                    " Stop the program that uses the port."
                ) from error
    # Let the new code check the existing settings.
    with contextlib.ExitStack() as stack:
        data = NEW / ".check"
        data.mkdir()
        stack.callback(shutil.rmtree, data)
        variables = {**settings.web_environment(), "DOCKERFW_DATA_DIR": str(data)}
        manage(NEW, "check", variables=variables, user=None)


def _put_in() -> None:
    """Do every step or none. Raises InstallationError, StackError and OSError."""
    with contextlib.ExitStack() as ways_back:
        running = systemd.active(SERVICES)
        ways_back.callback(_go_on, running)
        # (While the code still lies where this process has it from.)
        server = find_server()
        systemd.run("systemd-sysusers", str(NEW / "deploy" / "sysusers.conf"))
        if running:
            _say("Stopping the installed version. The kernel's rules do not change.")
        systemd.stop(WEB, CLERK, ROOT_WORKER)
        # An order may have come in at the last moment.
        if window_is_open():
            raise InstallationError(OPEN_WINDOW)
        _prepare_data()
        _database("copy")
        ways_back.callback(_database, "back")
        before = _redis_state()
        remembered = files.remember(_written_files())
        ways_back.callback(_put_files_back, remembered, before)
        _make_settings()
        _take_the_place(ways_back)
        _put_units(server)
        if REDIS in running and _redis_state() != before:
            systemd.systemctl("restart", REDIS)
        manage(CODE, "migrate", "--skip-checks", "--verbosity", "0")
        ways_back.pop_all()
    (CODE / UNFINISHED).unlink(missing_ok=True)
    _database("forget")
    _put_old_code_away()


def _go_on(running: list[str]) -> None:
    """Start the previous version again."""
    if running:
        systemd.systemctl("start", *running)
        _say("Nothing was changed. The previous version runs again.")


def _prepare_data() -> None:
    """Create the data directory, or give it back to its user after an uninstallation that kept the data."""
    user = pwd.getpwnam(WEB_USER)
    DATA.mkdir(mode=0o700, exist_ok=True)
    if DATA.stat().st_uid == 0:
        files.give(DATA, user.pw_uid, user.pw_gid)
    DATA.chmod(0o700)


def _make_settings() -> None:
    SETTINGS.mkdir(mode=0o755, exist_ok=True)
    settings.make_missing()
    shipped, used = NEW / "deploy" / "redis" / "redis.conf", SETTINGS / "redis.conf"
    former = CODE / "deploy" / "redis" / "redis.conf"
    if not used.exists() or not former.exists() or used.read_bytes() == former.read_bytes():
        files.write(used, shipped.read_bytes())
    elif shipped.read_bytes() != former.read_bytes():
        _say(f"{used} has manual changes and is not replaced. The new one is {CODE}/deploy/redis/redis.conf.")
    host, shown = settings.host_name(), settings.web_environment().get("DOCKERFW_HOST") or HOST
    if host != shown:
        _say(f"The web pages show {shown}, but this host is {host}. Set DOCKERFW_HOST={host} in site.env.")
    with contextlib.redirect_stdout(None):
        if make_redis_users([str(SETTINGS), host]) != 0:
            raise InstallationError("the Redis users could not be written")
    os.chown(SETTINGS / "users.acl", pwd.getpwnam(REDIS_USER).pw_uid, grp.getgrnam(GROUP).gr_gid)
    _make_signing_keys()


def _make_signing_keys() -> None:
    """Write the pairs of keys for orders and for lists; existing keys stay. Raises OSError."""
    user = pwd.getpwnam(WEB_USER)
    for private, public in ((SIGNING_KEY, SIGNER), (LISTS_KEY, LISTS_SIGNER)):
        pair = keep_pair(SETTINGS / private)
        files.write(SETTINGS / private, pair.private, mode=0o600, uid=user.pw_uid, gid=user.pw_gid)
        files.write(SETTINGS / public, pair.public)


def _take_the_place(ways_back: contextlib.ExitStack) -> None:
    """Move the new code to its place; the old code, if any, takes the new code's path."""
    (NEW / MARK).touch()
    if CODE.exists():
        files.exchange(NEW, CODE)
        ways_back.callback(files.exchange, NEW, CODE)
    else:
        NEW.rename(CODE)
        ways_back.callback(CODE.rename, NEW)


def _put_units(server: str) -> None:
    for unit in UNITS:
        files.write(UNIT_FOLDER / unit, (CODE / "deploy" / unit).read_bytes())
    if server == DISTRIBUTIONS_REDIS:
        files.remove(REDIS_DROP_IN)
    else:
        text = DROP_IN.format(server=server.replace(str(NEW), str(CODE)))
        files.write(REDIS_DROP_IN, text.encode())
    host = settings.host_name()
    if host == HOST:
        files.remove(ROOT_DROP_IN)
    else:
        files.write(ROOT_DROP_IN, HOST_DROP_IN.format(host=host).encode())
    files.write(COMMAND, (CODE / "deploy" / "dockerfw").read_bytes(), mode=0o755)
    systemd.systemctl("daemon-reload")


def _written_files() -> Iterator[Path]:
    """Yield every file outside the code that an upgrade may change."""
    yield from (UNIT_FOLDER / unit for unit in UNITS)
    yield from (REDIS_DROP_IN, ROOT_DROP_IN, COMMAND)
    if SETTINGS.exists():
        yield from (path for path in SETTINGS.iterdir() if path.is_file())


def _put_files_back(remembered: list[files.Former], before: list[files.Former]) -> None:
    changed = _redis_state() != before
    for former in remembered:
        former.restore()
    systemd.systemctl("daemon-reload")
    if changed and systemd.active([REDIS]):
        systemd.systemctl("restart", REDIS)


def _redis_state() -> list[files.Former]:
    """Return the files that Redis has to be restarted for when they change."""
    paths = [SETTINGS / "redis.conf", SETTINGS / "users.acl", UNIT_FOLDER / REDIS, REDIS_DROP_IN]
    return files.remember(paths)


def _put_old_code_away() -> None:
    if not NEW.exists():
        return
    if (NEW / MARK).exists():
        shutil.rmtree(NEW)
    else:
        NEW.rename(CLONE)
        _say(f"The clone from {CODE} is now in {CLONE}. dockerfw no longer uses it.")


def _say(sentence: str) -> None:
    # A closed terminal must not stop the installation.
    with contextlib.suppress(OSError):
        print(sentence, flush=True)


def _database(step: str) -> None:
    code = NEW if (NEW / "scripts" / "installation" / "database.py").exists() else CODE
    python(code, "-m", "scripts.installation.database", step)


if __name__ == "__main__":
    sys.exit(main())
