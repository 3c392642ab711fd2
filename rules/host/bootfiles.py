"""Write the files that a booting host loads before its network comes up.

Owns which files there are and that they are replaced together, each as a whole. Their content comes from
`rules.netfilter.boot`; nothing is ever run or installed from here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from rules.host.files import read_bounded, remove_durably, write_all_durably
from rules.netfilter.boot import render_boot_rules, render_boot_script, render_boot_unit
from rules.netfilter.document import Document
from rules.queue.snapshots import Backend

SCRIPT = "dockerfw-boot.sh"
UNIT = "dockerfw-boot.service"
MODES = {"rules.v4": 0o600, "rules.v6": 0o600, SCRIPT: 0o700, UNIT: 0o644}


def write_boot_files(document: Document, *, revision: int, backend: Backend, directory: Path) -> None:
    """Write all four files durably, the first put in place after the last is written. Raises OSError."""
    script = render_boot_script(backend, document.settings.external_interfaces, str(directory))
    texts = {
        "rules.v4": render_boot_rules(document, 4, revision),
        "rules.v6": render_boot_rules(document, 6, revision),
        SCRIPT: script,
        UNIT: render_boot_unit(str(directory / SCRIPT)),
    }
    write_all_durably({directory / name: (text.encode(), MODES[name]) for name, text in texts.items()})


def read_boot_files(directory: Path) -> dict[str, str | None]:
    """Return what the files hold now, None for one that is not there. Raises OSError."""
    contents = {name: read_bounded(directory / name) for name in MODES}
    return {
        name: None if content is None else content.decode("utf-8", "surrogateescape")
        for name, content in contents.items()
    }


def put_back_boot_files(directory: Path, was: Mapping[str, str | None]) -> None:
    """Make the files hold again what `read_boot_files` returned. Raises OSError."""
    now = read_boot_files(directory)
    for name, text in was.items():
        if text == now.get(name):
            continue
        if text is None:
            remove_durably(directory / name)
        else:
            content = text.encode("utf-8", "surrogateescape")
            write_all_durably({directory / name: (content, MODES[name])})
