"""Check versions: Python, the kernel, Docker, Redis, and whether dockerfw runs the installed code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown

PYTHON: Final = (3, 11)
# pidfd_open(2) came with 5.3.
KERNEL: Final = (5, 3)
DOCKER: Final = (20, 10)
REDIS: Final = (7, 0)

_NUMBERS = re.compile(r"(\d+)\.(\d+)")


@dataclass(frozen=True, slots=True)
class Process:
    """One of dockerfw's processes: the version that it reported, empty for none."""

    version: str


@dataclass(frozen=True, slots=True)
class VersionFacts:
    """Reported versions, None where they are not known.

    `docker` is empty where there is no Docker. `redis` is text such as "redis 7.2.4".
    """

    code: str
    python: str
    kernel: str
    docker: str | None
    redis: str | None
    root_worker: Process | None
    clerk: Process | None
    web: Process | None


def judge_versions(facts: VersionFacts) -> Iterator[Finding]:
    """Judge all of them."""
    yield _at_least("versions.python", "Python", facts.python, PYTHON, "install Python 3.11 or later")
    yield _at_least("versions.kernel", "Linux", facts.kernel, KERNEL, "upgrade the kernel")
    if facts.docker is None:
        yield unknown("versions.docker", "Docker's socket does not answer this process")
    elif not facts.docker:
        yield ok("versions.docker", "Docker is not installed here.")
    else:
        todo = "upgrade Docker to 20.10 or later"
        yield _at_least("versions.docker", "Docker", facts.docker, DOCKER, todo)
    yield _redis(facts.redis)
    yield from _own(facts)


def _at_least(check: str, name: str, version: str, least: tuple[int, int], todo: str) -> Finding:
    if _numbers(version) >= least:
        return ok(check, f"{name} {version}.")
    wanted = ".".join(map(str, least))
    return problem(
        check, f"{name} {version or '(unknown version)'} is too old: {wanted} or later is needed.", todo
    )


def _redis(version: str | None) -> Finding:
    check = "versions.redis"
    if version is None:
        return unknown(check, "Redis does not report its version")
    name, _, number = version.partition(" ")
    if name == "valkey":
        return ok(check, f"Valkey {number}.")
    return _at_least(check, "Redis", number, REDIS, "upgrade to Redis 7 or later, or to Valkey")


def _own(facts: VersionFacts) -> Iterator[Finding]:
    named = (
        ("versions.root-worker", "root worker", facts.root_worker, "dockerfw-root", "firewall"),
        ("versions.clerk", "clerk", facts.clerk, "dockerfw-clerk", "clerk"),
    )
    for check, name, process, unit, service in named:
        todo = f"systemctl restart {unit}, or docker compose restart {service}"
        if process is None:
            yield unknown(check, f"the version of the {name} is not known")
        elif not process.version:
            before = f"The {name} has not reported a version: it does not run, or is older than 0.2.0."
            yield problem(check, before, todo)
        elif process.version != facts.code:
            text = f"The {name} runs {process.version}, but {facts.code} is installed."
            yield problem(check, text, todo)
        else:
            yield ok(check, f"The {name} runs {process.version}.")
    yield _web(facts.web, facts.code)


def _web(process: Process | None, code: str) -> Finding:
    check = "versions.web"
    if process is None:
        return unknown(check, "the version of the web pages is not known")
    if not process.version:
        return ok(check, "The dashboard has not been opened yet.")
    if process.version == code:
        return ok(check, f"The web pages run {process.version}.")
    # They report it when the dashboard is opened, which may have been before a restart.
    text = f"The web pages ran {process.version} when the dashboard was last opened, but {code} is installed."
    return note(check, text, "systemctl restart dockerfw-web, or docker compose restart web")


def _numbers(text: str) -> tuple[int, int]:
    found = _NUMBERS.search(text)
    return (int(found[1]), int(found[2])) if found else (0, 0)
