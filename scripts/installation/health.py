"""Waits until an installation serves: all four units run, the pages answer, both workers have signed on."""

from __future__ import annotations

import http.client
import re
import time

from redis import Redis
from redis.exceptions import RedisError

from dockerfw_site.environment import ANY_ADDRESS
from scripts.installation import settings, systemd
from scripts.installation.places import SERVICES, WEB
from scripts.installation.systemd import InstallationError

LISTENS, PORT = "127.0.0.1", 8000
SECONDS = 90.0
WORKERS = 2


def address() -> tuple[str, int]:
    """Return where the pages listen: as their unit says, which a drop-in may have changed."""
    command = systemd.run("systemctl", "show", "--property=ExecStart", "--value", WEB, check=False)
    found = re.findall(r"--bind (\S+):(\d+)", command)
    if not found:
        return LISTENS, PORT
    name, port = found[-1]
    return {"0.0.0.0": LISTENS, "[::]": "::1"}.get(name, name.strip("[]")), int(port)  # noqa: S104


def wait_until_healthy() -> None:
    """Return when everything serves. Raises InstallationError, with the journal's end, when it does not."""
    deadline = time.monotonic() + SECONDS
    while missing := _missing():
        if time.monotonic() > deadline:
            unit, what = missing
            raise InstallationError(
                f"{what} within {SECONDS:.0f} s. It is installed and is tried again all the time; the"
                f" journal of {unit} ends with:\n{systemd.last_words(unit)}"
            )
        time.sleep(0.3)


def _missing() -> tuple[str, str] | None:
    """Return the unit that does not serve yet, and what it does not do."""
    active = systemd.active(SERVICES)
    for unit in SERVICES:
        if unit not in active:
            return unit, f"{unit} does not run"
    if not _pages_answer():
        return WEB, "the pages do not answer"
    if _workers() < WORKERS:
        return SERVICES[1], "root worker and clerk have not signed on"
    return None


def asked_name(allowed: str) -> str:
    """Return a name for which the pages may be asked, of DOCKERFW_ALLOWED_HOSTS."""
    names = allowed.replace(",", " ").split()
    if not names or names[0] in ("*", ANY_ADDRESS):
        return LISTENS
    return f"x{names[0]}" if names[0].startswith(".") else names[0]


def _pages_answer() -> bool:
    name = asked_name(settings.read("site.env").get("DOCKERFW_ALLOWED_HOSTS", ""))
    try:
        connection = http.client.HTTPConnection(*address(), timeout=3)
        connection.request("GET", "/healthz", headers={"Host": name})
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False


def _workers() -> int:
    try:
        with Redis.from_url(settings.read("watch.env")["DOCKERFW_REDIS_URL"]) as connection:
            return int(connection.scard("rq:workers"))
    except (RedisError, KeyError):
        return 0
