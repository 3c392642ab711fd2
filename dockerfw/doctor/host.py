"""Check the host: its commands and the kernel's switches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Missing commands and the kernel's switches.

    A switch is None where the kernel does not have it. `needs_sets` is true when rules name ipsets, `docker`
    when Docker's chains exist, `docker6` when Docker filters IPv6, and `keeps_apart` when Docker drops
    traffic between containers of one network (icc=false). `sets_fault` says why the kernel cannot create the
    sets that rules of this release need, empty when it can, None where that was not tried.
    """

    missing: Sequence[str]
    needs_sets: bool
    docker: bool
    docker6: bool
    keeps_apart: bool
    forward: bool | None
    forward6: bool | None
    bridges: bool | None
    sets_fault: str | None = ""


def judge_host(facts: HostFacts) -> Iterator[Finding]:
    """Judge commands and switches."""
    needed = [name for name in facts.missing if name not in ("conntrack", "ipset")]
    if needed:
        text = f"Commands are missing: {', '.join(needed)}."
        todo = "apt-get install iptables iproute2 util-linux nftables"
        yield problem("host.commands", text, todo)
    else:
        yield ok("host.commands", "Every command that dockerfw needs is installed.")
    if "conntrack" in facts.missing:
        text = "conntrack is not installed: dockerfw can neither count open sessions nor end them after Keep."
        yield note("host.conntrack", text, "apt-get install conntrack")
    else:
        yield ok("host.conntrack", "conntrack is installed.")
    yield from _ipsets(facts)
    yield _forward(facts)
    yield _bridges(facts)


def _ipsets(facts: HostFacts) -> Iterator[Finding]:
    checks = ("host.ipset", "host.sets")
    if "ipset" in facts.missing:
        text = "ipset is not installed: an apply is refused if its rules need ipsets."
        if facts.needs_sets:
            text += " Rules use ipsets now, and trace cannot read their members."
        yield note(checks[0], text, "apt-get install ipset")
        yield unknown(checks[1], "ipset is not installed")
        return
    yield ok(checks[0], "ipset is installed.")
    if facts.sets_fault is None:
        yield unknown(checks[1], "no network namespace could be made to test it in")
    elif facts.sets_fault:
        text = f"The kernel cannot create the ipsets that some rules need: {facts.sets_fault}"
        yield problem(checks[1], text, "modprobe -a ip_set_hash_net ip_set_hash_netiface ip_set_hash_netport")
    else:
        yield ok(checks[1], "The kernel can create ipsets (tested in an empty network namespace).")


def _forward(facts: HostFacts) -> Finding:
    check = "host.forwarding"
    if not facts.docker:
        return ok(check, "Without Docker the host does not need to forward packets.")
    if facts.forward is None:
        return unknown(check, "the kernel's switch cannot be read")
    if not facts.forward:
        text = "The kernel does not forward IPv4: no client can reach a container, whatever the rules allow."
        return problem(
            check,
            text,
            "sysctl -w net.ipv4.ip_forward=1, and set it in /etc/sysctl.d for later boots",
        )
    if facts.docker6 and facts.forward6 is False:
        text = (
            "The kernel does not forward IPv6, but Docker filters it: containers are not reachable over IPv6."
        )
        return note(check, text, "sysctl -w net.ipv6.conf.all.forwarding=1, if they should be reachable")
    return ok(check, "The kernel forwards packets to containers.")


def _bridges(facts: HostFacts) -> Finding:
    check = "host.bridges"
    if facts.keeps_apart and not facts.bridges:
        text = "Docker is set to isolate containers of one network, but br_netfilter is not loaded or is off."
        todo = "modprobe br_netfilter; sysctl -w net.bridge.bridge-nf-call-iptables=1, then restart docker"
        return problem(check, text, todo)
    return ok(check, "Traffic inside a bridge is filtered, or no setting asks for that.")
