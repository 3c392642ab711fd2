"""The boot files, which a host loads at boot before its network starts: a complete set per revision.

`boot` is a symbolic link to the set of the last confirmed apply, and is switched in one step. That switch is
what confirms a revision: whatever is killed around it, `boot_apply` says whether it happened. A set in use is
never written to. The contents come from `dockerfw.chains.boot`, and the unit in deploy/ runs the script at
boot.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from dockerfw.chains.boot import STATIC_SETS, render_boot_chains, render_boot_script
from dockerfw.chains.bound_sets import bound_sets_of
from dockerfw.chains.log_lines import has_log_lines
from dockerfw.chains.names import FORWARD
from dockerfw.chains.static_sets import filling_text
from dockerfw.host.files import link_durably, make_directory, sync_directory, write_all_durably
from dockerfw.host.hooks import checkpoint
from dockerfw.iptables.model import FAMILIES
from dockerfw.store.confirmed import CONFIRMED, ConfirmedRecord, read_confirmed

SCRIPT = "dockerfw-boot.sh"
MODES = {"rules.v4": 0o600, "rules.v6": 0o600, SCRIPT: 0o700, CONFIRMED: 0o600}
"""The files that every set of boot files has, with their modes. One with static sets has another file."""
SETS = "boot-sets"
# The ending of a set that replaces another set of the same apply.
REPLACEMENT = ".again"


def write_boot_set(confirmed: ConfirmedRecord, *, boot: Path) -> str:
    """Write the set of an apply durably and return its name. Raises OSError.

    The name differs from that of the set in use, which stays in use.
    """
    name = confirmed.apply if _set_in_use(boot) != confirmed.apply else confirmed.apply + REPLACEMENT
    directory = boot.parent / SETS / name
    # An earlier try may have been killed in the middle.
    shutil.rmtree(directory, ignore_errors=True)
    make_directory(directory)
    texts = boot_texts(confirmed, boot=boot)
    write_all_durably(
        {directory / file: (text.encode(), MODES.get(file, 0o600)) for file, text in texts.items()}
    )
    sync_directory(directory.parent)
    return name


def boot_texts(confirmed: ConfirmedRecord, *, boot: Path, logs: bool | None = None) -> dict[str, str]:
    """Return the contents of the files in the set of an apply.

    `logs` is whether the script is for rules with log lines, None to look.
    """
    renderings = {family: confirmed.rendering(family) for family in FAMILIES}
    if logs is None:
        logs = any(has_log_lines(rendering.chains) for rendering in renderings.values())
    interfaces = confirmed.document.settings.external_interfaces
    own_jumps = [family for family in FAMILIES if renderings[family].jumps.get(FORWARD)]
    rules = {family: render_boot_chains(renderings[family].chains) for family in FAMILIES}
    static = filling_text(confirmed.sets)
    script = render_boot_script(
        confirmed.backend,
        interfaces,
        str(boot),
        own_jumps,
        bound_sets_of(rules.values()),
        static_sets=bool(static),
        logs=logs,
    )
    return {
        "rules.v4": rules[4],
        "rules.v6": rules[6],
        **({STATIC_SETS: static} if static else {}),
        SCRIPT: script,
        CONFIRMED: confirmed.to_text(),
    }


def switch_boot_set(name: str, boot: Path) -> None:
    """Make a boot load the set with this name. Raises OSError."""
    if boot.is_dir() and not boot.is_symlink():
        # An earlier version wrote the files here directly.
        os.rename(boot, boot.parent / SETS / "before")
    checkpoint("keep-switch")
    link_durably(boot, f"{SETS}/{name}")


def boot_apply(boot: Path) -> str:
    """Return the id of the apply whose set a boot loads, empty if there is none."""
    return _set_in_use(boot).removesuffix(REPLACEMENT)


def read_confirmed_again(known: ConfirmedRecord | None, boot: Path) -> ConfirmedRecord | None:
    """Return the revision that a boot loads; `known` was read before and is read again only if it changed.

    The record of one apply's id never changes. Raises StateError and OSError.
    """
    if known is not None and known.apply == boot_apply(boot):
        return known
    return read_confirmed(boot)


def remove_old_sets(boot: Path) -> None:
    """Remove every set but the one in use; what cannot be removed stays until the next call."""
    with contextlib.suppress(OSError):
        for directory in (boot.parent / SETS).iterdir():
            if directory.name != _set_in_use(boot):
                shutil.rmtree(directory, ignore_errors=True)


def _set_in_use(boot: Path) -> str:
    try:
        return Path(os.readlink(boot)).name
    except OSError:
        return ""
