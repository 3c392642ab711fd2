"""The verbs that work on files alone: parse, render, check, plan FILE --live, import --print.

They use no database, no Redis and no kernel, so they work as soon as the requirements are installed.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from typing import Any

from dockerfw.chains.adoption import keep_from_draft
from dockerfw.chains.importing import Imported, import_save
from dockerfw.chains.match_groups import USUAL, WITHOUT_IP_SET, Thresholds
from dockerfw.chains.names import BRIDGES_SETS
from dockerfw.chains.plan import Plan, plan_changes
from dockerfw.chains.render import render as render_document
from dockerfw.chains.render import render as render_rules
from dockerfw.chains.render import write_restore
from dockerfw.chains.set_texts import render_sets
from dockerfw.chains.without_ip_set import find_needed_sets
from dockerfw.document.document import Document, digest, load_document, to_json_object
from dockerfw.document.words import describe_count
from dockerfw.host.clock import utc_now
from dockerfw.iptables.errors import DocumentError, ParseError
from dockerfw.iptables.model import FAMILIES, Family, Match, Option, Rule, Ruleset
from dockerfw.iptables.parse import parse_save, print_save
from dockerfw.messages.snapshot_values import with_loaded_sets
from dockerfw.reach.bound_sets import with_bound_sets
from dockerfw.reach.container_networks import masqueraded_bridges
from dockerfw.reach.differences import find_differences, first_differences
from dockerfw.reach.listening import Listening
from dockerfw.simulation.surroundings import IpSet, Surroundings
from dockerfw.streams import InputError, Output, read_bytes, shown
from rules.command_line.plans import packet_lines, packets_json, plan_json, plan_lines


def parse(options: argparse.Namespace, output: Output) -> int:
    """Print a save as JSON, or back as text."""
    ruleset = read_save(options.file)
    if options.print:
        output.text(print_save(ruleset))
    else:
        output.json(ruleset_json(ruleset))
    return 0


def render(options: argparse.Namespace, output: Output) -> int:
    """Print the restore text of a document, or with --sets the text for ipset that goes before it."""
    _one_standard_input(options.file, options.live)
    document = read_document(options.file)
    live = read_save(options.live) if options.live else None
    family: Family = options.family
    revision: int = options.revision or 0
    limits = _limits(options)
    for _, sentence in () if limits.has_ip_set else find_needed_sets(document, [family]):
        raise InputError(sentence.removesuffix("."))
    # What expires starts at the time of the apply, which is taken to be now.
    rendering = render_document(document, family, revision, live=live, moment=utc_now(), limits=limits)
    text = write_restore(rendering, family, live=live)
    sets = render_sets(rendering)
    if output.as_json:
        output.json({"family": family, "revision": revision, "restore": text, "sets": sets})
    else:
        output.text(sets if options.sets else text)
    return 0


def check(options: argparse.Namespace, output: Output) -> int:
    """Validate a document; every error is one line with its path."""
    try:
        document = _load(read_bytes(options.file), options.file)
    except DocumentError as error:
        if output.as_json:
            errors = [{"path": item.path, "message": item.message} for item in error.errors]
            output.json({"valid": False, "errors": errors, "notes": []})
        for item in error.errors:
            output.note(str(item))
        return 2
    notes = [{"path": note.path, "message": note.message} for note in document.notes]
    if output.as_json:
        output.json(
            {
                "valid": True,
                "errors": [],
                "notes": notes,
                "rules": len(document.rules),
                "expectations": len(document.expectations),
                "digest": digest(document),
            }
        )
        return 0
    for note in document.notes:
        output.line(f"{note.path}: {note.message}")
    what = [describe_count(len(document.rules), "rule")]
    if document.expectations:
        what.append(describe_count(len(document.expectations), "expectation"))
    output.line(f"valid: {', '.join(what)}, digest {digest(document)[:12]}")
    return 0


def plan_file(options: argparse.Namespace, output: Output) -> int:
    """Print what loading a document would change in a saved ruleset; status 1 when there are changes."""
    _one_standard_input(options.file, options.live, options.live6)
    document = read_document(options.file)
    live: dict[Family, Ruleset] = {}
    if options.live:
        live[options.family] = read_save(options.live)
    if options.live6:
        if options.live and options.family == 6:
            raise InputError("with --family 6, --live is the IPv6 save already. Leave out --live6")
        live[6] = read_save(options.live6)
    limits, now = _limits(options), int(time.time())
    packets = first_differences(live, document, _bridges_sets(live, document), now, limits)
    for line in () if output.as_json else packet_lines(packets):
        output.line(line)
    return print_plan(plan_changes(document, live, limits=limits), output, {"packets": packets_json(packets)})


def _limits(options: argparse.Namespace) -> Thresholds:
    return WITHOUT_IP_SET if options.without_ipset else USUAL


def _bridges_sets(live: Mapping[Family, Ruleset], document: Document) -> Mapping[str, IpSet]:
    """Return the sets of the containers' networks, by the saves. What docker-proxy holds is unknown."""
    bridges = tuple(bridge for ruleset in live.values() for bridge in masqueraded_bridges(ruleset))
    found = with_bound_sets(Surroundings(bridges), Listening(), document.settings.external_interfaces).sets
    static = (one for family in FAMILIES for one in render_rules(document, family).sets)
    around = with_loaded_sets(Surroundings(), static)
    return {**around.sets, **{name: found[name] for name in BRIDGES_SETS.values()}}


