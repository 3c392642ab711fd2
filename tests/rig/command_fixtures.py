"""For the tests of `manage.py firewall`: runners in this process, and one as a shell would start it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from unittest.mock import patch

import pytest
from django.core.management import call_command

import manage
from dockerfw_site.environment import BASE_DIR


@dataclass(frozen=True, slots=True)
class Done:
    """What a command left behind."""

    status: int
    out: str
    err: str


def firewall(*arguments: str) -> Done:
    """Run a verb in this process."""
    raw = BytesIO()
    out, err = TextIOWrapper(raw, encoding="utf-8", errors="surrogateescape"), StringIO()
    try:
        call_command("firewall", *arguments, stdout=out, stderr=err)
        status = 0
    except SystemExit as end:
        status = int(end.code or 0)
    out.flush()
    return Done(status, raw.getvalue().decode("utf-8", "surrogateescape"), err.getvalue())


def typed(*arguments: str, stdin: bytes = b"") -> Done:
    """Run a verb in this process by manage.py's own entry, which a new process needs a second for."""
    out, err = BytesIO(), BytesIO()
    status: object
    words = ["manage.py", "firewall", *arguments]
    with (
        TextIOWrapper(out, "utf-8", "surrogateescape", write_through=True) as text,
        TextIOWrapper(err, "utf-8", write_through=True) as errors,
        TextIOWrapper(BytesIO(stdin), "utf-8", "surrogateescape") as given,
        patch.multiple(sys, argv=words, stdin=given, stdout=text, stderr=errors),
    ):
        try:
            status = manage.main()
        except SystemExit as end:
            status = end.code
        said = out.getvalue().decode("utf-8", "surrogateescape"), err.getvalue().decode()
    assert status is None or isinstance(status, int)
    return Done(status or 0, *said)


def shell(*arguments: str, stdin: bytes = b"", **environ: str) -> subprocess.CompletedProcess[bytes]:
    """Run a verb as a newcomer would: a process of its own with no setting at all but `environ`."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [sys.executable, "manage.py", "firewall", *arguments],
        cwd=BASE_DIR,
        env={**clean, **environ},
        input=stdin,
        capture_output=True,
        timeout=60,
    )


@pytest.fixture
def document(tmp_path: Path) -> Path:
    """A small document in a file."""
    path = tmp_path / "document.json"
    path.write_text(
        '{"format": "dockerfw/1", "settings": {"external_interfaces": ["ens33"]}, "rules": ['
        '{"scope": "both", "source": "10.1.2.3/8", "comment": "office"},'
        '{"scope": "host", "protocol": "tcp", "ports": ["22"], "comment": "für alle"}]}',
        encoding="utf-8",
    )
    return path
