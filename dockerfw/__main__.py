"""`python -m dockerfw VERB`: the command `dockerfw`."""

from __future__ import annotations

import sys

from dockerfw.command_line.main import main

if __name__ == "__main__":
    sys.exit(main())
