"""Log lines: no text of others breaks them, no setup token, no traceback for a refused request."""

from __future__ import annotations

import copy
import io
import logging
import logging.config
from collections.abc import Iterator
from typing import Any

import pytest
from django.conf import settings as project
from django.test import Client
from pytest_django import Settings

from dockerfw.log_lines import FORMAT, LineFormatter
from dockerfw_site.logs import SiteFormatter

TOKEN = "k0qXcRrT-AbC_d3f"


def line(message: str, *arguments: object, formatter: logging.Formatter | None = None) -> str:
    record = logging.LogRecord("rules", logging.WARNING, __file__, 1, message, arguments, None)
    return (formatter or LineFormatter("%(levelname)s %(message)s")).format(record)


def test_a_message_stays_on_its_line_and_commands_no_terminal() -> None:
    assert line("user %s", "a\nERROR forged\x1b[2J\u202e") == "WARNING user a\\nERROR forged\\x1b[2J\\u202e"


def test_a_traceback_keeps_its_lines_but_not_the_characters_of_others() -> None:
    try:
        raise ValueError("\x1b[2Jbad\u200b")
    except ValueError as error:
        record = logging.LogRecord("x", logging.ERROR, "f", 1, "failed", (), (type(error), error, None))
    text = LineFormatter(FORMAT).format(record)
    assert "ValueError: \\x1b[2Jbad\\u200b" in text
    assert text.count("\n") >= 1


@pytest.mark.parametrize("words", ["Gone: /setup/{}/", "GET /setup/{} HTTP/1.1", "at '/setup/{}/?x=1'"])
def test_a_setup_token_is_left_out(words: str) -> None:
    text = line(words.format(TOKEN), formatter=SiteFormatter(FORMAT))
    assert TOKEN not in text
    assert "/setup/(token)" in text


@pytest.fixture
def written() -> Iterator[io.StringIO]:
    """What the site's own log writes."""
    stream = io.StringIO()
    found: dict[str, Any] = copy.deepcopy(project.LOGGING)
    for handler in found["handlers"].values():
        handler["stream"] = stream
    logging.config.dictConfig(found)
    yield stream
    logging.config.dictConfig(copy.deepcopy(project.LOGGING))


def test_a_bad_host_is_one_line(db: None, settings: Settings, written: io.StringIO) -> None:
    settings.ALLOWED_HOSTS = ["fw.example.org"]
    answer = Client(headers={"host": "evil\x1b[2J.example.net"}).get("/sign-in/")
    assert answer.status_code == 400
    lines = written.getvalue().splitlines()
    assert len(lines) <= 2
    assert not any("Traceback" in each or "\x1b" in each for each in lines)
    assert any("evil" in each for each in lines)


def test_a_dead_setup_link_is_logged_without_its_token(db: None, written: io.StringIO) -> None:
    assert Client().get(f"/setup/{TOKEN}/").status_code == 410
    assert Client(enforce_csrf_checks=True).post(f"/setup/{TOKEN}/").status_code == 403
    text = written.getvalue()
    assert text.count("/setup/(token)/") == 2
    assert TOKEN not in text