def print_plan(plan: Plan, output: Output, more: Mapping[str, Any]) -> int:
    """Print a plan; return 0 when it is empty, 2 when it must not be loaded, else 1.

    `more` is added to its JSON.
    """
    if output.as_json:
        output.json({**plan_json(plan), **more})
    else:
        for line in plan_lines(plan):
            output.line(line)
    return 2 if plan.refusals else 0 if plan.empty else 1


def import_print(options: argparse.Namespace, output: Output) -> int:
    """Print the document that a file becomes, and on standard error the lines that it cannot express."""
    imported = read_import(options.file)
    output.json(to_json_object(imported.document))
    report_import(imported, output)
    return 0


def report_import(imported: Imported, output: Output) -> None:
    """Print an import's notes, skipped lines and effect on packets on standard error."""
    for note in imported.notes:
        output.note(str(note))
    for skipped in imported.skipped:
        output.note(f"line {skipped.line}: {skipped.text}: {skipped.reason}")
    for difference in find_differences(imported.rulesets, imported.document):
        output.note(difference.sentence)


def read_save(name: str) -> Ruleset:
    """Read and parse a save. Raises InputError with the file's name and the parser's message."""
    try:
        return parse_save(read_bytes(name))
    except ParseError as error:
        raise InputError(f"{shown(name)}: {error}") from error


def read_document(name: str) -> Document:
    """Read and validate a document. Raises InputError."""
    try:
        return _load(read_bytes(name), name)
    except DocumentError as error:
        lines = "\n".join(f"{shown(name)}: {item}" for item in error.errors)
        raise InputError(lines) from error


def read_import(name: str, draft: Document | None = None) -> Imported:
    """Read a dockerfw document, an iptables.conf or a save, which keeps what only `draft` says.

    Raises InputError.
    """
    data = read_bytes(name)
    if data.lstrip()[:1] == b"{":
        return Imported(document=read_import_document(data, name), skipped=(), notes=())
    try:
        imported = import_save(data)
        return keep_from_draft(imported, draft) if draft else imported
    except (ParseError, DocumentError) as error:
        raise InputError(f"{shown(name)}: {error}") from error


def read_import_document(data: bytes, name: str) -> Document:
    """Validate a document from its bytes. Raises InputError."""
    try:
        return _load(data, name)
    except DocumentError as error:
        raise InputError("\n".join(f"{shown(name)}: {item}" for item in error.errors)) from error


def _one_standard_input(*names: str | None) -> None:
    if names.count("-") > 1:
        raise InputError("standard input can be read only once. Name one of the files")


def _load(data: bytes, name: str) -> Document:
    if not data.strip():
        raise InputError(f"{shown(name)}: the file is empty. A dockerfw document is expected")
    return load_document(data)


def ruleset_json(ruleset: Ruleset) -> dict[str, Any]:
    """Return a ruleset as JSON values."""
    return {
        "tables": [
            {
                "name": table.name,
                "chains": [
                    {
                        "name": chain.name,
                        "builtin": chain.builtin,
                        "policy": chain.policy,
                        **_counters(chain.counters),
                        "rules": [_rule_json(rule) for rule in chain.rules],
                    }
                    for chain in table.chains.values()
                ],
            }
            for table in ruleset.tables.values()
        ]
    }


def _rule_json(rule: Rule) -> dict[str, Any]:
    target = rule.target
    return {
        "line": rule.line,
        "text": rule.text,
        **_counters(rule.counters),
        "matches": [_match_json(match) for match in rule.matches],
        "target": None
        if target is None
        else {
            "name": target.name,
            "goto": target.goto,
            "options": [_option_json(option) for option in target.options],
        },
        "comment": rule.comment,
    }


def _match_json(match: Match) -> dict[str, Any]:
    return {"module": match.module, "options": [_option_json(option) for option in match.options]}


def _option_json(option: Option) -> dict[str, Any]:
    return {"name": option.name, "negated": option.negated, "values": list(option.values)}


def _counters(counters: Any) -> dict[str, int | None]:
    if counters is None:
        return {"packets": None, "bytes": None}
    return {"packets": counters.packets, "bytes": counters.bytes}
