"""The space that a file system has left, and the limits below which it is low or scarce."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar, Final, Literal

from dockerfw.messages.codec import Message
from dockerfw.messages.shapes import Whole

MIB: Final = 1024 * 1024
# One apply writes its undo record and its boot files: some MiB for thousands of rules.
SCARCE_BYTES: Final = 32 * MIB
LOW_BYTES: Final = 256 * MIB
SCARCE_FILES: Final = 64
# On a small file system, such as a volume of 100 MiB, only these shares must stay free.
LOW_SHARE: Final = 0.1
SCARCE_SHARE: Final = 0.02

_Amount = Annotated[int, Whole(capped=True)]
Room = Literal["enough", "low", "scarce"]


@dataclass(frozen=True, slots=True)
class Space(Message):
    """What a file system has left: bytes, of how many, and files, None where it does not limit those."""

    IGNORES_UNKNOWN_KEYS: ClassVar = True

    free: _Amount
    total: _Amount
    files: _Amount | None = None
    read_only: bool = False

    @property
    def room(self) -> Room:
        """Whether there is enough space, little of it, or so little that writing fails soon."""
        few_files = self.files is not None and self.files < SCARCE_FILES
        if self.read_only or few_files or self.free < min(SCARCE_BYTES, self.total * SCARCE_SHARE):
            return "scarce"
        return "low" if self.free < min(LOW_BYTES, self.total * LOW_SHARE) else "enough"

    @property
    def words(self) -> str:
        """What is left, as the end of a sentence that begins with "the file system of … "."""
        if self.read_only:
            return "is read-only"
        if self.files is not None and self.files < SCARCE_FILES:
            return f"has room for {self.files} more files only"
        return f"has {size(self.free)} left of {size(self.total)}"


def size(count: int) -> str:
    """Return a number of bytes in words: "37.5 MiB"."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
