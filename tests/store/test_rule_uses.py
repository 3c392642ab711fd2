"""When rules were used last: counted between looks, stored, and told; nothing is made up."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.surroundings import RuleUses
from dockerfw.store.rule_uses import FILE, MAX_BYTES, UseRecord, count_uses, note_uses, read_uses

FIRST = "2026-11-30T10:00:00.123456Z"


def look(before: UseRecord | None, minute: int, packets: Mapping[str, int], apply: str = "one") -> UseRecord:
    at = f"2026-11-30T{10 + minute // 60:02}:{minute % 60:02}:00.5Z"
    return count_uses(before, at, apply, ("aaaa", "bbbb"), packets)


def told(record: UseRecord) -> dict[str, tuple[str, str]]:
    """Return the minute of the last use, and the one since which a rule is counted."""
    return {each.id: (each.last[11:16], each.since[11:16]) for each in record.rules}


def test_a_counter_that_moves_between_two_looks_is_a_use() -> None:
    first = look(None, 0, {"aaaa": 7})
    assert told(first) == {"aaaa": ("", "10:00"), "bbbb": ("", "10:00")}
    second = look(first, 1, {"aaaa": 7, "bbbb": 1})
    assert told(second) == {"aaaa": ("", "10:00"), "bbbb": ("10:01", "10:00")}
    third = look(second, 2, {"aaaa": 7, "bbbb": 1})
    assert told(third) == told(second)


def test_counters_that_are_set_back_are_no_use() -> None:
    first = look(look(None, 0, {"aaaa": 7, "bbbb": 3}), 1, {"aaaa": 9, "bbbb": 3})
    reset = look(first, 2, {})
    assert told(reset) == {"aaaa": ("10:01", "10:00"), "bbbb": ("", "10:00")}
    assert told(look(reset, 3, {"aaaa": 1})) == {"aaaa": ("10:03", "10:00"), "bbbb": ("", "10:00")}
    # After a long time without a look a rule may have been used before they were set back.
    assert told(look(first, 40, {})) == {"aaaa": ("10:01", "10:40"), "bbbb": ("", "10:40")}


def test_another_apply_makes_no_use() -> None:
    first = look(look(None, 0, {"aaaa": 7}), 1, {"aaaa": 8})
    # Its load may have carried counters over in another way.
    after = look(first, 2, {"aaaa": 16, "bbbb": 0}, "two")
    assert told(after) == {"aaaa": ("10:01", "10:02"), "bbbb": ("", "10:00")}
    assert told(look(after, 3, {"aaaa": 17}, "two"))["aaaa"] == ("10:03", "10:02")


def test_a_rule_that_is_new_is_counted_from_its_first_look_on() -> None:
    first = look(None, 0, {})
    more = count_uses(first, "2026-11-30T10:05:00Z", "two", ("aaaa", "cccc"), {"cccc": 5, "dddd": 9})
    assert told(more) == {"aaaa": ("", "10:00"), "cccc": ("", "10:05")}


def test_a_clock_that_was_wrong() -> None:
    first = look(look(None, 30, {}), 31, {"aaaa": 1})
    # A machine without a clock boots in the past: times do not go back.
    back = look(first, 0, {"aaaa": 2})
    assert told(back)["aaaa"] == ("10:31", "10:30")
    future = count_uses(first, "2036-11-30T10:00:00Z", "one", ("aaaa",), {"aaaa": 5})
    assert told(look(future, 40, {"aaaa": 9})) == {"aaaa": ("", "10:40"), "bbbb": ("", "10:40")}


def test_the_record_outlives_the_root_worker(tmp_path: Path) -> None:
    note_uses(tmp_path, FIRST, "one", ("aaaa", "bbbb"), {})
    uses = note_uses(tmp_path, "2026-11-30T10:01:00Z", "one", ("aaaa", "bbbb"), {"bbbb": 2})
    assert uses.unused == ("aaaa",)
    assert [(each.id, each.last, each.since) for each in uses.rules] == [("bbbb", "2026-11-30T10:01:00Z", "")]
    assert RuleUses.from_json(load_json(dump_json(uses.to_json()))) == uses
    again = read_uses(tmp_path)
    assert again is not None
    assert again.report() == uses
    assert (tmp_path / FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format":"dockerfw-uses/1","apply":7}', b"[" * 100_000])
def test_a_record_that_cannot_be_read_starts_anew(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    uses = note_uses(tmp_path, FIRST, "one", ("aaaa",), {"aaaa": 9})
    assert (uses.since, uses.unused, uses.rules) == ("2026-11-30T10:00:00Z", ("aaaa",), ())


def test_a_disk_that_is_full_stops_no_look(tmp_path: Path) -> None:
    uses = note_uses(tmp_path / "gone", FIRST, "one", ("aaaa",), {})
    assert uses.unused == ("aaaa",)


def test_idle_looks_are_not_stored_each(tmp_path: Path) -> None:
    written = []
    for minute in range(12):
        note_uses(tmp_path, f"2026-11-30T10:{minute:02}:00Z", "one", ("aaaa",), {})
        record = read_uses(tmp_path)
        assert record is not None
        written.append(record.looked[14:16])
    assert written == ["00"] * 6 + ["06"] * 6


def test_the_record_of_the_largest_document_fits() -> None:
    rules = [f"r{number:05}" for number in range(20_000)]
    first = count_uses(None, FIRST, "0" * 36, rules, {})
    second = count_uses(first, "2026-11-30T10:01:00Z", "0" * 36, rules, dict.fromkeys(rules, 2**53 - 1))
    assert len(second.to_bytes()) < MAX_BYTES / 4
    assert len(dump_json(second.report().to_json())) < 2_000_000
    assert UseRecord.from_bytes(second.to_bytes(), FILE) == second
    assert len(dump_json(first.report().to_json())) < 300_000
    assert datetime.fromisoformat(second.rules[0].last) == datetime(2026, 11, 30, 10, 1, tzinfo=UTC)


def test_an_unchanged_record_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    parse = UseRecord.from_bytes

    def count(raw: bytes, name: str) -> UseRecord:
        read.append(name)
        return parse(raw, name)

    note_uses(tmp_path, FIRST, "one", ("aaaa",), {})
    monkeypatch.setattr(UseRecord, "from_bytes", count)
    for minute in range(1, 4):
        note_uses(tmp_path, f"2026-11-30T10:{minute:02}:00Z", "one", ("aaaa",), {})
    assert len(read) == 1
    note_uses(tmp_path, "2026-11-30T10:04:00Z", "one", ("aaaa",), {"aaaa": 1})
    assert read_uses(tmp_path) is read_uses(tmp_path)
    assert len(read) == 2
