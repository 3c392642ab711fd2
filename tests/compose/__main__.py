"""`python -m tests.compose [--engine NAME] …`: the story as the suite does not play it."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import pytest

from tests.compose.engines import OWN_COMPOSE, TRIED
from tests.compose.installed import VARIANT
from tests.rig.engines import NEWEST


def main(arguments: list[str]) -> int:
    """Return pytest's status; what is not known goes to pytest."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.compose", description=(__doc__ or "").split(": ")[1]
    )
    parser.add_argument(
        "--engine", choices=TRIED, default=NEWEST.name, help=f"the host's Docker, not {NEWEST.name}"
    )
    parser.add_argument(
        "--own-compose", action="store_true", help=f"Compose of the release itself: {', '.join(OWN_COMPOSE)}"
    )
    parser.add_argument(
        "--legacy", action="store_true", help="the host's iptables, and so Docker's, is the legacy one"
    )
    parser.add_argument("--postgres", action="store_true", help="the profile postgres instead of SQLite")
    options, others = parser.parse_known_args(arguments)
    if options.own_compose and options.engine not in OWN_COMPOSE:
        parser.error(f"the release that brings Docker {options.engine} has no Compose of its own")
    chosen = {"own-compose": options.own_compose, "legacy": options.legacy, "postgres": options.postgres}
    os.environ[VARIANT] = " ".join([options.engine, *(word for word, said in chosen.items() if said)])
    return pytest.main([str(Path(__file__).parent), "-p", "no:cacheprovider", *others])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
