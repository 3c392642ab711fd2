"""Characters that a reader cannot see, and how they are printed."""

from __future__ import annotations

import io
import json

import pytest

from dockerfw.plain_text import find_hidden, is_hidden, make_json_visible, make_visible
from dockerfw.streams import Output

HIDDEN = {
    "escape": "\x1b",
    "line end": "\n",
    "C1 control": "\x9b",
    "override": "\u202e",
    "isolate": "\u2066",
    "zero-width space": "\u200b",
    "joiner": "\u200d",
    "byte order mark": "\ufeff",
    "soft hyphen": "\xad",
    "tag": "\U000e0041",
    "variation": "\U000e0101",
    "line separator": "\u2028",
    "surrogate": "\udc80",
    "filler": "\u3164",
}
SEEN = "Ä ß 日本語 عربى ไทย € 🔥 ⚙\ufe0f -"


@pytest.mark.parametrize("name", HIDDEN)
def test_they_are_found_and_escaped(name: str) -> None:
    character = HIDDEN[name]
    assert [position for position, _ in find_hidden(f"ab{character}c")] == [3]
    shown = make_visible(f"a{character}b")
    assert character not in shown
    assert shown.startswith("a\\")
    assert not any(is_hidden(each) for each in shown)


def test_other_text_stays() -> None:
    assert list(find_hidden(SEEN)) == []
    assert make_visible(SEEN) == SEEN


def test_what_is_found_has_a_name() -> None:
    assert list(find_hidden("a\u202e\x1b")) == [
        (2, "U+202E, right-to-left override"),
        (3, "U+001B, a control character"),
    ]


def test_json_stays_the_same_value() -> None:
    value = {"text": "".join(HIDDEN.values()) + SEEN, "list": [1, 2]}
    shown = make_json_visible(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(shown) == value
    assert not any(is_hidden(each) for each in shown if each != "\n")


def test_a_verb_writes_nothing_that_a_terminal_obeys() -> None:
    out, err = io.StringIO(), io.StringIO()
    output = Output(out=out, err=err, as_json=False)
    output.line("one\ntwo\x1b[2J")
    output.note("\u202e\x07")
    output.json({"a": "\x9b"})
    assert out.getvalue() == 'one\ntwo\\x1b[2J\n{\n  "a": "\\u009b"\n}\n'
    assert err.getvalue() == "\\u202e\\x07\n"
