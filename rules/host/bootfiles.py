"""The files that a booting host loads before its network comes up: one complete set for each kept revision.

Owns which files there are and how a set takes the place of the one before: `boot` is a symbolic link to the
set of the apply that was kept last, and is switched in one step. That switch is what makes a revision the
confirmed one: whatever is killed around it, `boot_apply` says whether it happened. Contents come from
`rules.netfilter.boot`; nothing is ever run from here: deploy/ has the unit that runs the script at boot.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from rules.host.confirmed import CONFIRMED, Confirmed
from rules.host.files import link_durably, make_directory, write_all_durably
from rules.host.hooks import reached
from rules.netfilter.boot import render_boot_rules, render_boot_script

SCRIPT = "dockerfw-boot.sh"
MODES = {"rules.v4": 0o600, "rules.v6": 0o600, SCRIPT: 0o700, CONFIRMED: 0o600}
SETS = "boot-sets"


def write_boot_set(confirmed: Confirmed, *, boot: Path, directory: Path | None = None) -> None:
    """Write the files of an apply beside those in use, durably; nothing uses them yet. Raises OSError.

    They go into `directory`, unless told otherwise that of the apply's set.
    """
    document, revision = confirmed.document, confirmed.revision
    directory = directory or boot.parent / SETS / confirmed.apply
    # What an earlier try left, which was killed in the middle.
    shutil.rmtree(directory, ignore_errors=True)
    make_directory(directory)
    script = render_boot_script(confirmed.backend, document.settings.external_interfaces, str(boot))
    texts = {
        "rules.v4": render_boot_rules(document, 4, revision),
        "rules.v6": render_boot_rules(document, 6, revision),
        SCRIPT: script,
        CONFIRMED: confirmed.to_text(),
    }
    write_all_durably({directory / name: (text.encode(), MODES[name]) for name, text in texts.items()})


def switch_boot_set(apply: str, boot: Path) -> None:
    """Make the set of this apply the one that a boot loads. Raises OSError."""
    if boot.is_dir() and not boot.is_symlink():
        # Written before there were sets.
        os.rename(boot, boot.parent / SETS / "before")
    reached("keep-switch")
    link_durably(boot, f"{SETS}/{apply}")


def boot_apply(boot: Path) -> str:
    """Return the id of the apply whose set a boot loads, empty when there is none."""
    try:
        return Path(os.readlink(boot)).name
    except OSError:
        return ""


def remove_old_sets(boot: Path) -> None:
    """Remove every set but the one in use; what cannot be removed stays for the next time."""
    with contextlib.suppress(OSError):
        for directory in (boot.parent / SETS).iterdir():
            if directory.name != boot_apply(boot):
                shutil.rmtree(directory, ignore_errors=True)
