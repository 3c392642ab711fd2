"""`manage.py firewall VERB`: dockerfw on the command line.

Owns the arguments and the exit status: 0 done, 1 nothing loaded or a difference found, 2 bad input, and 3 for
a trace of which nobody can tell. The verbs themselves live in rules/command_line; those on files alone are
imported without touching the database.
"""

from __future__ import annotations

import argparse
import os
import sys
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from dockerfw.streams import InputError, Output
from dockerfw.version import VERSION
from dockerfw_site.errors import no_room

VERBS = {
    "parse": ("files", "parse", "print a save as JSON, or give it back as text"),
    "render": ("files", "render", "print the restore text of a document"),
    "check": ("files", "check", "validate a document"),
    "plan": ("", "", "print what loading would change: of a file, or of the draft"),
    "import": ("", "", "make the draft from a document, an iptables.conf or a save"),
    "export": ("stored", "export", "print the draft, or a revision, as a document"),
    "apply": ("applying", "apply", "apply the draft, ask whether to keep it, and wait for the outcome"),
    "history": ("stored", "history", "list the revisions"),
    "diff": ("stored", "diff", "print what differs between two revisions"),
    "rollback": ("applying", "rollback", "apply an earlier revision's content as a new revision"),
    "confirm": ("applying", "confirm", "keep what is loaded and waits to be kept"),
    "cancel": ("applying", "cancel", "put back at once what was there before"),
    "status": ("stored", "status", "print what the kernel holds"),
    "expectations": ("consequences", "expectations", "say which of the draft's expectations hold now"),
    "trace": ("", "", "say what becomes of a packet, by which rule, and its way there"),
    "exposure": ("tracing", "exposure", "print what listens, what is published, and who may reach each"),
    "panic": ("console", "panic", "as root on the host: refuse everything at once, or end that with --off"),
    "release": ("console", "release", "as root on the host: take dockerfw's anchors out of the kernel"),
    "doctor": ("doctor", "doctor", "say what is wrong with this installation, and what to do about it"),
    "backup": ("backup", "backup", "write database, settings and the root worker's state to one file"),
    "restore": ("restore", "restore", "put a backup in the place of what is here, all of it or nothing"),
}
# About files, or the very installation that they are called on: no host is chosen.
ON_THE_SPOT = ("parse", "render", "check", "panic", "release", "doctor", "backup", "restore")
EPILOG = (
    "Status: 0 done, 1 nothing loaded or a difference found, 2 bad input. FILE may be - for standard input."
)


class Command(BaseCommand):
    """Read the arguments, run the verb, leave with its status."""

    help = "dockerfw on the command line."
    requires_system_checks = []
    requires_migrations_checks = False

    def get_version(self) -> str:
        """Say dockerfw's version, not Django's."""
        return f"dockerfw {VERSION}"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.prog = settings.ENVIRONMENT.command
        parser.epilog = EPILOG
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        made = {
            name: verbs.add_parser(
                name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=EPILOG
            )
            for name, (_, _, text) in VERBS.items()
        }
        for name, verb in made.items():
            verb.add_argument("--json", action="store_true", help="print JSON")
            if name not in ON_THE_SPOT:
                verb.add_argument("--host", default="", help="which host, when there are several")
        _add_file_arguments(made)
        _add_stored_arguments(made)
        _add_trace_arguments(made["trace"])
        made["doctor"].epilog = "Status: 0 all well, or notes only, 1 problems, 2 nothing could be checked."
        made["doctor"].add_argument("--all", action="store_true", help="show also what is well")
        _add_backup_arguments(made)

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = argparse.Namespace(**options)
        err = getattr(self.stderr, "_out", self.stderr)
        output = Output(out=self.stdout, err=err, as_json=bool(chosen.json))  # type: ignore[arg-type]
        try:
            status = _run(chosen, output)
        except BrokenPipeError:
            # Whoever read the output has seen enough; Python would complain once more as it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 0
        if status:
            sys.exit(status)


