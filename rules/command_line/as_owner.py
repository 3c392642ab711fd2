"""Do something as the ordinary user who owns a file, when this process is root.

SQLite leaves files beside a database that belong to whoever opened it: root must never be that.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


class NotTheOwner(Exception):  # noqa: N818 - it states a fact
    """This process can neither be the owner of the file nor become it."""


def as_owner(path: Path, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Return what `call` returns, which has to be JSON; root calls it in a child that is the file's owner.

    Where the folder is an ordinary user's, that user counts as the owner: what lies in it may be a link to a
    file of root's. Raises NotTheOwner, and OSError when nobody may look at the file.
    """
    owner, folder = path.lstat(), path.parent.stat()
    if os.geteuid() == 0 and folder.st_uid != 0:
        owner = folder
    if owner.st_uid == os.geteuid():
        return call()
    if os.geteuid() != 0:
        raise NotTheOwner("only its owner, or root, can ask the database")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        _be_the_owner(owner, call, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as answer:
        raw = answer.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status != 0:
        raise NotTheOwner("this process may not become the user that the database belongs to")
    value: dict[str, Any] = json.loads(raw)
    return value


def _be_the_owner(owner: os.stat_result, call: Callable[[], dict[str, Any]], writing: int) -> None:
    status = 1
    try:
        os.setgroups([])
        os.setgid(owner.st_gid)
        os.setuid(owner.st_uid)
        with os.fdopen(writing, "wb") as answer:
            answer.write(json.dumps(call()).encode())
        status = 0
    except OSError as error:
        print(f"dockerfw: {error}", file=sys.stderr)
    finally:
        os._exit(status)
