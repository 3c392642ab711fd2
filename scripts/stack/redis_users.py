"""Make the users of dockerfw's Redis: `python -m scripts.stack.redis_users DIRECTORY HOST...`

Owns the filling in of deploy/redis/users.acl: a random password for each user, of which Redis gets the digest
only. For a server it writes users.acl and, for each process, a file with its address of Redis for systemd's
EnvironmentFile=. Users that are there already keep their passwords, so that a host can be added later.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent.parent / "deploy" / "redis" / "users.acl"
SOCKET = Path("/run/dockerfw-redis/redis.sock")
_HOST = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")


def root_user(host: str) -> str:
    """Name the user of a host's root worker."""
    return f"root-{host}"


def new_passwords(hosts: Sequence[str]) -> dict[str, str]:
    """Return a random password for every user."""
    names = ("web", "clerk", "watch", *map(root_user, hosts))
    return {name: secrets.token_urlsafe(32) for name in names}


def users_acl(passwords: Mapping[str, str], template: Path = TEMPLATE) -> str:
    """Write Redis' aclfile for the users that have a password."""
    rules: dict[str, list[str]] = {"default": []}
    for name in passwords:
        rules[name] = []
    for line in template.read_text().splitlines():
        if not line.startswith("user "):
            continue
        user, text = line.split(" ", 2)[1:]
        for name in _names(user, rules):
            host = name.removeprefix("root-")
            digest = hashlib.sha256(passwords.get(name, "").encode()).hexdigest()
            rules[name].append(text.replace("HOST", host).replace("#PASSWORD", f"#{digest}"))
    return "".join(f"user {name} {' '.join(parts)}\n" for name, parts in rules.items())


def redis_url(socket: Path, user: str, password: str) -> str:
    """Return the address under which one user reaches Redis."""
    return f"unix://{user}:{password}@{socket}"


def write_private(path: Path, text: str) -> None:
    """Write a file that only its owner can read."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(text)


def main(arguments: Sequence[str]) -> int:
    """Write users.acl and the processes' files; 2 for wrong arguments."""
    if len(arguments) < 2 or not all(_HOST.fullmatch(host) for host in arguments[1:]):
        print("usage: python -m scripts.stack.redis_users DIRECTORY HOST...", file=sys.stderr)
        return 2
    directory, hosts = Path(arguments[0]), arguments[1:]
    acl = directory / "users.acl"
    former = acl.read_text() if acl.exists() else ""
    known = set(re.findall(r"^user (\S+)", former, re.MULTILINE))
    passwords = {name: word for name, word in new_passwords(hosts).items() if name not in known}
    for name, password in passwords.items():
        lines = f"DOCKERFW_REDIS_URL={redis_url(SOCKET, name, password)}\n"
        if name.startswith("root-"):
            lines += f"DOCKERFW_HOST={name.removeprefix('root-')}\n"
        write_private(directory / f"{name}.env", lines)
        print(directory / f"{name}.env")
    fresh = users_acl(passwords).splitlines(keepends=True)
    added = [line for line in fresh if line.split(" ", 2)[1] not in known]
    write_private(acl, former + "".join(added))
    print(acl)
    return 0


def _names(user: str, rules: Mapping[str, list[str]]) -> list[str]:
    if user == root_user("HOST"):
        return [name for name in rules if name.startswith("root-")]
    return [user] if user in rules else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
