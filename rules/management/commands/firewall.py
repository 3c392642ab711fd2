"""`manage.py firewall VERB`: every verb of the command line that the dashboard runs.

This module contains the arguments and the exit status: 0 done, 1 not loaded or a difference found, 2 invalid
input, and 3 for a trace with an unknown result. The verbs themselves are in rules/command_line. The verbs
that read only files are imported without the database.
"""

from __future__ import annotations

import argparse
import os
import sys
from datetime import date
from importlib import import_module
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandParser
from django.db import DatabaseError

from dockerfw.command_line.verbs import DOCTOR_STATUS, add_doctor_arguments, add_panic_arguments
from dockerfw.command_line.verbs import VERBS as ENGINE_VERBS
from dockerfw.streams import InputError, Output
from dockerfw.version import VERSION
from dockerfw_site.errors import no_room

VERBS = {
    "parse": ("files", "parse", "print a save as JSON, or print it back as text"),
    "render": ("files", "render", "print the iptables-restore text of a document"),
    "check": ("files", "check", "validate a document"),
    "plan": ("", "", "show what an apply would change: for a file, or for the draft"),
    "import": ("", "", "replace the draft with a document, an iptables.conf or a save"),
    "export": ("stored", "export", "print the draft, or a revision, as a document"),
    "groups": ("grouped", "groups", "list the groups of the draft, show or fetch one, or find an address"),
    "rules": ("grouped", "rules", "list the rules of the draft, with a search, and their hits"),
    "apply": ("applying", "apply", "apply the draft, ask whether to keep it, and wait for the outcome"),
    "history": ("stored", "history", "list the revisions"),
    "diff": ("stored", "diff", "show the differences between two revisions"),
    "rollback": ("applying", "rollback", "apply an earlier revision's rules as a new revision"),
    "confirm": ("applying", "confirm", "keep the loaded revision that waits for confirmation"),
    "cancel": ("applying", "cancel", "restore the previous rules now"),
    "status": ("stored", "status", "show whether the kernel holds the confirmed revision"),
    "expectations": ("consequences", "expectations", "show which of the draft's expectations hold now"),
    "trace": ("", "", "show what happens to a packet, which rule decides, and its path"),
    "exposure": (
        "tracing",
        "exposure",
        "list listening and published ports, and which clients can reach each",
    ),
    "refused": ("refused", "refused", "list what the firewall refused, and why"),
    "panic": ("", "", ENGINE_VERBS["panic"].help),
    "release": ("", "", ENGINE_VERBS["release"].help),
    "reset-sequence": ("", "", ENGINE_VERBS["reset-sequence"].help),
    "doctor": ("doctor", "doctor", ENGINE_VERBS["doctor"].help),
    "backup": (
        "backup_command",
        "backup",
        "write the database, the settings and the root worker's state to one file",
    ),
    "restore": (
        "restore_command",
        "restore",
        "replace this installation with a backup, completely or not at all",
    ),
}
# These verbs work on files or on this installation itself, so they take no --host.
ON_THE_HOST = ("panic", "release", "reset-sequence")
WITHOUT_HOST = ("parse", "render", "check", *ON_THE_HOST, "doctor", "backup", "restore")
# Root runs these verbs as the owner of the database.
OF_DATABASE = tuple(
    f"rules.command_line.{name}"
    for name in ("stored", "grouped", "applying", "consequences", "tracing", "refused")
)
EPILOG = "Exit status: 0 done, 1 not loaded or a difference found, 2 invalid input. FILE - is standard input."


