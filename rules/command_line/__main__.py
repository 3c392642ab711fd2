"""`python -m rules.command_line VERB`: the dashboard's verbs. The command `dockerfw` starts it.

On a host where scripts/install installed dockerfw, most verbs need the settings and the account of the web
pages. This module reads the right settings files and switches from root to that account. Files named on the
command line are opened as that account, so files that it cannot read have to come on standard input.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence
from pathlib import Path

from dockerfw.settings import text_of
from dockerfw.settings_files import SETTINGS, read_settings_file, root_settings
from dockerfw.streams import InputError
from dockerfw_site.environment import BASE_DIR
from manage import main as manage

ACCOUNT = "dockerfw"
DATA = Path("/var/lib/dockerfw-web")
STATE = Path("/var/lib/dockerfw")
# scripts/install creates this file in the folder of the code.
MARK = ".installed"
AS_ROOT = frozenset({"doctor", "backup", "restore"})
# Commands of manage.py that are not verbs of `firewall`.
OF_MANAGE = frozenset({"firstadmin", "changepassword", "createsuperuser"})


def main(arguments: Sequence[str]) -> int:
    """Run a verb of the dashboard and return its status; 2, with one sentence, if it cannot run here."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    words = list(arguments)
    try:
        if (BASE_DIR / MARK).exists():
            _use_installation(verb, words)
    except InputError as error:
        print(f"dockerfw: {error}", file=sys.stderr)
        return 2
    if verb == "restore" and text_of(os.environ, "DOCKERFW_SERVICE") == "tools":
        # This container is not in the host's network, so it cannot compare the rules.
        words.append("--no-live")
    sys.argv = ["manage.py", *([] if verb in OF_MANAGE else ["firewall"]), *words]
    return manage()


def installation_settings(verb: str, settings: Path = SETTINGS) -> dict[str, str]:
    """Return an installed host's variables: the web pages', and for root's verbs also the root worker's."""
    web = {
        "DOCKERFW_DATA_DIR": str(DATA),
        **read_settings_file(settings / "web.env"),
        **read_settings_file(settings / "site.env"),
    }
    if verb not in AS_ROOT:
        return web
    host = root_settings(settings)
    # These verbs read Redis as the web pages' user, also when they run as root.
    for name in ("DOCKERFW_REDIS_URL", "DOCKERFW_REDIS_URL_FILE"):
        host.pop(name, None)
    return {**web, "DOCKERFW_STATE_DIR": str(STATE), **host}


def _use_installation(verb: str, words: Sequence[str]) -> None:
    """Use the settings of the installed host, and switch to its account unless the verb needs root."""
    if os.geteuid() != 0:
        raise InputError(
            f"this needs root, and drops it for most verbs. Run: sudo dockerfw {' '.join(words)}"
        )
    # sudo names the admin, and the history shows that name.
    admin = os.environ.get("SUDO_USER") or os.environ.get("LOGNAME") or "root"
    for name in [name for name in os.environ if name.startswith("DOCKERFW_")]:
        del os.environ[name]
    os.environ |= {**installation_settings(verb), "LOGNAME": admin, "PYTHONDONTWRITEBYTECODE": "1"}
    if verb in AS_ROOT:
        return
    try:
        entry = pwd.getpwnam(ACCOUNT)
    except KeyError:
        raise InputError(f"the account {ACCOUNT} does not exist. Run scripts/install --host again") from None
    os.initgroups(ACCOUNT, entry.pw_gid)
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    os.environ["HOME"] = entry.pw_dir


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