def _run(chosen: argparse.Namespace, output: Output) -> int:
    from dockerfw.iptables.errors import NetfilterError
    from rules.pages.errors import Invalid, NotFound, ServiceError

    try:
        return int(_verb(chosen)(chosen, output))
    except (InputError, NetfilterError, Invalid, NotFound) as error:
        output.note(str(error))
        return 2
    except ServiceError as error:
        output.note(str(error))
        return 1
    except DatabaseError as error:
        if no_room(error):
            output.note("the disk of the database is full: nothing was done. Make room there, then try again")
            return 2
        first = str(error).strip().splitlines()[:1]
        output.note(f"the database cannot be used ({''.join(first)}); `python manage.py migrate` sets it up")
        return 2


def _verb(chosen: argparse.Namespace) -> Any:
    module, function, _ = VERBS[chosen.verb]
    if chosen.verb == "plan":
        module, function = _plan(chosen)
    elif chosen.verb == "trace":
        module, function = _trace(chosen)
    elif chosen.verb == "import":
        module, function = ("files", "import_print") if chosen.print else ("stored", "import_draft")
    return getattr(import_module(f"rules.command_line.{module}"), function)


def _plan(chosen: argparse.Namespace) -> tuple[str, str]:
    live = chosen.live or chosen.live6
    if chosen.file and not live:
        raise InputError("plan FILE needs the ruleset to compare with: add --live SAVE")
    if live and not chosen.file:
        raise InputError("--live goes with a FILE; without one the draft is compared with the host")
    return ("files", "plan_file") if chosen.file else ("consequences", "plan_draft")


def _trace(chosen: argparse.Namespace) -> tuple[str, str]:
    if not chosen.live:
        if chosen.address or chosen.route:
            raise InputError("--address and --route go with --live: the host itself says what it has")
        return ("tracing", "trace")
    if chosen.against != "live":
        raise InputError("--against is about the host: leave --live out, or --against")
    return ("tracing_files", "trace")


def _add_trace_arguments(verb: CommandParser) -> None:
    verb.epilog = (
        "Status: 0 done and it passes, 1 it is refused, 2 bad input, 3 nobody can tell. SOURCE and "
        "DESTINATION are addresses, names of containers, or host. Nothing is sent."
    )
    verb.add_argument("source", metavar="SOURCE", help="where the packet comes from")
    verb.add_argument("destination", metavar="DESTINATION", nargs="?", default="", help="default: the host")
    verb.add_argument("--protocol", default="tcp", help="name or number (default: tcp)")
    verb.add_argument("--port", default="", help="the port that is dialled")
    verb.add_argument("--icmp-type", default="", metavar="TYPE", help="name or number (default: ping)")
    verb.add_argument("--interface", default="", help="where it comes in (default: guessed from SOURCE)")
    verb.add_argument("--source-port", default="", metavar="PORT", help="the client's port; seldom matters")
    verb.add_argument("--family", type=int, choices=(4, 6), help="for names that have addresses of both")
    verb.add_argument(
        "--against",
        default="live",
        metavar="RULES",
        help="live, draft, a revision's number, or a day or moment: what was confirmed then (default: live)",
    )
    verb.add_argument("--all", action="store_true", help="print also the rules that do not match")
    verb.add_argument("--live", metavar="SAVE", help="a saved ruleset instead of the host; needs no database")
    verb.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="NAME=CIDR",
        help="with --live: an interface of the host with its address; may be repeated",
    )
    verb.add_argument(
        "--route", default="", metavar="NAME", help="with --live: where the default route leads"
    )


