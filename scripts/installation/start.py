"""Start the installed version, wait until it serves, and print its address: `... scripts.installation.start`.

It is a process of its own, because the modules of the installer's process have moved.
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
    """Start it; 0 when it serves, 1 when not. `former` is the previous version."""
    try:
        # (The boot unit only runs at boot.)
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
    came = f" and replaces {former}" if former else ""
    print(f"dockerfw {now} is running{came}. systemd starts it at each boot.")
    name, port = address()
    origins = settings.read("site.env").get("DOCKERFW_CSRF_TRUSTED_ORIGINS", "").replace(",", " ").split()
    url = origins[0] if origins else f"http://{name}:{port}"
    print(f"Address:  {url}/")
    if LISTENS in url:
        print(
            f"Only this host can reach it. From your computer, run ssh -L {port}:{name}:{port} THIS-HOST and"
            " open the same address."
        )
    if shutil.which("dockerd") is None:
        print("Docker is not installed: rules for the host work now, rules for containers once it is.")
    link = manage(CODE, "firstadmin", "--if-needed", "--url", url).strip()
    if link:
        print(f"One-time link to create the first admin:  {link}")
    print(
        f"Settings: {SETTINGS}/site.env. Command line: dockerfw --help. At boot {BOOT} loads the confirmed"
        " revision."
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
