"""The log lines of the dashboard's processes: without setup tokens, and one line for a refused request."""

from __future__ import annotations

import logging
import re

from dockerfw.log_lines import LineFormatter

_TOKEN = re.compile(r"(/setup/)[^/\s'\"]+")


class SiteFormatter(LineFormatter):
    """Formats a line and leaves out the token of a setup link, which may still be valid."""

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        return _TOKEN.sub(r"\1(token)", super().format(record))


def drop_traceback(record: logging.LogRecord) -> bool:
    """Keep the line of a refused request, without the traceback, which only tells where Django checks."""
    record.exc_info = record.exc_text = None
    return True