def _add_file_arguments(verbs: dict[str, CommandParser]) -> None:
    verbs["parse"].add_argument("file", metavar="FILE", nargs="?", default="-", help="default: -")
    verbs["parse"].add_argument("--print", action="store_true", help="give it back as text, byte for byte")
    verbs["render"].add_argument("file", metavar="FILE", help="a dockerfw/1 document")
    verbs["render"].add_argument("--family", type=int, choices=(4, 6), required=True)
    verbs["render"].add_argument(
        "--live", metavar="SAVE", help="what the host holds, with chains of Docker or not"
    )
    verbs["render"].add_argument(
        "--revision", type=_number, metavar="N", help="the number that the kernel shows"
    )
    verbs["check"].add_argument("file", metavar="FILE", help="a dockerfw/1 document")
    verbs["plan"].add_argument(
        "file", metavar="FILE", nargs="?", help="a dockerfw/1 document; without: the draft"
    )
    verbs["plan"].add_argument(
        "--live", metavar="SAVE", help="the save to compare with (IPv4 unless --family 6)"
    )
    verbs["plan"].add_argument("--live6", metavar="SAVE", help="the IPv6 save to compare with as well")
    verbs["plan"].add_argument("--family", type=int, choices=(4, 6), default=4, help="what --live holds")
    verbs["import"].add_argument("file", metavar="FILE", help="a document, an iptables.conf or a save")
    verbs["import"].add_argument(
        "--print", action="store_true", help="print the document, leave the draft alone"
    )


def _add_stored_arguments(verbs: dict[str, CommandParser]) -> None:
    verbs["export"].add_argument(
        "--revision", type=_number, metavar="N", help="a revision instead of the draft"
    )
    verbs["diff"].add_argument("a", type=_number, metavar="A", help="the older revision")
    verbs["diff"].add_argument("b", type=_number, metavar="B", help="the newer revision")
    verbs["rollback"].add_argument("number", type=_number, metavar="N", help="whose content to load")
    verbs["panic"].add_argument(
        "--allow", action="append", default=[], metavar="CIDR", help="who still comes in; may be repeated"
    )
    verbs["panic"].add_argument("--off", action="store_true", help="end the panic")
    for name in ("apply", "rollback"):
        verbs[name].add_argument("-m", "--message", required=True, help="why, for those who read the history")
        verbs[name].add_argument("--keep", action="store_true", help="keep it as soon as it is loaded")
        verbs[name].add_argument(
            "--override",
            default="",
            metavar="REASON",
            help="do it although an expectation fails, and say why",
        )
        verbs[name].add_argument(
            "--anyway", action="store_true", help="do it although it would shut out this SSH session"
        )
        verbs[name].add_argument(
            "--window",
            type=int,
            default=60,
            metavar="SECONDS",
            help="how long it waits to be kept: 15 to 3600 (default: 60)",
        )
        verbs[name].add_argument(
            "--end-sessions",
            action="store_true",
            help="once it is kept, end the sessions that lost their allowance",
        )
    verbs["confirm"].add_argument(
        "--instead-of", default="", metavar="NAME", help="keep what NAME started; the audit log names both"
    )
    for name in ("apply", "rollback", "confirm", "cancel"):
        verbs[name].add_argument(
            "--timeout",
            type=float,
            default=120.0,
            help="seconds to wait for the root worker, besides the window (default: 120)",
        )


def _add_backup_arguments(verbs: dict[str, CommandParser]) -> None:
    verbs["backup"].add_argument("file", metavar="FILE", help="where to; - is standard output")
    verb = verbs["restore"]
    verb.add_argument("file", metavar="FILE", help="a file that backup wrote")
    verb.add_argument("--check", action="store_true", help="only read it, and say whether it is whole")
    verb.add_argument("--replace", action="store_true", help="put aside the installation that is here")
    verb.add_argument("--without-settings", action="store_true", help="leave the settings files as they are")
    verb.add_argument(
        "--no-live",
        action="store_true",
        help="do not look at the kernel afterwards (a sandbox's is elsewhere)",
    )


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a revision number")
    return int(text)
