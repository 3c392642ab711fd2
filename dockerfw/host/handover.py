"""Replace this process by another program."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import NoReturn


def become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
    """Run another program in the place of this one. Raises OSError."""
    os.execve(command[0], list(command), dict(environment))  # noqa: S606
