"""The digest of saves, beside the same said line by line."""

from __future__ import annotations

import hashlib

from hypothesis import example, given
from hypothesis import strategies as st

from dockerfw.messages.snapshots import saves_digest

LINES = st.lists(st.sampled_from(["", "#", "# x", "*filter", "-A INPUT", " # no comment", "a#b"]), max_size=9)


def by_lines(text: str) -> str:
    """Return the digest of one family's save, said as plainly as possible."""
    rules = "\n".join(line for line in text.split("\n") if not line.startswith("#"))
    return hashlib.sha256(b"4\n" + rules.encode() + b"6\n").hexdigest()


@given(LINES)
@example([])
@example(["#"])
@example(["", "#", "", "#"])
def test_lines_that_begin_with_the_mark_of_a_comment_do_not_count(lines: list[str]) -> None:
    text = "\n".join(lines)
    assert saves_digest({4: text, 6: ""}) == by_lines(text)
