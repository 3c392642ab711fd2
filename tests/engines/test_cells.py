"""Three columns of docs/engines.md, tried again: what comes out has to be what is recorded there.

scripts/matrix tries all of them.
"""

from __future__ import annotations

import pytest

from tests.engines.matrix import run_world
from tests.engines.page import NAME
from tests.rig.docker_host import why_unavailable
from tests.rig.engines import ENGINES
from tests.rig.matrix_results import Cell, read_record
from tests.rig.namespace import Backend
from tests.rig.trees import why_unavailable as why_no_trees

pytestmark = pytest.mark.lab


@pytest.mark.parametrize(
    ("engine", "backend", "own_ipv6"),
    [("20.10", "nft", False), ("20.10", "legacy", False), ("28.5", "nft", True)],
)
def test_an_engine_does_what_is_recorded(engine: str, backend: Backend, own_ipv6: bool) -> None:
    reason = why_unavailable() or why_no_trees()
    if reason:
        pytest.skip(f"no engines: {reason}")
    heard: list[tuple[Cell, tuple[str, ...]]] = []
    _, cells = run_world(
        ENGINES[engine], backend, own_ipv6=own_ipv6, say=lambda cell, problems: heard.append((cell, problems))
    )
    tables = {"own"} if own_ipv6 else {"ipv4", "proxy"}
    recorded = {
        cell
        for cell in read_record(NAME).cells
        if cell.column == f"{engine} {backend}" and cell.table in tables
    }
    assert len(cells) == len(set(cells)) > 5
    assert set(cells) == recorded, [each for each in heard if each[1]]
