"""The verbs about groups and rules of the draft: list, show and find them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from dockerfw.document.document import rule_to_json_object
from dockerfw.document.entries import read_network
from dockerfw.document.group_words import describe_addresses, describe_entries, describe_group
from dockerfw.document.words import describe_count, describe_rule
from dockerfw.streams import InputError, Output
from rules.applying.group_list_selectors import list_row, list_state_of
from rules.audit.actors import command_line_actor
from rules.command_line.stored import wanted_host
from rules.draft.group_selectors import FoundAddress, GroupRow, find_in_draft, group_rows
from rules.draft.group_services import group_values
from rules.draft.rule_search_selectors import search_problem
from rules.draft.rule_selectors import RuleRow, rule_rows
from rules.lists.list_services import list_refresh
from rules.models import Host
from rules.seen.snapshot_selectors import latest_snapshot


def groups(options: argparse.Namespace, output: Output) -> int:
    """List the groups of the draft, print one, or find an address in them."""
    host = wanted_host(options)
    actions = {"list": _list_groups, "show": _show_group, "find": _find, "refresh": _refresh}
    if options.action == "list" and options.what:
        raise InputError(f"list takes no name. Use: groups show {options.what}")
    if options.action != "list" and not options.what:
        raise InputError(
            f"groups {options.action} needs {'an ADDRESS' if options.action == 'find' else 'a NAME'}"
        )
    return actions[options.action](host, options.what, output)


def rules(options: argparse.Namespace, output: Output) -> int:
    """List the rules of the draft that match every word, with their hits and last use."""
    host = wanted_host(options)
    snapshot = latest_snapshot(host)
    words = [*options.words, *([f"unused:{options.unused_since}"] if options.unused_since else [])]
    if problem := search_problem(" ".join(words)):
        raise InputError(problem)
    found = rule_rows(host, query=" ".join(words), snapshot=snapshot)
    if output.as_json:
        output.json([_rule_json(row) for row in found])
        return 0
    for row in found:
        output.line(_rule_line(row))
    if not found:
        output.line("no rule matches" if words else "no rules")
    if snapshot is None:
        output.note("hits are unknown: the root worker has not reported yet")
    elif any(row.hits for row in found) and snapshot.stale:
        output.note(f"hits were read {snapshot.when}")
    if options.unused_since and snapshot is not None:
        counted = snapshot.snapshot.uses
        since = f"since {counted.since}" if counted else "not yet"
        output.note(f"the root worker counts the use of rules {since}")
    return 0


def _list_groups(host: Host, _: str, output: Output) -> int:
    rows = group_rows(host)
    if output.as_json:
        output.json([_group_json(row) for row in rows])
        return 0
    for row in rows:
        used = describe_count(len(row.used_by), "rule") if row.used_by else "no rule"
        state = f"  {row.state.text}" if row.state else ""
        mark = f"  {row.mark}" if row.mark else ""
        output.line(f"{describe_group(row.group)}  used by {used}{mark}{state}")
    if not rows:
        output.line("no groups")
    return 0


def _show_group(host: Host, name: str, output: Output) -> int:
    wanted = name.removeprefix("@").lower()
    row = next((each for each in group_rows(host) if each.group.name == wanted), None)
    if row is None:
        raise InputError(f"there is no group @{wanted}")
    if output.as_json:
        output.json({**_group_json(row), "entries": list(row.group.entries)})
        return 0
    output.line(describe_group(row.group))
    if row.group.comment:
        output.line(row.group.comment)
    if row.state:
        output.line(row.state.text)
    if row.size and row.size.networks:
        addresses = ", ".join(describe_addresses(row.size.addresses4, row.size.addresses6))
        output.line(f"{addresses} in {describe_count(row.size.networks, 'network')} after merging")
    for rule in row.used_by:
        output.line(f"used by {rule.id}  {describe_rule(rule)}")
    for entry in row.group.entries:
        output.line(entry)
    return 0


def _refresh(host: Host, name: str, output: Output) -> int:
    wanted = name.removeprefix("@").lower()
    state = list_state_of(host, wanted)
    if state is None:
        raise InputError(f"there is no feed and there are no DNS names or countries of a group @{wanted} yet")
    list_refresh(row=list_row(state), actor=command_line_actor())
    if output.as_json:
        output.json({"name": wanted, "requested": True})
    else:
        output.line(f"requested: the clerk fetches @{wanted} next; see it with: groups show {wanted}")
    return 0


def _find(host: Host, text: str, output: Output) -> int:
    network = read_network(text)
    if network is None:
        raise InputError(f"{text} is not an IPv4 or IPv6 address or network")
    found = find_in_draft(host, network)
    if output.as_json:
        output.json(_found_json(found))
    else:
        for line in _found_lines(found, text):
            output.line(line)
    return 0 if found.holders or found.rules else 1


def _found_lines(found: FoundAddress, text: str) -> Iterator[str]:
    for holder in found.holders:
        parts = [f"by {', '.join(holder.entries)}"] if holder.entries else []
        parts += [f"{describe_entries(holder.inside)} in {text}"] if holder.inside else []
        yield f"@{holder.group.name}  {', '.join(parts)}"
    for rule in found.rules:
        yield f"{rule.id}  {describe_rule(rule)}"
    if not found.holders and not found.rules:
        yield f"no group with addresses and no rule with a source holds {text}"
    if found.for_anyone:
        yield f"for any source: {describe_count(found.for_anyone, 'rule')}"
    if found.unknown:
        yield f"not searched: {', '.join(f'@{name}' for name in found.unknown)}"


def _found_json(found: FoundAddress) -> dict[str, Any]:
    return {
        "groups": [
            {"name": each.group.name, "entries": list(each.entries), "inside": each.inside}
            for each in found.holders
        ],
        "rules": [rule_to_json_object(rule) for rule in found.rules],
        "for_anyone": found.for_anyone,
        "not_searched": list(found.unknown),
    }


def _group_json(row: GroupRow) -> dict[str, Any]:
    values = {key: value for key, value in group_values(row.group).items() if key != "entries"}
    return {
        **values,
        "ipv4": row.ipv4,
        "ipv6": row.ipv6,
        "used_by": [rule.id for rule in row.used_by],
        "change": row.mark,
        "state": row.state.text if row.state else "",
    }


def _rule_json(row: RuleRow) -> dict[str, Any]:
    packets, size = (row.hits.packets, row.hits.bytes) if row.hits else (None, None)
    use = row.last_use
    return {
        **rule_to_json_object(row.rule),
        "change": row.mark,
        "packets": packets,
        "bytes": size,
        "last_hit": _time(use.last) if use else None,
        "counted_since": _time(use.since) if use else None,
        "counted_with": [rule.id for rule in row.counted_with],
    }


def _rule_line(row: RuleRow) -> str:
    hits = f"{row.hits.packets:>9,}" if row.hits else f"{'-':>9}"
    comment = f"  ({row.rule.comment})" if row.rule.comment else ""
    mark = f"  {row.mark}" if row.mark else ""
    used = row.last_use.last if row.last_use else None
    last = f"{used:%Y-%m-%d %H:%M}" if used else "-"
    firsts = ", ".join(rule.id for rule in row.counted_with)
    shared = f"  counted with {firsts}" if firsts else ""
    return f"{row.key:<8} {hits}  {last:<16}  {row.description}{comment}{mark}{shared}"


def _time(moment: datetime | None) -> str | None:
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}" if moment else None
