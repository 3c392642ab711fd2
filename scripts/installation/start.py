"""Start what was put in, wait until it serves, say where: `python -m scripts.installation.start [FORMER]`.

A process of its own, in the code's own place: the one before it has its modules from where they no longer
are.
"""

from __future__ import annotations

import shutil
import sys
import tomllib

from scripts.installation import settings, systemd
from scripts.installation.health import LISTENS, address, wait_until_healthy
from scripts.installation.managing import manage
from scripts.installation.places import BOOT, CODE, SERVICES, SETTINGS, UNITS
from scripts.installation.systemd import InstallationError


def main(former: str = "") -> int:
    """Start it; 0 when it serves, 1 when not. `former` is the version that was there before."""
    try:
        # (The boot loader loads what was kept last, and is for booting only.)
        systemd.systemctl("enable", "--quiet", *UNITS)
        for unit in SERVICES:
            systemd.systemctl("start", unit)
        wait_until_healthy()
        _print_welcome(former)
    except InstallationError as error:
        print(f"dockerfw: {error}", file=sys.stderr)
        return 1
    return 0


def _print_welcome(former: str) -> None:
    now = tomllib.loads((CODE / "pyproject.toml").read_text())["project"]["version"]
    came = f", in the place of {former}" if former else ""
    print(f"dockerfw {now} runs{came}; systemd starts it at each boot.")
    name, port = address()
    origins = settings.read("site.env").get("DOCKERFW_CSRF_TRUSTED_ORIGINS", "").replace(",", " ").split()
    url = origins[0] if origins else f"http://{name}:{port}"
    print(f"Address:  {url}/")
    if LISTENS in url:
        print(
            f"It is for this host only. From your desk: ssh -L {port}:{name}:{port} THIS-HOST, then the same."
        )
    if shutil.which("dockerd") is None:
        print("There is no Docker here: rules for the host work, those for containers once Docker has come.")
    link = manage(CODE, "firstadmin", "--if-needed", "--url", url).strip()
    if link:
        print(f"One-time link to create the first admin:  {link}")
    print(
        f"Settings: {SETTINGS}/site.env. Command line: dockerfw --help. At boot {BOOT} loads what was kept."
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