class Command(BaseCommand):
    """Parse the arguments, run the verb, and exit with its status."""

    help = "dockerfw on the command line."
    requires_system_checks = []
    requires_migrations_checks = False

    def get_version(self) -> str:
        """Return dockerfw's version, not Django's."""
        return f"dockerfw {VERSION}"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.prog = settings.ENVIRONMENT.command
        parser.epilog = EPILOG
        verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
        parsers = {
            name: verbs.add_parser(
                name, help=text, description=f"{text[0].upper()}{text[1:]}.", epilog=EPILOG
            )
            for name, (_, _, text) in VERBS.items()
        }
        for name, verb in parsers.items():
            verb.add_argument("--json", action="store_true", help="print JSON")
            if name not in WITHOUT_HOST:
                verb.add_argument("--host", default="", help="the name of the host, when there are several")
        _add_file_arguments(parsers)
        _add_stored_arguments(parsers)
        _add_group_arguments(parsers)
        _add_trace_arguments(parsers["trace"])
        _add_refused_arguments(parsers["refused"])
        add_panic_arguments(parsers["panic"])
        parsers["doctor"].epilog = DOCTOR_STATUS
        add_doctor_arguments(parsers["doctor"])
        _add_backup_arguments(parsers)

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = argparse.Namespace(**options)
        err = getattr(self.stderr, "_out", self.stderr)
        output = Output(out=self.stdout, err=err, as_json=bool(chosen.json))  # type: ignore[arg-type]
        try:
            status = _run(chosen, output)
        except BrokenPipeError:
            # The reader of the output has gone. Python would report it again as it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            status = 0
        if status:
            sys.exit(status)


def _run(chosen: argparse.Namespace, output: Output) -> int:
    from dockerfw.iptables.errors import NetfilterError
    from rules.applying.apply_errors import LoadRefused
    from rules.pages.errors import Invalid, NotFound, ServiceError

    try:
        verb = _verb(chosen)
        if verb.__module__ in OF_DATABASE:
            _leave_root()
        return int(verb(chosen, output))
    except (InputError, NetfilterError, Invalid, NotFound, LoadRefused) as error:
        output.note(str(error))
        return 2
    except ServiceError as error:
        output.note(str(error))
        return 1
    except DatabaseError as error:
        if no_room(error):
            output.note("the disk of the database is full: nothing was done. Free some space, then try again")
            return 2
        first = str(error).strip().splitlines()[:1]
        output.note(f"the database cannot be used ({''.join(first)}); `python manage.py migrate` sets it up")
        return 2


def _verb(chosen: argparse.Namespace) -> Any:
    if chosen.verb in ON_THE_HOST:
        return ENGINE_VERBS[chosen.verb].run
    module, function, _ = VERBS[chosen.verb]
    if chosen.verb == "plan":
        module, function = _plan(chosen)
    elif chosen.verb == "trace":
        module, function = _trace(chosen)
    elif chosen.verb == "import":
        module, function = ("files", "import_print") if chosen.print else ("stored", "import_draft")
    folder = "backup" if chosen.verb in ("backup", "restore") else "command_line"
    return getattr(import_module(f"rules.{folder}.{module}"), function)


def _leave_root() -> None:
    """Let root become the owner of the SQLite database, whose folder may hold links that this owner made."""
    from rules.command_line.as_owner import become_owner
    from rules.command_line.database_facts import database_file

    path = database_file()
    try:
        if path is not None and os.path.lexists(path):
            become_owner(path)
    except OSError as error:
        raise InputError(f"root cannot become the owner of {path}: {error.strerror or error}") from error


def _plan(chosen: argparse.Namespace) -> tuple[str, str]:
    live = chosen.live or chosen.live6
    if chosen.file and not live:
        raise InputError("plan FILE needs a ruleset to compare with. Add --live SAVE")
    if live and not chosen.file:
        raise InputError("--live needs a FILE. Without one, plan compares the draft with the host")
    return ("files", "plan_file") if chosen.file else ("consequences", "plan_draft")


def _trace(chosen: argparse.Namespace) -> tuple[str, str]:
    if not chosen.live:
        if chosen.address or chosen.route or chosen.set:
            raise InputError(
                "--address, --route and --set need --live. Without it, trace reads the host itself"
            )
        return ("tracing", "trace")
    if chosen.against != "live":
        raise InputError("--against reads the host. Use --live or --against, not both")
    return ("tracing_files", "trace")


