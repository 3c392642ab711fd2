"""Sentences about the bound sets that admins read: in outcomes, events and logs."""

from __future__ import annotations

from typing import Final

FILLED_DIFFERS: Final = "The ipsets do not hold what they were filled with"
CHANGED_BY_OTHERS: Final = (
    "Another program had changed {names}. The root worker filled it again with what this host shows."
)

LISTS_CHANGED_BY_OTHERS: Final = (
    "Another program had changed {names}. The root worker filled it again from the lists of this host."
)
LISTS_OF_OTHERS = "the order about lists is for the host {host!r}"
LISTS_OUT_OF_ORDER = "the order about lists has the number {sequence}, which is not the next one"

# After "the kernel was read 5 seconds ago, before".
LIST_FILLED: Final = "a list was filled"
LISTS_FILLED: Final = "{count} lists were filled"
MEMBERS_CHANGED: Final = "the addresses of containers changed"
