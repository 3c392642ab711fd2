"""The root worker with windows of a few seconds: `python -m tests.faults.short_windows SECONDS`.

Its time limits for one load are short as well, so that what hangs need not be waited for.
"""

from __future__ import annotations

import sys

from dockerfw.agent import apply
from dockerfw.agent.root import main
from dockerfw.host import loading as restore

if __name__ == "__main__":
    restore.RESTORE_SECONDS = 2.5
    apply.LOADING_SECONDS = 8.0
    sys.exit(main(window_seconds=int(sys.argv[1])))
