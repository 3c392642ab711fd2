"""Wait until an installation serves: its units run, its pages answer, both workers are registered."""

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
    """Return the address of the web pages from their unit, which a drop-in may have changed."""
    command = systemd.run("systemctl", "show", "--property=ExecStart", "--value", WEB, check=False)
    found = re.findall(r"--bind (\S+):(\d+)", command)
    if not found:
        return LISTENS, PORT
    name, port = found[-1]
    return {"0.0.0.0": LISTENS, "[::]": "::1"}.get(name, name.strip("[]")), int(port)  # noqa: S104


def wait_until_healthy() -> None:
    """Return when everything serves. Otherwise raise InstallationError with the end of the journal."""
    deadline = time.monotonic() + SECONDS
    while missing := _missing():
        if time.monotonic() > deadline:
            unit, what = missing
            raise InstallationError(
                f"{what} within {SECONDS:.0f} s. dockerfw is installed and systemd keeps retrying. The"
                f" journal of {unit} ends with:\n{systemd.last_words(unit)}"
            )
        time.sleep(0.3)


def _missing() -> tuple[str, str] | None:
    """Return a unit that does not serve yet and the reason, None when all serve."""
    active = systemd.active(SERVICES)
    for unit in SERVICES:
        if unit not in active:
            return unit, f"{unit} did not start"
    if not _pages_answer():
        return WEB, "the web pages did not answer"
    if _workers() < WORKERS:
        return SERVICES[1], "the root worker and the clerk did not register"
    return None


def asked_name(allowed: str) -> str:
    """Return a host name from DOCKERFW_ALLOWED_HOSTS that the web pages answer."""
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