def _add_trace_arguments(verb: CommandParser) -> None:
    verb.epilog = (
        "Exit status: 0 the packet passes, 1 it is refused, 2 invalid input, 3 cannot tell. SOURCE and "
        "DESTINATION are addresses, names of containers, or host. No packet is sent."
    )
    verb.add_argument("source", metavar="SOURCE", help="where the packet comes from")
    verb.add_argument("destination", metavar="DESTINATION", nargs="?", default="", help="default: the host")
    verb.add_argument("--protocol", default="tcp", help="name or number (default: tcp)")
    verb.add_argument("--port", default="", help="the destination port")
    verb.add_argument("--icmp-type", default="", metavar="TYPE", help="name or number (default: ping)")
    verb.add_argument("--interface", default="", help="the incoming interface (default: derived from SOURCE)")
    verb.add_argument("--source-port", default="", metavar="PORT", help="the client's port; rarely needed")
    verb.add_argument("--family", type=int, choices=(4, 6), help="for names with addresses of both families")
    verb.add_argument(
        "--against",
        default="live",
        metavar="RULES",
        help="live, draft, a revision number, or a date or time: the revision confirmed then (default: live)",
    )
    verb.add_argument("--all", action="store_true", help="also print the rules that do not match")
    verb.add_argument(
        "--live", metavar="SAVE", help="a saved ruleset instead of the host's; needs no database"
    )
    verb.add_argument(
        "--address",
        action="append",
        default=[],
        metavar="NAME=CIDR",
        help="with --live: an interface of the host and its address; may be repeated",
    )
    verb.add_argument(
        "--route", default="", metavar="NAME", help="with --live: the interface of the default route"
    )
    verb.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=CIDR,...",
        help="with --live: an ipset and the networks in it; may be repeated",
    )


def _add_refused_arguments(verb: CommandParser) -> None:
    verb.epilog = "Exit status: 0 done, 2 invalid input. With --follow, --json prints one object a line."
    verb.add_argument(
        "words", metavar="WORD", nargs="*", help="only packets whose line has every word, such as office"
    )
    verb.add_argument("--follow", action="store_true", help="go on with new packets until Ctrl-C")
    verb.add_argument("--since", default="", metavar="TIME", help="hour, day, week or month (default: hour)")
    verb.add_argument("--source", default="", metavar="NETWORK", help="only from an address or network")
    verb.add_argument("--port", default="", help="only to a port, dialled or inside the container")
    verb.add_argument(
        "--container", default="", metavar="NAME", help="only to containers with this in their name, or host"
    )
    verb.add_argument(
        "--reason",
        default="",
        metavar="KIND",
        help="only this kind: no-rule, sources, limit, time, elsewhere, interface, block, loopback, unknown",
    )


def _add_file_arguments(verbs: dict[str, CommandParser]) -> None:
    verbs["parse"].add_argument("file", metavar="FILE", nargs="?", default="-", help="default: -")
    verbs["parse"].add_argument("--print", action="store_true", help="print it back as text, byte for byte")
    verbs["render"].add_argument("file", metavar="FILE", help="a dockerfw document")
    verbs["render"].add_argument("--family", type=int, choices=(4, 6), required=True)
    verbs["render"].add_argument(
        "--live", metavar="SAVE", help="a save of the host's rules, with or without Docker's chains"
    )
    verbs["render"].add_argument(
        "--revision", type=_number, metavar="N", help="the revision number to write into the rules"
    )
    verbs["render"].add_argument(
        "--sets", action="store_true", help="print the text for `ipset restore` that goes before the rules"
    )
    for name in ("render", "plan"):
        verbs[name].add_argument(
            "--without-ipset",
            action="store_true",
            help="with --live: for a host without ipsets, where sources are lines",
        )
    verbs["check"].add_argument("file", metavar="FILE", help="a dockerfw document")
    verbs["plan"].add_argument(
        "file", metavar="FILE", nargs="?", help="a dockerfw document (default: the draft)"
    )
    verbs["plan"].add_argument(
        "--live", metavar="SAVE", help="the save to compare with (IPv4, or IPv6 with --family 6)"
    )
    verbs["plan"].add_argument("--live6", metavar="SAVE", help="an IPv6 save to compare with as well")
    verbs["plan"].add_argument(
        "--family", type=int, choices=(4, 6), default=4, help="the family of --live (default: 4)"
    )
    verbs["import"].add_argument("file", metavar="FILE", help="a document, an iptables.conf or a save")
    verbs["import"].add_argument(
        "--print", action="store_true", help="print the document and do not change the draft"
    )


