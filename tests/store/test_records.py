"""The bytes of the stored files, which earlier releases and other processes read too."""

from __future__ import annotations

from dockerfw.messages.outcomes import Step
from dockerfw.store.records import UndoRecord, WindowRecord
from dockerfw.store.state import LastOrder

APPLY = "0b8d6a1e-9c2f-4d53-8a77-0123456789ab"


def test_a_window_is_written_as_release_0_1_0_wrote_it() -> None:
    step = Step("lock", "done", "2026-01-31T12:00:00Z", 0.1, "")
    window = WindowRecord(APPLY, "local", 5, 3, "ab" * 32, "loading", 60, 1.5, 61.5, "boot", (step,))
    # The watchdog searches the file for its apply as text.
    assert window.to_bytes().decode() == (
        f'{{"format": "dockerfw-window/1", "apply": "{APPLY}", "host": "local", "event": 5, "revision": 3, '
        f'"digest": "{"ab" * 32}", "phase": "loading", "seconds": 60, "opened": 1.5, "deadline": 61.5, '
        '"boot": "boot", "steps": [{"name": "lock", "state": "done", "at": "2026-01-31T12:00:00Z", '
        '"seconds": 0.1, "detail": ""}], "end_sessions": false}'
    )


def test_an_undo_record_is_written_as_release_0_1_0_wrote_it() -> None:
    undo = UndoRecord(APPLY, "nft", {"format": "dockerfw/1"}, {4: "# \udcff\n", 6: ""}, {4: "x"})
    assert undo.to_bytes().decode() == (
        f'{{"format": "dockerfw-undo/2", "apply": "{APPLY}", "backend": "nft", '
        '"document": {"format": "dockerfw/1"}, "saves": {"4": "# \\udcff\\n", "6": ""}, '
        '"restores": {"4": "x"}}'
    )


def test_the_sequence_is_written_as_release_0_1_0_wrote_it() -> None:
    assert LastOrder(7, APPLY).to_bytes().decode() == f'{{"sequence": 7, "apply": "{APPLY}"}}'
