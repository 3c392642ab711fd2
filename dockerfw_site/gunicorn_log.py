"""Gunicorn's log, whose lines quote what clients sent, in the form of the other log lines."""

from __future__ import annotations

from gunicorn.glogging import Logger

from dockerfw_site.logs import SiteFormatter


class GunicornLogger(Logger):  # type: ignore[misc]
    """Formats gunicorn's lines without control characters and setup tokens."""

    def setup(self, cfg: object) -> None:
        """Set up the log as gunicorn does, with this formatter."""
        super().setup(cfg)
        for handler in (*self.error_log.handlers, *self.access_log.handlers):
            known = handler.formatter
            handler.setFormatter(SiteFormatter(known._fmt, known.datefmt) if known else SiteFormatter())
