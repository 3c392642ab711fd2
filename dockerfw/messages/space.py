"""How much room a file system has left, and whether that is enough.

Owns the limits, which the doctor and the dashboard share. It must not look at a file system itself.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MIB: Final = 1024 * 1024
# One apply writes the way back and its boot files: some MiB for thousands of rules.
SCARCE_BYTES: Final = 32 * MIB
LOW_BYTES: Final = 256 * MIB
SCARCE_FILES: Final = 64
# Of a small file system, such as a volume of 100 MiB, so much may always be used.
LOW_SHARE: Final = 0.1
SCARCE_SHARE: Final = 0.02

Room = Literal["enough", "low", "scarce"]


@dataclass(frozen=True, slots=True)
class Space:
    """What a file system has left: bytes, of how many, and files, None where it sets no limit to those."""

    free: int
    total: int
    files: int | None = None
    read_only: bool = False

    @property
    def room(self) -> Room:
        """Say whether there is room to go on, little of it, or so little that writing fails soon."""
        few_files = self.files is not None and self.files < SCARCE_FILES
        if self.read_only or few_files or self.free < min(SCARCE_BYTES, self.total * SCARCE_SHARE):
            return "scarce"
        return "low" if self.free < min(LOW_BYTES, self.total * LOW_SHARE) else "enough"

    @property
    def words(self) -> str:
        """Say what is left, as the end of "the file system of … "."""
        if self.read_only:
            return "is read-only"
        if self.files is not None and self.files < SCARCE_FILES:
            return f"has room for {self.files} more files only"
        return f"has {size(self.free)} left of {size(self.total)}"


def size(count: int) -> str:
    """Write a number of bytes for people: "37.5 MiB"."""
    amount, unit = float(count), "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.0f} {unit}" if unit == "B" or amount >= 100 else f"{amount:.1f} {unit}"
