"""Remove what scripts/install installed: `python -m scripts.installation.uninstall [--purge] [--chains]`.

The order is: services, chains when asked, everything else. Missing files are no error, so it can run again
after an interruption. It runs with Python 3.10 or later, from any copy of the code.
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
from scripts.stack.key_files import LISTS_KEY, LISTS_SIGNER, SIGNER, SIGNING_KEY

# Numbers from here on belong to users' accounts.
FIRST_USER = 1000
ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    """Remove the installation; 0 when done or when there was none, 1 when not done."""
    purge, chains = "--purge" in arguments, "--chains" in arguments
    try:
        if not _present(purge=purge) and not (chains and _loaded()):
            print("dockerfw is not installed here.")
            _say_what_is_left(())
            return 0
        left = _take_out(purge=purge, chains=chains)
    except InstallationError as error:
        print(f"dockerfw: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"dockerfw: {error.filename or ''}: {error.strerror or error}", file=sys.stderr)
        return 1
    print("dockerfw is removed.")
    _say_what_is_left(left)
    return 0


def _present(*, purge: bool) -> bool:
    places = [CODE, COMMAND, ACCOUNTS_FILE, *(UNIT_FOLDER / unit for unit in UNITS)]
    if purge:
        places += [SETTINGS, DATA, STATE]
    return any(place.exists() for place in places) or bool(_accounts())


def _take_out(*, purge: bool, chains: bool) -> list[str]:
    """Remove everything; return the commands that remove the rules that stay in the kernel."""
    if window_is_open() and not chains:
        raise InstallationError(
            "an apply is loading or waits for confirmation. Finish it first, or use --chains, which restores"
            " the previous rules and removes dockerfw's chains. Nothing was done."
        )
    running = systemd.active(UNITS)
    systemd.stop(WEB, CLERK, ROOT_WORKER)
    try:
        if window_is_open() and not chains:
            raise InstallationError("an apply has just started. Start again when it has ended.")
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
        # The account is removed, and another account may get its number.
        files.give(DATA, 0, 0)
    _remove_accounts()
    if ACCOUNTS_FILE.exists():
        # Admins of release 0.1.0 copied it by hand, and may have created its folder for it.
        files.remove(ACCOUNTS_FILE)
        _remove_if_empty(ACCOUNTS_FILE.parent)
    for place in (RUNTIME, NEW, CODE):
        files.remove(place)
    return left


def _remove_settings(*, purge: bool) -> None:
    """Remove the generated files, and an admin's own files only with `purge`."""
    if purge:
        files.remove(SETTINGS)
    if not SETTINGS.is_dir():
        return
    made = {"redis.conf", "users.acl", "web.env", "clerk.env", "watch.env"}
    made |= {SIGNING_KEY, SIGNER, LISTS_KEY, LISTS_SIGNER}
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
    """Return the service accounts that exist."""
    return [
        entry.pw_name
        for entry in pwd.getpwall()
        if entry.pw_name in (WEB_USER, REDIS_USER) and entry.pw_uid < FIRST_USER
    ]


def _loaded() -> list[str]:
    """Return the commands that remove dockerfw's rules from the kernel; empty when they cannot be read."""
    try:
        return _kernel("show").splitlines()
    except InstallationError:
        return []


def _kernel(step: str) -> str:
    # (It needs no installed Python package.)
    return systemd.run(sys.executable, "-B", "-m", "scripts.installation.kernel", step, cwd=ROOT)


def _remove_if_empty(folder: Path) -> None:
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


def _say_what_is_left(loaded: Sequence[str]) -> None:
    if loaded:
        print("dockerfw's rules stay in the kernel until the next boot. To remove them now:")
        print("".join(f"    {command}\n" for command in loaded), end="")
    for folder, what in ((DATA, "the database"), (STATE, "the root worker's state"), (SETTINGS, "settings")):
        if folder.exists():
            print(f"Left: {folder} ({what}); scripts/uninstall --purge removes it.")
    if CLONE.exists():
        print(f"Left: {CLONE}, your clone from {CODE}; rm -r {CLONE} removes it.")
    print("Left: Debian packages that dockerfw needs, such as redis-server and conntrack.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
