"""Refuse characters that a reader cannot see in the texts that people write: reasons, comments.

Texts that were stored before stay readable, and are escaped where a page, a terminal or a log shows them.
"""

from __future__ import annotations

from collections.abc import Mapping

from dockerfw.iptables.errors import FieldError
from dockerfw.plain_text import find_hidden
from rules.pages.errors import Invalid


def check_texts(texts: Mapping[str, str]) -> None:
    """Check texts, each under the path of its field. Raises Invalid."""
    errors = []
    for path, text in texts.items():
        if found := next(find_hidden(text), None):
            position, name = found
            errors.append(
                FieldError(
                    path, f"character {position} ({name}) is invisible. Remove it, or type the text again"
                )
            )
    if errors:
        raise Invalid(tuple(errors))
