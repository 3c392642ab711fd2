"""One folder per scenario: a document, the host's live rules, and the expected restore texts."""

from __future__ import annotations

from pathlib import Path

import pytest

from dockerfw.chains.render import render_restore
from dockerfw.document.document import load_document
from dockerfw.iptables.model import Family
from dockerfw.iptables.parse import parse_save

FOLDERS = sorted(path.parent for path in Path(__file__).parents[1].glob("scenarios/*/document.json"))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.name))
@pytest.mark.parametrize("family", [4, 6])
def test_the_expected_text_is_rendered(folder: Path, family: Family) -> None:
    document = load_document((folder / "document.json").read_bytes())
    save = folder / f"live.v{family}.save"
    live = parse_save(save.read_bytes()) if save.exists() else None
    text = render_restore(document, family, live=live, revision=12, counters=live is not None)
    assert text == (folder / f"expected.v{family}").read_text()
