"""`dockerfw VERB`: `manage.py firewall VERB` on an installed host, with its settings and as the right user.

What changes the kernel or reads everything is done as root; all else as the user of the pages. The files that
are named are so opened as that user: where it may not, hand them over on standard input.
"""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Sequence

from scripts.installation import settings
from scripts.installation.places import CODE, WEB_USER

CONSOLE = frozenset({"panic", "release"})
AS_ROOT = CONSOLE | {"doctor", "backup", "restore"}
# Commands of manage.py that are no verbs of `firewall`.
OWN = frozenset({"firstadmin", "changepassword", "createsuperuser"})


def main(arguments: Sequence[str]) -> int:
    """Become the command; returns only when that could not be done."""
    verb = next((word for word in arguments if not word.startswith("-")), "")
    as_root = verb in AS_ROOT
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "DOCKERFW_"))}
    environment = {
        **kept,
        **_settings(verb),
        # Who it was stands in the history, and sudo tells.
        "LOGNAME": os.environ.get("SUDO_USER") or os.environ.get("LOGNAME") or "root",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    if not as_root:
        try:
            entry = pwd.getpwnam(WEB_USER)
        except KeyError:
            print(f"dockerfw: there is no account {WEB_USER}: call scripts/install again.", file=sys.stderr)
            return 1
        os.initgroups(WEB_USER, entry.pw_gid)
        os.setgid(entry.pw_gid)
        os.setuid(entry.pw_uid)
        environment["HOME"] = entry.pw_dir
    program = str(CODE / ".venv" / "bin" / "python")
    words = [program, str(CODE / "manage.py"), *([] if verb in OWN else ["firewall"]), *arguments]
    return os.execve(program, words, environment)


def _settings(verb: str) -> dict[str, str]:
    if verb in CONSOLE:
        return settings.console_environment()
    return settings.root_environment() if verb in AS_ROOT else settings.web_environment()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
