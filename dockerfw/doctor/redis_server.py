"""Check Redis: it answers, its default user is off, and each user has exactly the rights of this release.

The users file is compared word by word with the template that it is made from.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, ok, problem, unknown

# Both write the users again from the template and keep their passwords.
RENEW: Final = "/opt/dockerfw/scripts/install --host, or docker compose up -d --force-recreate"
START: Final = "systemctl restart dockerfw-redis, or docker compose restart redis"
HOST_USER: Final = "root-"
TEMPLATE_USER: Final = "root-HOST"
USERS: Final = ("default", "web", "clerk", "watch")

_PASSWORD = re.compile(r"#[0-9a-f]{64}|#PASSWORD")


@dataclass(frozen=True, slots=True)
class RedisFacts:
    """What Redis answered: `error` is empty when it did.

    `user` is the Redis user of this process, empty without one. `anonymous` is true when Redis answers
    clients without a password, None when unknown. `allowed` holds commands that Redis had to refuse and did
    not. `users` is the text of users.acl, None where it could not be read, and `template` the text that it is
    made from. `host` is the name of the host whose root worker runs here, empty where that is not known.
    """

    error: str
    user: str = ""
    anonymous: bool | None = None
    allowed: Sequence[str] | None = None
    users: str | None = None
    template: str = ""
    host: str = ""


def judge_redis(facts: RedisFacts) -> Iterator[Finding]:
    """Judge all of it."""
    if facts.error:
        yield problem("redis.reachable", f"Redis does not answer: {facts.error}", START)
        yield unknown("redis.default-user", "Redis does not answer")
        yield unknown("redis.rights", "Redis does not answer")
    else:
        yield ok("redis.reachable", "Redis answers.")
        yield _default_user(facts.anonymous)
        yield _rights(facts)
    yield _users_file(facts)


def _default_user(anonymous: bool | None) -> Finding:
    check = "redis.default-user"
    if anonymous is None:
        return unknown(check, "Redis did not answer a client without a password")
    if anonymous:
        text = "Redis needs no password: every client that reaches it can order rules or forge reports."
        return problem(check, text, RENEW)
    return ok(check, "Redis refuses clients without a password.")


def _rights(facts: RedisFacts) -> Finding:
    check = "redis.rights"
    who = f"The Redis user {facts.user}" if facts.user else "The default Redis user"
    if facts.allowed is None:
        return unknown(check, "the rights of this Redis user are not known")
    if facts.allowed:
        text = f"{who} may run commands that dockerfw never needs: {', '.join(facts.allowed)}."
        return problem(check, text, RENEW)
    return ok(check, f"{who} may not run commands that it does not need.")


def _users_file(facts: RedisFacts) -> Finding:
    check = "redis.users"
    if facts.users is None:
        return unknown(check, "users.acl is not on this host, or needs root or Redis' own user to read")
    if facts.host and f"{HOST_USER}{facts.host}" not in _rules(facts.users):
        text = (
            f"users.acl has no user {HOST_USER}{facts.host}: Redis refuses the root worker of {facts.host}."
        )
        return problem(check, text, RENEW)
    wrong = wrong_users(facts.users, facts.template)
    if wrong:
        text = f"users.acl gives these users other rights than this release needs: {', '.join(wrong)}."
        return problem(check, text, RENEW)
    return ok(check, "users.acl gives each user the rights of this release.")


def wrong_users(users: str, template: str) -> list[str]:
    """Name the users whose rights differ from the template's, the missing users and the unknown ones."""
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
    """Return each user's words, with a mark in place of each password."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line.startswith("user "):
            _, name, *words = line.split()
            found.setdefault(name, []).extend(_PASSWORD.sub("#", word) for word in words)
    return found
