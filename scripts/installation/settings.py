"""The settings in /etc/dockerfw: read them as systemd does, and write those that do not exist yet.

Files that an admin may change are written once and never again.
"""

from __future__ import annotations

import os
from pathlib import Path

from dockerfw.settings_files import read_settings_file
from scripts.installation.places import DATA, HOST, SETTINGS

SITE = """\
# The settings of dockerfw's web pages on this host. They are yours: an upgrade does not change this file.
# docs/reference.md describes each setting.
# After a change: systemctl restart dockerfw-web dockerfw-clerk

# The web pages use plain HTTP on this host only, and browsers do not send HTTPS cookies over HTTP.
DOCKERFW_SECURE_COOKIES=0

# Behind a proxy that ends TLS, remove the line above and set
#DOCKERFW_ALLOWED_HOSTS=firewall.example.org
#DOCKERFW_CSRF_TRUSTED_ORIGINS=https://firewall.example.org
#DOCKERFW_TRUSTED_PROXIES=127.0.0.1

#DOCKERFW_TIME_ZONE=Europe/Berlin

# How lists are fetched: from private addresses too, by a proxy, and the file with the networks of countries.
#DOCKERFW_OUTBOUND_INTERNAL=1
#DOCKERFW_OUTBOUND_PROXY=http://proxy.example.org:3128
#DOCKERFW_COUNTRY_FILE=/var/lib/GeoIP/GeoLite2-Country.mmdb

# How many days refused packets are kept, and whether only the networks of their sources are (/24 and /64).
#DOCKERFW_REFUSED_DAYS=30
#DOCKERFW_REFUSED_SHORTEN=1

# The token that opens /metrics to Prometheus. `openssl rand -hex 32` prints one.
#DOCKERFW_METRICS_TOKEN=
"""
ROOT = """\
# The settings of dockerfw's root worker on this host. They are yours: an upgrade does not change this file.
# After a change: systemctl restart dockerfw-root

# To show the names of containers. dockerfw only asks Docker which containers run. But an attacker who
# controls the root worker could ask Docker for more, and so control the whole host.
#DOCKERFW_DOCKER_SOCKET=/run/docker.sock

#DOCKERFW_OBSERVE_SECONDS=60

# The group of the kernel's log to which refused packets go. Apply again after a change.
#DOCKERFW_NFLOG_GROUP=7373
"""
MADE_ONCE = {"site.env": SITE, "host.env": ROOT}


def make_missing() -> None:
    """Write the admin's files that do not exist yet. Raises OSError."""
    for name, text in MADE_ONCE.items():
        path = SETTINGS / name
        if not path.exists():
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(text)


def read(name: str) -> dict[str, str]:
    """Read a file of the settings; empty when it does not exist. Raises OSError."""
    return read_settings_file(SETTINGS / name)


def host_name() -> str:
    """Return the name of this host in its root worker's settings."""
    return read("host.env").get("DOCKERFW_HOST") or HOST


def web_environment() -> dict[str, str]:
    """Return the variables of the web pages, as their unit has them."""
    return {"DOCKERFW_DATA_DIR": str(DATA), **read("web.env"), **read("site.env")}


def changed_by_hand(path: Path) -> bool:
    """Return True if an admin has changed a file since it was written."""
    return path.read_text(errors="replace") != MADE_ONCE.get(path.name, "")
