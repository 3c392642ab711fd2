"""Write the settings of compose.yaml's services: `python -m scripts.compose.settings [HOST]`

The files are in /etc/dockerfw, one volume for each service: Redis' users, for each process its Redis URL with
its own password, and the keys for signing orders. Existing passwords and keys stay. The users are always
written from deploy/redis/users.acl, so that they have the rights of this release.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from scripts.stack.key_files import LISTS_KEY, LISTS_SIGNER, SIGNER, SIGNING_KEY
from scripts.stack.redis_users import SOCKET, new_passwords, redis_url, root_user, users_acl
from scripts.stack.signing_keys import keep_pair

SETTINGS = Path("/etc/dockerfw")
LOCK = Path("/host/run/xtables.lock")


def main(arguments: Sequence[str], settings: Path = SETTINGS, lock: Path = LOCK) -> int:
    """Write the settings; 2 for wrong arguments, 1 when a file cannot be written."""
    if len(arguments) > 1:
        print("usage: python -m scripts.compose.settings [HOST]", file=sys.stderr)
        return 2
    try:
        write_settings(settings, arguments[0] if arguments else "local")
        make_lock(lock)
    except OSError as error:
        print(f"dockerfw: the settings cannot be written: {error}", file=sys.stderr)
        return 1
    return 0


def write_settings(settings: Path, host: str) -> None:
    """Write Redis' users and each process's own files; existing passwords and keys stay. Raises OSError."""
    files = {
        "web": settings / "web" / "redis.url",
        "clerk": settings / "clerk" / "redis.url",
        root_user(host): settings / "firewall" / "redis.url",
        "watch": settings / "redis" / "watch.password",
    }
    passwords = {**new_passwords([host]), **known_passwords(files)}
    for name, path in files.items():
        own = passwords[name] if name == "watch" else redis_url(SOCKET, name, passwords[name])
        write_for_group(path, own + "\n")
    write_for_group(settings / "redis" / "users.acl", users_acl(passwords))
    pair = keep_pair(settings / "web" / SIGNING_KEY)
    write_for_group(settings / "web" / SIGNING_KEY, pair.private.decode())
    write_for_group(settings / "firewall" / SIGNER, pair.public.decode())
    lists = keep_pair(settings / "clerk" / LISTS_KEY)
    write_for_group(settings / "clerk" / LISTS_KEY, lists.private.decode())
    write_for_group(settings / "firewall" / LISTS_SIGNER, lists.public.decode())


def known_passwords(files: Mapping[str, Path]) -> dict[str, str]:
    """Return the existing passwords. Raises OSError."""
    found: dict[str, str] = {}
    for name, path in files.items():
        with contextlib.suppress(FileNotFoundError):
            text = path.read_text().strip()
            user, password = (
                (urlsplit(text).username, urlsplit(text).password) if "://" in text else (name, text)
            )
            if user == name and password:
                found[name] = password
    return found


def write_for_group(path: Path, text: str) -> None:
    """Replace a file that its owner and its group can read. Raises OSError."""
    draft = path.with_name(f".{path.name}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o640)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o640)
        file.write(text)
    draft.replace(path)


def make_lock(path: Path) -> None:
    """Create the lock file of iptables-legacy if the host has none yet.

    Docker creates a folder in place of a missing file that is to be mounted. Such a folder is replaced.
    """
    if not path.parent.is_dir():
        return
    with contextlib.suppress(OSError):
        path.rmdir()
    os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
