"""The verb `refused`: what the firewall refused and why, once or as it comes."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterable
from typing import Any

from dockerfw.plain_text import make_json_visible
from dockerfw.streams import InputError, Output
from rules.command_line.stored import wanted_host
from rules.models import Host
from rules.overview.refused_filters import RefusedFilters, read_filters
from rules.overview.refused_selectors import (
    RefusedLine,
    checked_lines,
    refused_log,
    refused_news,
    refused_totals,
)
from rules.seen.snapshot_selectors import latest_snapshot

FOLLOW_SECONDS = 1.0
_ARGUMENTS = ("since", "source", "port", "container", "reason")


def refused(options: argparse.Namespace, output: Output) -> int:
    """Print the refused packets that match the filters, the oldest first; with --follow also new ones."""
    host = wanted_host(options)
    filters = _filters(options)
    view = latest_snapshot(host)
    # What comes in between is printed by the first turn of --follow.
    after = refused_news(host, view, filters, None).last
    log = refused_log(host, view, filters)
    lines = checked_lines(host, view, reversed(log.lines))
    if log.problem:
        output.note(log.problem)
    if options.follow:
        _print(lines, output, one_by_one=True)
        return _follow(host, filters, after, output)
    _print(lines, output)
    if not output.as_json:
        _print_totals(host, filters, bool(lines), output)
    return 0


def _filters(options: argparse.Namespace) -> RefusedFilters:
    asked = {name: getattr(options, name) for name in _ARGUMENTS}
    filters, problems = read_filters({**asked, "q": " ".join(options.words), "group": "none"})
    if problems:
        raise InputError("\n".join(f"--{name}: {sentence}" for name, sentence in problems.items()))
    return filters


def _follow(host: Host, filters: RefusedFilters, after: str, output: Output) -> int:
    """Print what comes until Ctrl-C."""
    told = ""
    try:
        while True:
            time.sleep(FOLLOW_SECONDS)
            view = latest_snapshot(host)
            news = refused_news(host, view, filters, after)
            if news.problem and news.problem != told:
                output.note(news.problem)
            told, after = news.problem, news.last
            _print(checked_lines(host, view, news.lines), output, one_by_one=True)
    except KeyboardInterrupt:
        return 0


def _print(lines: Iterable[RefusedLine], output: Output, *, one_by_one: bool = False) -> None:
    if not output.as_json:
        for line in lines:
            output.line(_line(line))
    elif one_by_one:
        for line in lines:
            output.text(f"{make_json_visible(json.dumps(line_json(line), ensure_ascii=False))}\n")
    else:
        output.json([line_json(line) for line in lines])


def _print_totals(host: Host, filters: RefusedFilters, found: bool, output: Output) -> None:
    if not found:
        output.line("no refused packets")
    totals = refused_totals(host, filters)
    if totals.unlisted or totals.uncounted:
        output.note(f"not listed: {max(totals.unlisted, totals.uncounted)} packets more were refused")


def _line(line: RefusedLine) -> str:
    packets, kind = line.packets, line.kind
    revision = f"  (revision {kind.revision})" if kind.revision else ""
    what = f"{kind.source}  {line.what}  {line.place}  {line.reason.text}{revision}"
    return f"{packets.last_at:%Y-%m-%d %H:%M:%S} UTC  {packets.count:>6}  {what}"


def line_json(line: RefusedLine) -> dict[str, Any]:
    """Return refused packets as JSON values; `time` is that of the last one."""
    kind = line.kind
    return {
        "time": line.packets.last_at.isoformat(),
        "count": line.packets.count,
        "source": kind.source,
        "destination": kind.destination,
        "port": kind.port,
        "protocol": kind.protocol,
        "interface": kind.interface or None,
        "way": kind.way,
        "container": kind.container or None,
        "revision": kind.revision,
        "reason": line.reason.kind,
        "why": line.reason.text,
        "rules": list(line.reason.rules),
    }
