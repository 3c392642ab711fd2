"""Where tests keep what takes minutes to build, so that the next run finds it, also from another clone."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path


def cache_folder(name: str) -> Path:
    """Return a folder of this user's cache, a new one each month, so that nothing in it grows old.

    `DOCKERFW_TEST_CACHE` names another place than the user's cache folder (`XDG_CACHE_HOME`, `~/.cache`).
    """
    given = os.environ.get("DOCKERFW_TEST_CACHE", "")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    base = Path(given) if given else home / "dockerfw-tests"
    return base / f"{name}-{datetime.now(UTC):%Y-%m}"
