"""Judge Redis: does it answer, is its default user off, has each user exactly the rights of this release.

The text of the file of users is compared with the template that it is made from, word by word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, ok, problem, unknown

# Both make the users again by the template and keep their passwords.
RENEW: Final = "/opt/dockerfw/scripts/install --host, or docker compose up -d --force-recreate"
START: Final = "systemctl restart dockerfw-redis, or docker compose restart redis"
HOST_USER: Final = "root-"
TEMPLATE_USER: Final = "root-HOST"
USERS: Final = ("default", "web", "clerk", "watch")

_PASSWORD = re.compile(r"#[0-9a-f]{64}|#PASSWORD")


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What Redis answered: `error` is empty when it did.

    `user` is who asked, empty for nobody by name. `let_in` says whether somebody without a name and password
    may ask, None where that was not found out. `allowed` are the commands that had to be refused and were
    not. `users` is the text of users.acl, None where it could not be read, and `template` what it is made of.
    `host` is the name of the host whose root worker is here, empty where that is not known.
    """

    error: str
    user: str = ""
    let_in: bool | None = None
    allowed: Sequence[str] | None = None
    users: str | None = None
    template: str = ""
    host: str = ""


def judge_redis(facts: RedisFacts) -> Iterator[Finding]:
    """Judge all of it."""
    if facts.error:
        yield problem("redis.reachable", f"Redis cannot be asked: {facts.error}", START)
        yield unknown("redis.default-user", "Redis cannot be asked")
        yield unknown("redis.rights", "Redis cannot be asked")
    else:
        yield ok("redis.reachable", "Redis answers.")
        yield _default_user(facts.let_in)
        yield _rights(facts)
    yield _users_file(facts)


def _default_user(let_in: bool | None) -> Finding:
    check = "redis.default-user"
    if let_in is None:
        return unknown(check, "Redis did not say whether it lets in who has no password")
    if let_in:
        text = "Redis lets in who has no password: who can reach it can order rules, or forge what happened."
        return problem(check, text, RENEW)
    return ok(check, "Redis lets in nobody without a password.")


def _rights(facts: RedisFacts) -> Finding:
    check = "redis.rights"
    who = f"the user {facts.user}" if facts.user else "this process, which has no user of its own,"
    if facts.allowed is None:
        return unknown(check, "Redis did not say what may be done")
    if facts.allowed:
        text = f"In Redis {who} may do what dockerfw never needs: {', '.join(facts.allowed)}."
        return problem(check, text, RENEW)
    return ok(check, f"In Redis {who} was refused all that it does not need.")


def _users_file(facts: RedisFacts) -> Finding:
    check = "redis.users"
    if facts.users is None:
        return unknown(check, "only root, or Redis' own user, can read users.acl, where it lies")
    if facts.host and f"{HOST_USER}{facts.host}" not in _rules(facts.users):
        text = (
            f"users.acl has no user {HOST_USER}{facts.host}: what runs as the host {facts.host} is refused."
        )
        return problem(check, text, RENEW)
    wrong = wrong_users(facts.users, facts.template)
    if wrong:
        text = f"users.acl gives other rights than this release needs to {', '.join(wrong)}."
        return problem(check, text, RENEW)
    return ok(check, "users.acl gives each user the rights of this release.")


def wrong_users(users: str, template: str) -> list[str]:
    """Name the users whose rights are not those of the template, missing ones and those nobody knows."""
    wanted, found = _rules(template), _rules(users)
    names = [*USERS, *sorted(name for name in found if name.startswith(HOST_USER))]
    wrong = [name for name in names if found.get(name) != _for(name, wanted)]
    if not any(name.startswith(HOST_USER) for name in found):
        wrong.append(f"{HOST_USER}*")
    return [*wrong, *sorted(set(found) - set(names))]


def _for(name: str, wanted: Mapping[str, list[str]]) -> list[str] | None:
    if not name.startswith(HOST_USER):
        return wanted.get(name)
    host = name.removeprefix(HOST_USER)
    return [word.replace("HOST", host) for word in wanted.get(TEMPLATE_USER, [])]


def _rules(text: str) -> dict[str, list[str]]:
    """Return each user's words, passwords as one mark: they are nobody's business here."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("user "):
            _, name, *words = line.split()
            found.setdefault(name, []).extend(_PASSWORD.sub("#", word) for word in words)
    return found
