"""Write the files that a booting host loads before its network comes up.

Owns which files there are and that they are replaced together, each as a whole. Their content comes from
`rules.netfilter.boot`; nothing is ever run or installed from here.
"""

from __future__ import annotations

from pathlib import Path

from rules.host.files import read_bounded, remove_durably, write_all_durably
from rules.netfilter.boot import render_boot_rules, render_boot_script, render_boot_unit
from rules.netfilter.document import Document
from rules.queue.snapshots import Backend

SCRIPT = "dockerfw-boot.sh"
UNIT = "dockerfw-boot.service"
NAMES = ("rules.v4", "rules.v6", SCRIPT, UNIT)

Previous = dict[Path, tuple[bytes, int] | None]


def write_boot_files(document: Document, *, revision: int, backend: Backend, directory: Path) -> Previous:
    """Write all four files durably and return what was there before. Raises OSError; then nothing is new."""
    previous: Previous = {path: _read(path) for path in (directory / name for name in NAMES)}
    script = render_boot_script(backend, document.settings.external_interfaces, str(directory))
    files = {
        directory / "rules.v4": (render_boot_rules(document, 4, revision).encode(), 0o600),
        directory / "rules.v6": (render_boot_rules(document, 6, revision).encode(), 0o600),
        directory / SCRIPT: (script.encode(), 0o700),
        directory / UNIT: (render_boot_unit(str(directory / SCRIPT)).encode(), 0o644),
    }
    try:
        write_all_durably(files)
    except OSError:
        put_back_boot_files(previous)
        raise
    return previous


def put_back_boot_files(previous: Previous) -> None:
    """Write again what `write_boot_files` replaced. Raises OSError."""
    for path, was in previous.items():
        if was is None:
            remove_durably(path)
        elif _read(path) != was:
            write_all_durably({path: was})


def _read(path: Path) -> tuple[bytes, int] | None:
    content = read_bounded(path)
    return None if content is None else (content, path.stat().st_mode & 0o777)
