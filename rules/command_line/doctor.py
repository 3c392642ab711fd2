"""The dashboard's verb `doctor`: the checks of dockerfw/doctor, with the facts of the database."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from dockerfw.doctor.dashboard import Dashboard, DatabaseAnswer
from dockerfw.doctor.examination import examine
from dockerfw.doctor.finding import NOT_ROOT
from dockerfw.doctor.report import show_findings
from dockerfw.streams import Output
from dockerfw_site.environment import Environment, read_environment
from rules.command_line.as_owner import NotTheOwner, as_owner
from rules.command_line.database_facts import database_file, read_database


def doctor(options: argparse.Namespace, output: Output) -> int:
    """Check this installation; status 1 for problems, 2 when nothing could be checked."""
    environment = read_environment()
    findings = examine(environment, ask_dashboard=lambda: _dashboard(environment))
    return show_findings(findings, output, command=environment.command, everything=bool(options.all))


def _dashboard(environment: Environment) -> Dashboard:
    answer, untried = _ask_database(environment)
    named = os.environ.get("DOCKERFW_SECRET_KEY_FILE", "").strip()
    secret_key = Path(named) if named else environment.data_dir / "secret_key"
    return Dashboard(
        answer,
        untried,
        environment.data_dir,
        secret_key,
        environment.signing_key_file,
        environment.lists_key_file,
    )


def _ask_database(environment: Environment) -> tuple[DatabaseAnswer, str]:
    """Return the database's answer, and the reason when it could not be read, else empty."""
    path = database_file()
    if path is None:
        return read_database(environment.host), ""
    try:
        if path.exists():
            value = as_owner(path, lambda: read_database(environment.host).to_json())
            return DatabaseAnswer.from_json(value), ""
        if not environment.data_dir.is_dir():
            return DatabaseAnswer(), f"the data directory {environment.data_dir} is not here"
    except NotTheOwner as error:
        return DatabaseAnswer(), str(error)
    except OSError:
        return DatabaseAnswer(), NOT_ROOT
    return read_database(environment.host), ""
