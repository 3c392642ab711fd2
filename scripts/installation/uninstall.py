"""Take out what scripts/install put in: `python -m scripts.installation.uninstall [--purge] [--chains]`.

Owns the order: the services, the chains when asked, then everything else. What is not there is no error, so
that it can be called again after it was cut off. Runs with any Python 3.10 or later, out of any copy of the
code.
"""

from __future__ import annotations

import grp
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

from scripts.installation import files, settings, systemd
from scripts.installation.places import (
    ACCOUNTS_FILE,
    CLERK,
    CLONE,
    CODE,
    COMMAND,
    DATA,
    GROUP,
    NEW,
    REDIS_DROP_IN,
    REDIS_USER,
    ROOT_DROP_IN,
    ROOT_WORKER,
    RUNTIME,
    SETTINGS,
    STATE,
    UNIT_FOLDER,
    UNITS,
    WEB,
    WEB_USER,
    window_is_open,
)
from scripts.installation.systemd import InstallationError

# Accounts from here on are people's.
PEOPLE = 1000
ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    """Take it out; 0 when done or when there was nothing, 1 when it could not be done."""
    purge, chains = "--purge" in arguments, "--chains" in arguments
    try:
        if not _present(purge=purge) and not (chains and _loaded()):
            print("There is nothing of dockerfw here to take out.")
            _say_what_is_left(())
            return 0
        left = _take_out(purge=purge, chains=chains)
    except InstallationError as error:
        print(f"dockerfw: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"dockerfw: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    print("dockerfw is taken out.")
    _say_what_is_left(left)
    return 0


def _present(*, purge: bool) -> bool:
    places = [CODE, COMMAND, ACCOUNTS_FILE, *(UNIT_FOLDER / unit for unit in UNITS)]
    if purge:
        places += [SETTINGS, DATA, STATE]
    return any(place.exists() for place in places) or bool(_accounts())


def _take_out(*, purge: bool, chains: bool) -> list[str]:
    """Take it out; return the commands that would take away what stays in the kernel."""
    if window_is_open() and not chains:
        raise InstallationError(
            "an apply is being loaded or waits to be kept: let it come to its end, or say --chains, which"
            " puts back what was there before and takes everything out. Nothing was done."
        )
    running = systemd.active(UNITS)
    systemd.stop(WEB, CLERK, ROOT_WORKER)
    try:
        if window_is_open() and not chains:
            raise InstallationError("an apply came in at the last moment: start again when it has ended.")
        if chains:
            _kernel("remove")
    except InstallationError:
        if running:
            systemd.systemctl("start", *running)
        raise
    left = _loaded()
    systemd.stop(*reversed(UNITS))
    systemd.run("systemctl", "disable", "--quiet", *UNITS, check=False)
    for unit in UNITS:
        files.remove(UNIT_FOLDER / unit)
    for drop_in in (REDIS_DROP_IN, ROOT_DROP_IN):
        files.remove(drop_in)
        _remove_if_empty(drop_in.parent)
    systemd.systemctl("daemon-reload")
    systemd.run("systemctl", "reset-failed", *UNITS, check=False)
    files.remove(COMMAND)
    _remove_settings(purge=purge)
    for folder in (DATA, STATE):
        if purge:
            files.remove(folder)
    if DATA.is_dir():
        # Its user goes, and the number of that user may become somebody else's.
        files.give(DATA, 0, 0)
    _remove_accounts()
    if ACCOUNTS_FILE.exists():
        # Release 0.1.0 had it put there by hand, in a folder that may have been made for it.
        files.remove(ACCOUNTS_FILE)
        _remove_if_empty(ACCOUNTS_FILE.parent)
    for place in (RUNTIME, NEW, CODE):
        files.remove(place)
    return left


def _remove_settings(*, purge: bool) -> None:
    """Remove what was made; what an admin wrote only with `purge`."""
    if purge:
        files.remove(SETTINGS)
    if not SETTINGS.is_dir():
        return
    made = {"redis.conf", "users.acl", "web.env", "clerk.env", "watch.env"}
    for path in SETTINGS.iterdir():
        ours = path.name in made or path.match("root-*.env")
        if ours or (path.name in settings.MADE_ONCE and not settings.changed_by_hand(path)):
            files.remove(path)
    _remove_if_empty(SETTINGS)


def _remove_accounts() -> None:
    for name in _accounts():
        systemd.run("userdel", name)
    try:
        grp.getgrnam(GROUP)
    except KeyError:
        return
    systemd.run("groupdel", GROUP)


def _accounts() -> list[str]:
    """Return the accounts that are there and are services'."""
    return [
        entry.pw_name
        for entry in pwd.getpwall()
        if entry.pw_name in (WEB_USER, REDIS_USER) and entry.pw_uid < PEOPLE
    ]


def _loaded() -> list[str]:
    """Return the commands that take away what is in the kernel; empty also where that cannot be told."""
    try:
        return _kernel("show").splitlines()
    except InstallationError:
        return []


def _kernel(step: str) -> str:
    # (Of what it needs nothing is in a package of its own.)
    return systemd.run(sys.executable, "-B", "-m", "scripts.installation.kernel", step, cwd=ROOT)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _say_what_is_left(loaded: Sequence[str]) -> None:
    if loaded:
        print("Its rules stay in the kernel until the next boot. To take them away now:")
        print("".join(f"    {command}\n" for command in loaded), end="")
    for folder, what in ((DATA, "the database"), (STATE, "the root worker's state"), (SETTINGS, "settings")):
        if folder.exists():
            print(f"Left: {folder} ({what}); scripts/uninstall --purge removes it.")
    if CLONE.exists():
        print(f"Left: {CLONE}, a clone of yours that lay in {CODE}; rm -r {CLONE} removes it.")
    print("Left: packages that were installed for it, such as redis-server and conntrack.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
