"""Programs that wait for one another, so that only those that run at the same time succeed."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

# Far less than the time limits of the commands that dockerfw runs.
_SECONDS = 10


def let_meet(directory: Path, *programs: str) -> Mapping[str, str]:
    """Put scripts for these programs before them in PATH, and return the environment that leads there.

    The first call of each waits until each of the others was called; one that waits in vain fails.
    """
    for name in programs:
        others = [f"[ -e {directory}/{each}.came ]" for each in programs if each != name]
        (directory / name).write_text(
            f"""#!/bin/sh
: >{directory}/{name}.came
end=$(($(date +%s) + {_SECONDS}))
until {" && ".join(others)}; do
    [ "$(date +%s)" -gt $end ] && echo "{name} waited in vain" >&2 && exit 9
    sleep 0.02
done
exec {shutil.which(name)} "$@"
"""
        )
        (directory / name).chmod(0o755)
    return {"PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"}
