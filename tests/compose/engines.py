"""The engines that the Compose installation is tested on: those of scripts/matrix and of other releases.

Each has the Compose of Debian's newest engine, unless the release's own is asked for.
"""

from __future__ import annotations

from pathlib import Path

from tests.rig.engines import ENGINES, NEWEST, PACKAGES, PLUGINS, Engine, compose_program
from tests.rig.trees import tree

TRIED = {
    **ENGINES,
    "20.10.5": Engine("20.10.5", "bullseye", PACKAGES),
    "24.0": Engine("24.0", "noble", PACKAGES),
}
# The package with Compose's plugin, where the release has one: 2.24, 2.26 and 2.40.
OWN_COMPOSE = {"24.0": "docker-compose-v2", "26.1": "docker-compose", "28.5": "docker-compose"}
# Where a host finds the files of the newest engine's release.
_NEWEST = "/srv/newest"


def host_files(engine: Engine, own_compose: bool, scratch: Path) -> tuple[Path, dict[str, Path]]:
    """Return a host's tree, and the folders to bind in it so that its client finds Compose.

    `scratch` will be one of these.
    """
    if own_compose or engine == NEWEST:
        return tree(engine.suite, {*engine.packages, OWN_COMPOSE[engine.name]}), {}
    program = compose_program()
    newest = program.parents[len(PLUGINS.parts)]
    # On its own libraries, since those of an older release will not do.
    loader = next(newest.glob("usr/lib/*/ld-linux*.so.*")).relative_to(newest)
    words = (
        *(f"{_NEWEST}/{loader}", "--library-path", f"{_NEWEST}/{loader.parent}"),
        *("--argv0", program.name, f"{_NEWEST}/{program.relative_to(newest)}"),
    )
    scratch.mkdir()
    plugin = scratch / program.name
    plugin.write_text(f'#!/bin/sh\nexec {" ".join(words)} "$@"\n')
    plugin.chmod(0o755)
    return engine.debian(), {f"/{PLUGINS}": scratch, _NEWEST: newest}
