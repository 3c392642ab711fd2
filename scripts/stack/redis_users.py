"""Create or renew the users of dockerfw's Redis: `python -m scripts.stack.redis_users DIRECTORY HOST...`

It fills in deploy/redis/users.acl with a random password for each user. Redis gets only the digests. For a
server it writes users.acl and, for each process, a file with its Redis URL for systemd's EnvironmentFile=.
Called again, it keeps the passwords of existing users and gives them the rights of the current template. So a
host can be added later, and an upgrade can change rights.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

TEMPLATE = Path(__file__).resolve().parent.parent.parent / "deploy" / "redis" / "users.acl"
SOCKET = Path("/run/dockerfw-redis/redis.sock")
# These users exist once. Each host's root worker has its own user too.
USERS = ("web", "clerk", "watch")
# Users of earlier releases, which are removed. Users that dockerfw did not create stay.
RETIRED: tuple[str, ...] = ()
HOST_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,49}")


@dataclass(frozen=True, slots=True)
class Renewal:
    """A new aclfile, and how its users differ from the former file."""

    text: str
    added: tuple[str, ...]
    renewed: tuple[str, ...]
    dropped: tuple[str, ...]
    foreign: tuple[str, ...]


def root_user(host: str) -> str:
    """Return the name of the user of a host's root worker."""
    return f"root-{host}"


def new_passwords(hosts: Sequence[str]) -> dict[str, str]:
    """Return a random password for every user."""
    names = (*USERS, *map(root_user, hosts))
    return {name: secrets.token_urlsafe(32) for name in names}


def users_acl(passwords: Mapping[str, str], template: Path = TEMPLATE) -> str:
    """Return Redis' aclfile for the users that have a password."""
    digests = {name: _digest(password) for name, password in passwords.items()}
    return "".join(_user_lines(digests, template).values())


def renewed_acl(
    former: str, hosts: Sequence[str], passwords: Mapping[str, str], template: Path = TEMPLATE
) -> Renewal:
    """Return a new aclfile with current rights, the passwords of `former`, and `passwords` for new users.

    Hosts that are in `former` do not need to be named again.
    """
    there = {line.split(" ", 2)[1]: line for line in former.splitlines() if line.startswith("user ")}
    kept = {name: " ".join(re.findall(r"#[0-9a-f]{64}", line)) for name, line in there.items()}
    names = [*USERS, *(name for name in there if name.startswith("root-")), *map(root_user, hosts)]
    digests = {name: kept.get(name) or _digest(passwords[name]) for name in dict.fromkeys(names)}
    lines = _user_lines(digests, template)
    foreign = [name for name in there if name not in lines and name not in RETIRED]
    return Renewal(
        text="".join([*lines.values(), *(f"{there[name]}\n" for name in foreign)]),
        added=tuple(name for name in lines if name != "default" and not kept.get(name)),
        renewed=tuple(name for name in lines if kept.get(name) and there[name] != lines[name].rstrip("\n")),
        dropped=tuple(name for name in there if name in RETIRED),
        foreign=tuple(foreign),
    )


def redis_url(socket: Path, user: str, password: str) -> str:
    """Return the URL of Redis for one user."""
    return f"unix://{user}:{password}@{socket}"


def write_private(path: Path, text: str) -> None:
    """Write a file atomically that only its owner can read; an existing owner stays."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as file:
        os.fchmod(descriptor, 0o600)
        if path.exists() and os.geteuid() == 0:
            os.fchown(descriptor, path.stat().st_uid, path.stat().st_gid)
        file.write(text)
        file.flush()
        os.fsync(descriptor)
    os.replace(draft, path)


def main(arguments: Sequence[str]) -> int:
    """Write users.acl and the files of new processes, and print the changes; 2 for wrong arguments."""
    if len(arguments) < 2 or not all(HOST_NAME.fullmatch(host) for host in arguments[1:]):
        print("usage: python -m scripts.stack.redis_users DIRECTORY HOST...", file=sys.stderr)
        return 2
    directory, hosts = Path(arguments[0]), arguments[1:]
    acl = directory / "users.acl"
    former = acl.read_text() if acl.exists() else ""
    there = re.findall(r"^user root-(\S+)", former, re.MULTILINE)
    passwords = new_passwords([*hosts, *there])
    renewal = renewed_acl(former, hosts, passwords)
    for name in renewal.added:
        lines = f"DOCKERFW_REDIS_URL={redis_url(SOCKET, name, passwords[name])}\n"
        if name.startswith("root-"):
            lines += f"DOCKERFW_HOST={name.removeprefix('root-')}\n"
        write_private(directory / f"{name}.env", lines)
        print(f"{directory / name}.env: the Redis URL for the new user {name}")
    for name in renewal.renewed:
        print(f"{acl}: {name} gets the rights of this release and keeps its password")
    for name in renewal.dropped:
        print(f"{acl}: {name} is removed, because this release has no such user")
    for name in renewal.foreign:
        print(f"{acl}: {name} is not a user of dockerfw and does not change")
    if renewal.text == former:
        print(f"{acl}: nothing to change")
        return 0
    write_private(acl, renewal.text)
    print(f"{acl}: written. Restart Redis to load it. No data is lost by a restart.")
    return 0


def _user_lines(digests: Mapping[str, str], template: Path) -> dict[str, str]:
    rules: dict[str, list[str]] = {"default": [], **{name: [] for name in digests}}
    for line in template.read_text().splitlines():
        if not line.startswith("user "):
            continue
        user, text = line.split(" ", 2)[1:]
        for name in _names(user, rules):
            host = name.removeprefix("root-")
            rules[name].append(text.replace("HOST", host).replace("#PASSWORD", digests.get(name, "")))
    return {name: f"user {name} {' '.join(parts)}\n" for name, parts in rules.items()}


def _digest(password: str) -> str:
    return f"#{hashlib.sha256(password.encode()).hexdigest()}"


def _names(user: str, rules: Mapping[str, list[str]]) -> list[str]:
    if user == root_user("HOST"):
        return [name for name in rules if name.startswith("root-")]
    return [user] if user in rules else []


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
