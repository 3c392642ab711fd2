"""Judge what lies around: the database, room on disk, commands and switches of the host."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown
from dockerfw.messages.space import Space

MIGRATE = "systemctl restart dockerfw-web, or: python manage.py migrate"


@dataclass(frozen=True, slots=True)
class DatabaseFacts:
    """What came of asking: `error` when it failed, `untried` why nobody could try, `migrations` that wait."""

    error: str = ""
    untried: str = ""
    migrations: int = 0


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Commands that are missing, whether sets are named by rules, and the kernel's switches by their names.

    A switch is None where it is not there. `docker` says whether Docker's chains are here, `docker6` whether
    it filters IPv6, `keeps_apart` whether it was told to drop what crosses one of its bridges (icc=false).
    """

    missing: Sequence[str]
    needs_sets: bool
    docker: bool
    docker6: bool
    keeps_apart: bool
    forward: bool | None
    forward6: bool | None
    bridges: bool | None


def judge_database(facts: DatabaseFacts) -> Iterator[Finding]:
    """Judge the database."""
    if facts.untried:
        yield unknown("database.reachable", facts.untried)
        yield unknown("database.migrated", facts.untried)
        return
    if facts.error:
        text = f"The database cannot be used: {facts.error}"
        yield problem("database.reachable", text, "journalctl -u dockerfw-web -n 50")
        yield unknown("database.migrated", "the database cannot be used")
        return
    yield ok("database.reachable", "The database answers.")
    if facts.migrations:
        text = f"{facts.migrations} migrations of this release have not been made."
        yield problem("database.migrated", text, MIGRATE)
    else:
        yield ok("database.migrated", "The database is of this release.")


def judge_space(check: str, what: str, space: Space | None) -> Finding:
    """Judge the room that a file system has."""
    if space is None:
        return unknown(check, f"{what} cannot be looked at from here")
    words = f"The file system of {what} {space.words}."
    todo = "df -h, df -i, and make room or make it larger"
    if space.room == "scarce":
        return problem(check, f"{words} Writing fails soon, or already.", todo)
    return note(check, words, todo) if space.room == "low" else ok(check, words)


def judge_host(facts: HostFacts) -> Iterator[Finding]:
    """Judge commands and switches."""
    needed = [name for name in facts.missing if name not in ("conntrack", "ipset")]
    if needed:
        text = f"Commands are missing: {', '.join(needed)}."
        todo = "apt-get install iptables iproute2 util-linux nftables"
        yield problem("host.commands", text, todo)
    else:
        yield ok("host.commands", "All commands that dockerfw needs are there.")
    if "conntrack" in facts.missing:
        text = "conntrack is not there: sessions are neither counted at the review nor ended after Keep."
        yield note("host.conntrack", text, "apt-get install conntrack")
    else:
        yield ok("host.conntrack", "conntrack is there.")
    if "ipset" in facts.missing and facts.needs_sets:
        text = "Rules name ipsets and the command ipset is not there: trace cannot tell who is in them."
        yield note("host.ipset", text, "apt-get install ipset")
    else:
        yield ok("host.ipset", "ipset is there, or no rule needs it.")
    yield _forward(facts)
    yield _bridges(facts)


def _forward(facts: HostFacts) -> Finding:
    check = "host.forwarding"
    if not facts.docker:
        return ok(check, "Without Docker nothing has to be forwarded.")
    if facts.forward is None:
        return unknown(check, "the kernel's switch cannot be read")
    if not facts.forward:
        text = "The kernel forwards no IPv4: containers are reached by nobody, whatever the rules say."
        return problem(check, text, "sysctl -w net.ipv4.ip_forward=1, and in /etc/sysctl.d for good")
    if facts.docker6 and facts.forward6 is False:
        text = "The kernel forwards no IPv6, and Docker filters it: containers are not reached by IPv6."
        return note(check, text, "sysctl -w net.ipv6.conf.all.forwarding=1, if they should be")
    return ok(check, "The kernel forwards packets to containers.")


def _bridges(facts: HostFacts) -> Finding:
    check = "host.bridges"
    if facts.keeps_apart and not facts.bridges:
        text = "Docker shall keep containers of one network apart, and br_netfilter is not loaded, or off."
        todo = "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1, and restart docker"
        return problem(check, text, todo)
    return ok(check, "What only crosses a bridge is filtered, or nothing asks for that.")
