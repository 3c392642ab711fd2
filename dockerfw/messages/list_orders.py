"""The messages that tell a host what feeds, DNS names and countries stand for: parts of lists, and the order.

A list is its canonical text, compressed, in parts that fit into a queue's entry. The order names the lists by
digest. Both are signed with the key for lists, which carries out nothing else.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from dockerfw.chains.list_entries import MOST_ENTRIES
from dockerfw.messages.codec import Absent, AtMost, Message
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Digest, HostName, Positive, SignatureText, Text, Time, Whole

MOST_LISTS: Final = 500
MOST_PARTS: Final = 32
PART_CHARACTERS: Final = 2 * 1024 * 1024
MOST_PACKED: Final = MOST_PARTS * PART_CHARACTERS

_DEFINITION = re.compile(r"[0-9a-f]{20}", re.ASCII)
_BASE64 = re.compile(r"[A-Za-z0-9+/]+={0,2}", re.ASCII)

Definition = Annotated[str, Text(20, _DEFINITION.fullmatch, "the digest of a group's definition")]
EntryCount = Annotated[int, Whole(most=MOST_ENTRIES)]


@dataclass(frozen=True, slots=True)
class BoundList(Message):
    """One list: the definition of its group, and the digest and counts of what it stands for now.

    `packed` is the digest of the packed text that the parts make up.
    """

    definition: Definition
    number: Positive
    digest: Digest
    packed: Digest
    parts: Annotated[int, Whole(1, MOST_PARTS)]
    entries4: EntryCount
    entries6: EntryCount

    def check(self) -> None:
        """Refuse more entries than one list may have."""
        if self.entries4 + self.entries6 > MOST_ENTRIES:
            raise MessageError("entries4", f"with entries6 is more than {MOST_ENTRIES}")


@dataclass(frozen=True, slots=True)
class ListPart(Message):
    """One part of a packed list, counted from 0."""

    FORMAT: ClassVar = "dockerfw-list-part/1"

    host: HostName
    packed: Digest
    part: Annotated[int, Whole(0, MOST_PARTS - 1)]
    text: Annotated[str, Text(PART_CHARACTERS, _BASE64.fullmatch, "text in base64")]
    issued_at: Time
    signature: Annotated[SignatureText, Absent.WHEN_EMPTY] = ""


@dataclass(frozen=True, slots=True)
class BindLists(Message):
    """The order to fill the sets of these lists, all that the loaded rules of the host need."""

    FORMAT: ClassVar = "dockerfw-lists/1"

    host: HostName
    sequence: Positive
    lists: Annotated[tuple[BoundList, ...], AtMost(MOST_LISTS)]
    issued_at: Time
    signature: Annotated[SignatureText, Absent.WHEN_EMPTY] = ""

    def check(self) -> None:
        """Refuse two lists of one definition."""
        definitions = [one.definition for one in self.lists]
        if len(set(definitions)) != len(definitions):
            raise MessageError("lists", "has a definition twice")


def split_packed(packed: bytes) -> tuple[str, ...]:
    """Return the parts of a packed list as texts in base64."""
    text = base64.b64encode(packed).decode("ascii")
    return tuple(
        text[start : start + PART_CHARACTERS] for start in range(0, max(1, len(text)), PART_CHARACTERS)
    )


def join_parts(parts: Sequence[str]) -> bytes:
    """Return the packed list that parts make up. Raises MessageError."""
    try:
        return base64.b64decode("".join(parts), validate=True)
    except ValueError:
        raise MessageError("text", "is not base64") from None


def parts_of(host: str, packed: bytes, issued_at: str) -> Iterator[ListPart]:
    """Yield the messages with the parts of a packed list."""
    digest = hashlib.sha256(packed).hexdigest()
    for number, text in enumerate(split_packed(packed)):
        yield ListPart(host, digest, number, text, issued_at)
