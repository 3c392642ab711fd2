"""Read the free space of a folder's file system."""

from __future__ import annotations

from pathlib import Path

from dockerfw.host.space import space_of
from dockerfw.messages.space import Space


def room(path: Path, *, contained: bool = False) -> Space | None:
    """Return the free space at a folder, None when it cannot be read.

    In a container a folder that is not a mount belongs to the image and tells nothing about the host.
    """
    if contained and not path.is_mount():
        return None
    try:
        return space_of(path)
    except OSError:
        return None
