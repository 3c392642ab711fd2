"""Everything that an installation consists of: its paths, its units, its accounts."""

from __future__ import annotations

from pathlib import Path

CODE = Path("/opt/dockerfw")
# Where new code is made ready, and where the old one goes when both change places.
NEW = Path("/opt/dockerfw.new")
# A clone that somebody had put in the place of the code: it may hold work or data, nothing here removes it.
CLONE = Path("/opt/dockerfw-clone")
# What marks code that scripts/install has put there.
MARK = ".installed"
# What marks code that is not ready: scripts/install removes it.
UNFINISHED = ".unfinished"

SETTINGS = Path("/etc/dockerfw")
DATA = Path("/var/lib/dockerfw-web")
STATE = Path("/var/lib/dockerfw")
COMMAND = Path("/usr/local/sbin/dockerfw")
# Where README's commands had put it, before there was scripts/install.
ACCOUNTS_FILE = Path("/etc/sysusers.d/dockerfw.conf")
RUNTIME = Path("/run/dockerfw-redis")

UNIT_FOLDER = Path("/etc/systemd/system")
BOOT, REDIS, WEB, CLERK, ROOT_WORKER = (
    f"dockerfw-{name}.service" for name in ("boot", "redis", "web", "clerk", "root")
)
# In the order in which they start; the boot loader is for booting only.
SERVICES = (REDIS, ROOT_WORKER, CLERK, WEB)
UNITS = (BOOT, *SERVICES)
# Says which server, where that is not the machine's own.
REDIS_DROP_IN = UNIT_FOLDER / f"{REDIS}.d" / "dockerfw-server.conf"
# Says which file has the root worker's address of Redis, where host.env gives this host a name of its own.
ROOT_DROP_IN = UNIT_FOLDER / f"{ROOT_WORKER}.d" / "dockerfw-host.conf"

WEB_USER, REDIS_USER = "dockerfw", "dockerfw-redis"
GROUP = "dockerfw"
HOST = "local"


def window_is_open() -> bool:
    """Say whether an apply is being loaded or waits to be kept."""
    return (STATE / "window.json").exists()
