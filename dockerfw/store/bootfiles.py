"""The files that a booting host loads before its network comes up: one complete set for each kept revision.

Owns which files there are and how a set takes the place of the one before: `boot` is a symbolic link to the
set of the apply that was kept last, and is switched in one step. That switch is what makes a revision the
confirmed one: whatever is killed around it, `boot_apply` says whether it happened. A set that is in use is
never written to. Contents come from `dockerfw.chains.boot`; nothing is ever run from here: deploy/ has the
unit that runs the script at boot.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from dockerfw.chains.boot import render_boot_rules, render_boot_script
from dockerfw.host.files import link_durably, make_directory, sync_directory, write_all_durably
from dockerfw.host.hooks import reached
from dockerfw.store.confirmed import CONFIRMED, ConfirmedRecord

SCRIPT = "dockerfw-boot.sh"
MODES = {"rules.v4": 0o600, "rules.v6": 0o600, SCRIPT: 0o700, CONFIRMED: 0o600}
SETS = "boot-sets"
# Follows the apply in the name of a set that takes the place of another one of the same apply.
AGAIN = ".again"


def write_boot_set(confirmed: ConfirmedRecord, *, boot: Path) -> str:
    """Write an apply's set beside the one in use, durably; nothing uses it yet. Raises OSError.

    Returns its name, which is another one than that of the set in use.
    """
    name = confirmed.apply if _set_in_use(boot) != confirmed.apply else confirmed.apply + AGAIN
    directory = boot.parent / SETS / name
    # What an earlier try left, which was killed in the middle.
    shutil.rmtree(directory, ignore_errors=True)
    make_directory(directory)
    texts = boot_texts(confirmed, boot=boot)
    write_all_durably({directory / file: (text.encode(), MODES[file]) for file, text in texts.items()})
    sync_directory(directory.parent)
    return name


def boot_texts(confirmed: ConfirmedRecord, *, boot: Path) -> dict[str, str]:
    """Return what each file of an apply's set has to hold."""
    document, revision = confirmed.document, confirmed.revision
    script = render_boot_script(confirmed.backend, document.settings.external_interfaces, str(boot))
    return {
        "rules.v4": render_boot_rules(document, 4, revision),
        "rules.v6": render_boot_rules(document, 6, revision),
        SCRIPT: script,
        CONFIRMED: confirmed.to_text(),
    }


def switch_boot_set(name: str, boot: Path) -> None:
    """Make the set of this name the one that a boot loads. Raises OSError."""
    if boot.is_dir() and not boot.is_symlink():
        # Written before there were sets.
        os.rename(boot, boot.parent / SETS / "before")
    reached("keep-switch")
    link_durably(boot, f"{SETS}/{name}")


def boot_apply(boot: Path) -> str:
    """Return the id of the apply whose set a boot loads, empty when there is none."""
    return _set_in_use(boot).removesuffix(AGAIN)


def remove_old_sets(boot: Path) -> None:
    """Remove every set but the one in use; what cannot be removed stays for the next time."""
    with contextlib.suppress(OSError):
        for directory in (boot.parent / SETS).iterdir():
            if directory.name != _set_in_use(boot):
                shutil.rmtree(directory, ignore_errors=True)


def _set_in_use(boot: Path) -> str:
    try:
        return Path(os.readlink(boot)).name
    except OSError:
        return ""
