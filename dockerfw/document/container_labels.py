"""The labels of containers that a rule can name, as `label:key=value` or, for any value, `label:key`."""

from __future__ import annotations

import re
from typing import Final

from dockerfw.document.rule_fields import MAX_CONTAINER

LABEL: Final = "label:"
_KEY: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_./-]*", re.ASCII)
# Labels may hold secrets, such as the hashes of passwords. Values of this form alone leave the host.
_VALUE: Final = re.compile(r"[A-Za-z0-9_.:,/@+=-]+", re.ASCII)
_LONGEST: Final = MAX_CONTAINER - len(LABEL)


def label_text(key: str, value: str) -> str:
    """Return `key=value`, the key alone if the value is none that a rule can name, "" if the key is none."""
    text = f"{key}={value}"
    if len(text) <= _LONGEST and _KEY.fullmatch(key) and _VALUE.fullmatch(value):
        return text
    return key if len(key) <= _LONGEST and _KEY.fullmatch(key) else ""


def has_label(labels: tuple[str, ...], selector: str) -> bool:
    """Return True if one of these texts is the label that a selector names."""
    wanted = selector.removeprefix(LABEL)
    if "=" in wanted:
        return wanted in labels
    return any(each == wanted or each.startswith(f"{wanted}=") for each in labels)
