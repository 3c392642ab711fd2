"""The verbs that need no database: their help, their arguments, and the functions that run them.

Each function imports its code when it is called, so that `panic` does not load the root worker.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from dockerfw.streams import Output

Run = Callable[[argparse.Namespace, Output], int]


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb. With `database` set, an installed dashboard runs it instead, and asks its database too."""

    help: str
    run: Run
    add_arguments: Callable[[argparse.ArgumentParser], None] = lambda parser: None
    status: str = "Exit status: 0 done, 1 not done, 2 invalid arguments or settings."
    json: bool = True
    database: bool = False


def add_panic_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `panic`."""
    parser.add_argument(
        "--allow",
        action="append",
        default=[],
        metavar="CIDR",
        help="an address or network that stays allowed; may be repeated",
    )
    parser.add_argument("--off", action="store_true", help="end the panic")


def add_doctor_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of `doctor`."""
    parser.add_argument("--all", action="store_true", help="also show the checks that passed")


def _panic(options: argparse.Namespace, output: Output) -> int:
    from dockerfw.agent.console import panic

    return panic(options, output)


def _release(options: argparse.Namespace, output: Output) -> int:
    from dockerfw.agent.console import release

    return release(options, output)


def _reset_sequence(options: argparse.Namespace, output: Output) -> int:
    from dockerfw.agent.console import reset

    return reset(options, output)


def _doctor(options: argparse.Namespace, output: Output) -> int:
    from dockerfw.doctor.examination import examine
    from dockerfw.doctor.report import show_findings
    from dockerfw.settings import read_settings

    settings = read_settings()
    return show_findings(examine(settings), output, command=settings.command, everything=bool(options.all))


def _status(options: argparse.Namespace, output: Output) -> int:
    from dockerfw.command_line.status import status

    return status(output)


def _agent(options: argparse.Namespace, output: Output) -> int:
    from dockerfw.agent.root import main

    return main()


DOCTOR_STATUS: Final = "Exit status: 0 no problems, 1 problems, 2 nothing could be checked."
VERBS: Final = {
    "panic": Verb(
        "as root on the host: block all traffic now, or end that with --off", _panic, add_panic_arguments
    ),
    "release": Verb("as root on the host: remove dockerfw's jumps from the kernel", _release),
    "reset-sequence": Verb(
        "as root on the host: accept orders again after one with a number far ahead of the clock",
        _reset_sequence,
    ),
    "doctor": Verb(
        "check this installation and show how to fix each problem",
        _doctor,
        add_doctor_arguments,
        status=DOCTOR_STATUS,
        database=True,
    ),
    "status": Verb(
        "show whether the kernel holds the confirmed revision",
        _status,
        status="Exit status: 0 the confirmed revision is active, 1 it is not, or unknown, 2 invalid input.",
        database=True,
    ),
    "agent": Verb("run the root worker until it is stopped", _agent, json=False),
}
