"""The paths, units and accounts of an installation."""

from __future__ import annotations

from pathlib import Path

CODE = Path("/opt/dockerfw")
# The folder of the new code until it is ready, and of the old code after both changed places.
NEW = Path("/opt/dockerfw.new")
# A clone that was in the place of the code. It may hold work or data, so scripts/install never removes it.
CLONE = Path("/opt/dockerfw-clone")
# Marks code that scripts/install installed.
MARK = ".installed"
# Marks code that is not ready: scripts/install removes it.
UNFINISHED = ".unfinished"

SETTINGS = Path("/etc/dockerfw")
DATA = Path("/var/lib/dockerfw-web")
STATE = Path("/var/lib/dockerfw")
COMMAND = Path("/usr/local/sbin/dockerfw")
# Release 0.1.0, before scripts/install, put it here.
ACCOUNTS_FILE = Path("/etc/sysusers.d/dockerfw.conf")
RUNTIME = Path("/run/dockerfw-redis")

UNIT_FOLDER = Path("/etc/systemd/system")
BOOT, REDIS, WEB, CLERK, ROOT_WORKER = (
    f"dockerfw-{name}.service" for name in ("boot", "redis", "web", "clerk", "root")
)
# In the order in which they start; the boot loader is for booting only.
SERVICES = (REDIS, ROOT_WORKER, CLERK, WEB)
UNITS = (BOOT, *SERVICES)
# Names the Redis server, unless it is the distribution's own.
REDIS_DROP_IN = UNIT_FOLDER / f"{REDIS}.d" / "dockerfw-server.conf"
# Names the file with the root worker's Redis address, where host.env gives this host another name.
ROOT_DROP_IN = UNIT_FOLDER / f"{ROOT_WORKER}.d" / "dockerfw-host.conf"

WEB_USER, REDIS_USER = "dockerfw", "dockerfw-redis"
GROUP = "dockerfw"
HOST = "local"


def window_is_open() -> bool:
    """Return True while an apply loads or waits for confirmation."""
    return (STATE / "window.json").exists()
