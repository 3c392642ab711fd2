"""The files that doctor compares an installation with: the boot unit and the template of Redis' users.

In a clone and in an installed dashboard they lie in deploy/. The wheel carries a copy beside this module.
"""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[1]
_FOLDERS = (PACKAGE / "deploy", PACKAGE.parent / "deploy")

USERS_TEMPLATE = "redis/users.acl"


def shipped_file(name: str) -> Path:
    """Return the path of a shipped file, by its path below deploy/."""
    return next((folder / name for folder in _FOLDERS if (folder / name).is_file()), _FOLDERS[-1] / name)


def code_folder() -> Path:
    """Return the folder of the code that root runs: the whole clone, or the package of the wheel."""
    return PACKAGE.parent if (PACKAGE.parent / "manage.py").is_file() else PACKAGE
