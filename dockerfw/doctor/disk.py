"""Check the free space of the state directory and of the dashboard's data directory."""

from __future__ import annotations

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown
from dockerfw.messages.space import Space


def judge_space(check: str, what: str, space: Space | None) -> Finding:
    """Judge the free space of a file system."""
    if space is None:
        return unknown(check, f"{what} cannot be read from here")
    words = f"The file system of {what} {space.words}."
    todo = "df -h, df -i, then free space or enlarge the file system"
    if space.room == "scarce":
        return problem(check, f"{words} Writes fail now or will fail soon.", todo)
    return note(check, words, todo) if space.room == "low" else ok(check, words)
