"""`python -m tests.compose [--legacy] [--postgres]`: the story as the suite does not play it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest

from tests.compose.installed import VARIANT


def main(arguments: list[str]) -> int:
    """Return pytest's status; what is not known goes to pytest."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.compose", description=(__doc__ or "").split(": ")[1]
    )
    parser.add_argument(
        "--legacy", action="store_true", help="the host's iptables, and so Docker's, is the legacy one"
    )
    parser.add_argument("--postgres", action="store_true", help="the profile postgres instead of SQLite")
    options, others = parser.parse_known_args(arguments)
    os.environ[VARIANT] = " ".join(name for name in ("legacy", "postgres") if getattr(options, name))
    return pytest.main([str(Path(__file__).parent), "-p", "no:cacheprovider", *others])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
