"""HostError, the base of everything that can fail as expected when the root worker acts on this host."""

from __future__ import annotations


class HostError(Exception):
    """An expected failure on this host; its text tells an admin what went wrong.

    What a failed system call raises is an OSError, and what the parser or the document's validator refuses is
    a NetfilterError: code that has to survive every expected failure catches all three.
    """
