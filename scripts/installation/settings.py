"""The settings in /etc/dockerfw: reads them as systemd does, and makes those that are not there yet.

Files that an admin may change are made once and never written again.
"""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from scripts.installation.places import DATA, HOST, SETTINGS, STATE

SITE = """\
# The settings of dockerfw's pages on this host: yours, never overwritten. Each is told in docs/reference.md.
# After a change: systemctl restart dockerfw-web dockerfw-clerk

# The pages come over plain HTTP, to this host only: a browser would not send back a cookie for HTTPS.
DOCKERFW_SECURE_COOKIES=0

# Behind a proxy that ends TLS, take the line above out and say
#DOCKERFW_ALLOWED_HOSTS=firewall.example.org
#DOCKERFW_CSRF_TRUSTED_ORIGINS=https://firewall.example.org
#DOCKERFW_TRUSTED_PROXIES=127.0.0.1

#DOCKERFW_TIME_ZONE=Europe/Berlin
"""
ROOT = """\
# The settings of dockerfw's root worker on this host: yours, never overwritten.
# After a change: systemctl restart dockerfw-root

# For the names of containers. Docker is asked which run and nothing else; but who took over the root worker
# could ask it for more, and then has the whole host.
#DOCKERFW_DOCKER_SOCKET=/run/docker.sock

#DOCKERFW_OBSERVE_SECONDS=60
"""
MADE_ONCE = {"site.env": SITE, "host.env": ROOT}


def make_missing() -> None:
    """Make the files that are an admin's, unless they are there. Raises OSError."""
    for name, text in MADE_ONCE.items():
        path = SETTINGS / name
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)


def read(name: str) -> dict[str, str]:
    """Read a file as systemd's EnvironmentFile= does, rarer escapes left out; empty when it is not there."""
    found: dict[str, str] = {}
    try:
        text = (SETTINGS / name).read_text()
    except FileNotFoundError:
        return found
    for line in text.replace("\\\n", "").splitlines():
        words = line.strip()
        if not words or words[0] in "#;" or "=" not in words:
            continue
        variable, _, value = words.partition("=")
        value = value.strip()
        if value[:1] in {"'", '"'}:
            try:
                value = " ".join(shlex.split(value))
            except ValueError:
                value = value.strip(value[0])
        found[variable.strip()] = value
    return found


def host_name() -> str:
    """Return the name of this host as its root worker has it."""
    return read("host.env").get("DOCKERFW_HOST") or HOST


def web_environment() -> dict[str, str]:
    """Return the variables of the pages, as their unit has them."""
    return {"DOCKERFW_DATA_DIR": str(DATA), **read("web.env"), **read("site.env")}


def console_environment() -> dict[str, str]:
    """Return the variables for what root does in need: of the pages' none, which could keep it from that."""
    host = {name: value for name, value in read("root-local.env").items() if name == "DOCKERFW_HOST"}
    return {"DOCKERFW_STATE_DIR": str(STATE), **host, **read("host.env")}


def root_environment() -> dict[str, str]:
    """Return the variables for what root does: the pages', and where the root worker's state is."""
    return {**web_environment(), **console_environment()}


def changed_by_hand(path: Path) -> bool:
    """Say whether an admin's file is not any more as it was made."""
    return path.read_text(errors="replace") != MADE_ONCE.get(path.name, "")
