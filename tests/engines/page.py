"""The tables of docs/engines.md, made of what the last full run recorded."""

from __future__ import annotations

from pathlib import Path

from tests.engines.matrix import ROWS
from tests.engines.world import Way
from tests.rig.engines import ENGINES
from tests.rig.matrix_results import read_record, render_table, render_versions, with_generated
from tests.rig.namespace import BACKENDS

NAME = "engines"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "engines.md"
COLUMNS = {f"{engine} {backend}": f"{engine} {backend}" for engine in ENGINES for backend in BACKENDS}
TITLES: dict[Way, str] = {
    "ipv4": "over IPv4",
    "proxy": "over IPv6, containers have IPv4 only",
    "own": "over IPv6, containers have addresses of their own",
}


def rendered(page: str) -> str:
    """Return the page with its tables as the record has them."""
    record = read_record(NAME)
    programs = ("docker", "iptables", "compose", "kernel")
    versions = f"Run on {record.ran}.\n\n{render_versions(record, 'engine', programs)}"
    page = with_generated(page, "versions", versions)
    for way, title in TITLES.items():
        page = with_generated(page, way, render_table(record, way, title, ROWS, COLUMNS))
    return page
