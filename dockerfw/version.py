"""dockerfw's version: the one place where it is written; pyproject's has to be the same, which a test holds.

It imports nothing, so that every process, the command line and the doctor can tell it.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.2.0.dev0"