def _add_group_arguments(verbs: dict[str, CommandParser]) -> None:
    verbs["groups"].epilog = (
        "Exit status: 0 done, 1 find found nothing, 2 invalid input. A network is not looked for in feeds, "
        "DNS names and countries."
    )
    verbs["groups"].add_argument(
        "action",
        metavar="ACTION",
        nargs="?",
        choices=("list", "show", "find", "refresh"),
        default="list",
        help="list, show, find or refresh (default: list)",
    )
    verbs["groups"].add_argument(
        "what",
        metavar="WHAT",
        nargs="?",
        default="",
        help="the name of a group, or the address to find",
    )
    verbs["rules"].add_argument(
        "words",
        metavar="WORD",
        nargs="*",
        help="only rules that match every word: @office, port:22, tag:web, block, expired, unused, disabled, "
        "a network, or any text",
    )
    verbs["rules"].add_argument(
        "--unused-since",
        type=_day,
        metavar="DATE",
        help="only rules that were certainly not used since a day (UTC), such as 2026-10-01",
    )


def _add_stored_arguments(verbs: dict[str, CommandParser]) -> None:
    verbs["export"].add_argument(
        "--revision", type=_number, metavar="N", help="a revision instead of the draft"
    )
    verbs["diff"].add_argument("a", type=_number, metavar="A", help="the older revision")
    verbs["diff"].add_argument("b", type=_number, metavar="B", help="the newer revision")
    verbs["rollback"].add_argument(
        "number", type=_number, metavar="N", help="the revision whose rules to apply"
    )
    for name in ("apply", "rollback"):
        verbs[name].add_argument("-m", "--message", required=True, help="the reason, shown in the history")
        verbs[name].add_argument(
            "--keep", action="store_true", help="keep the rules as soon as they are loaded"
        )
        verbs[name].add_argument(
            "--override",
            default="",
            metavar="REASON",
            help="apply although an expectation fails, for this reason",
        )
        verbs[name].add_argument(
            "--anyway", action="store_true", help="apply although this SSH session would be blocked"
        )
        verbs[name].add_argument(
            "--every-port", action="store_true", help="apply although new rules open every port"
        )
        verbs[name].add_argument(
            "--window",
            type=int,
            default=60,
            metavar="SECONDS",
            help="roll back automatically after this time: 15 to 3600 (default: 60)",
        )
        verbs[name].add_argument(
            "--end-sessions",
            action="store_true",
            help="after Keep, end sessions that the new rules do not allow",
        )
    verbs["confirm"].add_argument(
        "--instead-of",
        default="",
        metavar="NAME",
        help="keep the apply that NAME started; the audit log names both",
    )
    for name in ("apply", "rollback", "confirm", "cancel"):
        verbs[name].add_argument(
            "--timeout",
            type=float,
            default=120.0,
            help="seconds to wait for the root worker, in addition to the window (default: 120)",
        )


def _add_backup_arguments(verbs: dict[str, CommandParser]) -> None:
    verbs["backup"].add_argument("file", metavar="FILE", help="the file to write; - is standard output")
    verb = verbs["restore"]
    verb.add_argument("file", metavar="FILE", help="a backup file")
    verb.add_argument("--check", action="store_true", help="only check that the backup is complete")
    verb.add_argument("--replace", action="store_true", help="move the existing installation aside")
    verb.add_argument("--without-settings", action="store_true", help="do not change the settings files")
    verb.add_argument(
        "--no-live",
        action="store_true",
        help="do not compare with the kernel afterwards (a sandbox has its own)",
    )


def _day(text: str) -> str:
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a day. Use YYYY-MM-DD") from None


def _number(text: str) -> int:
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**31:
        raise argparse.ArgumentTypeError(f"{text!r} is not a revision number")
    return int(text)
