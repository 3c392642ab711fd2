"""Long lists: the first entries are shown, the others folded with their number."""

from __future__ import annotations

import re

import pytest
from django.template import Context, Template, TemplateSyntaxError

HEAD = "{% load folding %}"
LIST = "{% fold names as name most=30 beyond=' in the file' %}<li>{{ name }}{{ after }}</li>{% endfold %}"


def drawn(names: list[str]) -> str:
    """Return the list as the tag renders it."""
    return Template(f"{HEAD}{LIST}").render(Context({"names": names, "after": "!"}))


def test_a_short_list_is_not_folded() -> None:
    found = drawn([f"n{number}" for number in range(20)])
    assert found.count("<li>") == 20
    assert "<details>" not in found


def test_what_is_past_the_twentieth_is_folded_and_counted() -> None:
    found = drawn([f"n{number}" for number in range(40)])
    before, folded = found.split("<details>")
    assert before.count("!</li>") == 20
    assert "<summary>20 more</summary>" in folded
    assert folded.count("!</li>") == 10
    assert "10 more in the file" in folded
    assert re.findall(r"n\d+!", found) == [f"n{number}!" for number in range(30)]


def test_entries_are_escaped_once() -> None:
    found = drawn(["<b>&"] * 25)
    assert found.count("&lt;b&gt;&amp;!") == 25
    assert "<b>" not in found


def test_a_wrong_tag_is_an_error() -> None:
    with pytest.raises(TemplateSyntaxError):
        Template(f"{HEAD}{{% fold names %}}{{% endfold %}}")
