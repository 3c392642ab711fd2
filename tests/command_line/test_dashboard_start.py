"""The environment in which `dockerfw` starts the dashboard's command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

from dockerfw.command_line import dashboard

ROOT = Path(__file__).resolve().parents[2]


class Started(Exception):  # noqa: N818 - it states a fact
    """The dashboard would run now."""


def test_no_variable_leads_python_to_other_code(monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[str, str] = {}

    def become(command: Sequence[str], environment: Mapping[str, str]) -> NoReturn:
        given.update(environment)
        raise Started

    monkeypatch.setattr(dashboard, "become", become)
    for name in ("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONUNBUFFERED", "DOCKERFW_HOST"):
        monkeypatch.setenv(name, "/tmp")
    with pytest.raises(Started):
        dashboard.run_dashboard(ROOT, ["rules"])
    assert {name: value for name, value in given.items() if name.startswith("PYTHON")}.keys() <= {
        "PYTHONPATH",
        "PYTHONUNBUFFERED",
        "PYTHONDONTWRITEBYTECODE",
    }
    assert given["PYTHONPATH"] == str(ROOT)
    assert given["DOCKERFW_HOST"] == "/tmp"
