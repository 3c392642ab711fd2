"""`trace --live SAVE`: trace a packet through a saved ruleset, without a database or a host.

A save does not contain the host's addresses. They come from `--address`, and from MASQUERADE rules, which
name the networks of Docker's bridges. Without `--address`, an address outside those networks counts as the
host's own. The answer lists all assumptions. The members of ipsets come from `--set`; without it they are
unknown.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_interface, ip_network

from dockerfw.iptables.model import Family, Ruleset
from dockerfw.reach.container_networks import masqueraded_bridges
from dockerfw.reach.question import Question, QuestionError, ResolvedQuestion, read_question
from dockerfw.simulation.simulate import prepare, simulate
from dockerfw.simulation.surroundings import HostInterface, IpSet, Surroundings
from dockerfw.streams import InputError, Output
from rules.asking.trace_row_selectors import lay_out
from rules.command_line.files import read_save
from rules.command_line.traces import question_of, trace_json, trace_lines, trace_status, wrong_question


def trace(options: argparse.Namespace, output: Output) -> int:
    """Print what happens to a packet under a saved ruleset; status 0 passes, 1 refused, 3 cannot tell."""
    ruleset = read_save(options.live)
    question = question_of(options)
    interfaces, assumed = _around(ruleset, options, question)
    routes: dict[Family, tuple[str, ...]] = {}
    if options.route:
        routes = {4: (options.route,), 6: (options.route,)}
    sets = {each.name: each for each in _sets(options.set)}
    surroundings = Surroundings(tuple(interfaces), routes, sets, at=int(time.time()))
    try:
        asked = read_question(question, surroundings)
    except QuestionError as error:
        raise wrong_question(error) from error
    asked = ResolvedQuestion(asked.packet, (*asked.guesses, *assumed))
    family = asked.packet.family
    rows = lay_out(simulate(prepare(ruleset, surroundings, family), asked.packet), sets)
    if output.as_json:
        output.json(trace_json(asked, rows, {"word": "file", "file": options.live}))
    else:
        for line in trace_lines(asked, rows, options.live, {}, everything=options.all):
            output.line(line)
    return trace_status(rows.trace)


def _around(
    ruleset: Ruleset, options: argparse.Namespace, question: Question
) -> tuple[list[HostInterface], list[str]]:
    named = [_interface(text) for text in options.address]
    interfaces, assumed = _joined(named), []
    for name in filter(None, {question.interface, options.route}):
        if all(name != each.name for each in interfaces):
            interfaces.append(HostInterface(name, (), up=True))
    for bridge in masqueraded_bridges(ruleset):
        if all(bridge.name != each.name for each in interfaces):
            interfaces.append(bridge)
            network = bridge.addresses[0].network
            assumed.append(f"{bridge.name} has {network}, according to a MASQUERADE rule.")
    try:
        destination = ip_address(question.destination.strip())
    except ValueError:
        return interfaces, assumed
    inside = any(
        destination.version == each.version and destination in each.network
        for interface in interfaces
        for each in interface.addresses
    )
    if not named and not inside:
        own = HostInterface(question.interface or "lo", (ip_interface(destination),), up=True)
        assumed.append(f"{destination} is the host's own address.")
        return _joined([*interfaces, own]), assumed
    return interfaces, assumed


def _interface(text: str) -> HostInterface:
    name, _, address = text.partition("=")
    try:
        return HostInterface(name, (ip_interface(address),), up=True)
    except ValueError as error:
        raise InputError(
            f"--address: {text} is not NAME=ADDRESS/LENGTH, such as ens33=192.0.2.10/24"
        ) from error


def _sets(texts: Iterable[str]) -> Iterator[IpSet]:
    """Yield the sets of `NAME=CIDR,...`; a set without members is empty for both families."""
    members: dict[str, list[IPv4Network | IPv6Network]] = {}
    for text in texts:
        name, equals, listed = text.partition("=")
        try:
            networks = [ip_network(each.strip(), strict=False) for each in listed.split(",") if each.strip()]
        except ValueError as error:
            raise InputError(
                f"--set: {error}. Write networks, such as office=192.0.2.0/24,198.51.100.7"
            ) from error
        if not name or not equals:
            raise InputError(f"--set: {text} is not NAME=CIDR,..., such as office=192.0.2.0/24,198.51.100.7")
        members.setdefault(name, []).extend(networks)
    for name, networks in members.items():
        versions = {network.version for network in networks}
        if len(versions) > 1:
            raise InputError(f"--set: {name} has IPv4 and IPv6 networks. A set has one family")
        family = "family inet6" if versions == {6} else "family inet"
        yield IpSet(name, "hash:net", tuple(map(str, networks)), family)


def _joined(interfaces: list[HostInterface]) -> list[HostInterface]:
    """Return one interface for each name, with all its addresses."""
    found: dict[str, HostInterface] = {}
    for each in interfaces:
        known = found.get(each.name)
        found[each.name] = replace(known, addresses=(*known.addresses, *each.addresses)) if known else each
    return list(found.values())
