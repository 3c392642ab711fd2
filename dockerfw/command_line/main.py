"""Parse the command line, find which program runs the verb, and turn expected errors into one sentence.

Verbs that need the database go to the dashboard's own program, where a dashboard is installed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from dockerfw.command_line.dashboard import find_dashboard, run_dashboard
from dockerfw.command_line.service import check_service
from dockerfw.command_line.verbs import VERBS, Verb
from dockerfw.iptables.errors import NetfilterError
from dockerfw.plain_text import make_visible
from dockerfw.settings import SettingError, text_of
from dockerfw.settings_files import add_root_settings
from dockerfw.streams import InputError, Output
from dockerfw.version import VERSION

USAGE_ERROR = 2
LINE_END = "\n"
INTERRUPTED = 130
EMERGENCY = ("panic", "release")


class Parser(argparse.ArgumentParser):
    """A parser whose errors are one sentence."""

    def error(self, message: str) -> NoReturn:
        """Raise the error for `main` to print."""
        raise InputError(f"{message}. See {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status; 2 with one sentence on standard error for wrong input."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except (InputError, SettingError, NetfilterError) as error:
        print(f"dockerfw: {make_visible(str(error), keep=LINE_END)}", file=sys.stderr)
        return USAGE_ERROR
    except BrokenPipeError:
        # The reader of the output has gone. Python would complain once more as it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return INTERRUPTED


def _run(words: list[str]) -> int:
    name = next((word for word in words if not word.startswith("-")), "")
    verb = VERBS.get(name)
    check_service(name, words)
    dashboard = find_dashboard()
    if dashboard is not None and _is_for_dashboard(verb, words):
        run_dashboard(dashboard, words)
    options = _parser(text_of(os.environ, "DOCKERFW_COMMAND") or "dockerfw").parse_args(words)
    output = Output(out=sys.stdout, err=sys.stderr, as_json=getattr(options, "json", False))
    try:
        add_root_settings()
    except InputError as error:
        # In an emergency, the default settings are better than nothing.
        if options.verb not in EMERGENCY:
            raise
        output.note(f"dockerfw: {error}. The default settings are used.")
    return VERBS[options.verb].run(options, output)


def _is_for_dashboard(verb: Verb | None, words: Sequence[str]) -> bool:
    if verb is None:
        return "--version" not in words
    # In the container of the root worker there is no database to ask.
    return verb.database and text_of(os.environ, "DOCKERFW_SERVICE") != "firewall"


def _parser(command: str) -> Parser:
    parser = Parser(
        prog=command,
        description="The firewall agent of a host that runs Docker. The verbs here need no database.",
    )
    parser.add_argument("--version", action="version", version=f"dockerfw {VERSION}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, verb in VERBS.items():
        description = f"{verb.help[0].upper()}{verb.help[1:]}."
        one = verbs.add_parser(name, help=verb.help, description=description, epilog=verb.status)
        if verb.json:
            one.add_argument("--json", action="store_true", help="print JSON")
        verb.add_arguments(one)
    return parser
