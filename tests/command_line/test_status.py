"""The sentence of `dockerfw status` on a host without the dashboard: it never claims more than was read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dockerfw.command_line.status import judge_status
from dockerfw.doctor.bound_sets import BoundSetFacts
from dockerfw.doctor.kernel import KernelFacts
from dockerfw.document.document import Document, parse_document
from dockerfw.iptables.model import FAMILIES
from dockerfw.messages.snapshots import CommandError, Snapshot, saves_digest
from dockerfw.messages.surroundings import Interface
from tests.rig.kernel_reports import UNREAD_6, save_of

RULE = {"scope": "host", "protocol": "tcp", "ports": ["22"]}
SETTINGS = {"external_interfaces": ["ens33"]}
DOCUMENT = parse_document({"format": "dockerfw/1", "settings": SETTINGS, "rules": [RULE]})
NO_INTERFACE = parse_document({"format": "dockerfw/1", "rules": [RULE]})


def snapshot(document: Document | None = DOCUMENT) -> Snapshot:
    """Return a snapshot of a kernel that holds a document as revision 3."""
    saves = {family: save_of(document, family, 3) for family in FAMILIES}
    return Snapshot(
        host="local",
        taken_at="2026-01-31T12:00:00Z",
        backend="nft",
        docker_state="iptables",
        saves=saves,
        interfaces=(Interface("lo", ("127.0.0.1/8",), True), Interface("ens33", ("192.0.2.1/24",), True)),
        default_routes={4: ("ens33",), 6: ()},
        published=(),
        versions={"iptables": "iptables v1.8.10 (nf_tables)", "kernel": "6.1"},
        errors=(),
        sha256=saves_digest(saves),
        docker_backends=("nft",),
    )


LO, ENS33 = snapshot().interfaces
ETH9 = Interface("eth9", ("10.0.0.2/24",), True)
RENAMED: dict[str, Any] = {
    "interfaces": (LO, replace(ENS33, name="eth9")),
    "default_routes": {4: ("eth9",), 6: ()},
}
MOVED: dict[str, Any] = {"interfaces": (LO, ENS33, ETH9), "default_routes": {4: ("eth9",), 6: ()}}
NO_ROUTES = (CommandError(("ip", "-json", "-4", "route", "show"), 1, "no"),)


def by_nftables(document: Document) -> Snapshot:
    """Return the same where Docker filters with nftables, and nothing calls DOCKER-USER."""
    call = "[0:0] -A FORWARD -j DOCKER-USER\n"
    found = snapshot(document)
    saves = {family: save.replace(call, "") for family, save in found.saves.items()}
    return replace(found, docker_state="nftables", saves=saves)


PROTECTED = KernelFacts(
    snapshot(), document=DOCUMENT, revision=3, kept_backend="nft", other_backend=0, drops=()
)


def test_a_kernel_with_the_confirmed_revision_is_protected() -> None:
    found = judge_status(PROTECTED)
    assert (found.level, found.text, found.reasons) == (
        "ok",
        "Protected: revision 3 is active for IPv4 and IPv6.",
        (),
    )


def test_other_tables_that_filter_are_named() -> None:
    seen = replace(snapshot(), foreign_tables=("inet firewalld",))
    found = judge_status(replace(PROTECTED, snapshot=seen))
    assert found.level == "ok"
    assert "inet firewalld" in found.reasons[0]


@pytest.mark.parametrize(
    ("level", "change"),
    [
        ("bad", {"snapshot": snapshot(None)}),
        ("bad", {"snapshot": by_nftables(DOCUMENT)}),
        ("bad", {"snapshot": snapshot(NO_INTERFACE), "document": NO_INTERFACE}),
        ("bad", {"snapshot": replace(snapshot(), **RENAMED)}),
        ("bad", {"snapshot": replace(snapshot(), **MOVED)}),
        ("unknown", {"snapshot": replace(snapshot(), interfaces=())}),
        ("unknown", {"snapshot": replace(snapshot(), errors=NO_ROUTES)}),
        ("unknown", {"snapshot": replace(snapshot(), docker_backends=("nft", "legacy"))}),
        ("unknown", {"snapshot": replace(snapshot(), docker_backends=("legacy",))}),
        (
            "unknown",
            {"snapshot": replace(snapshot(), saves={4: save_of(DOCUMENT, 4, 3), 6: ""}, errors=UNREAD_6)},
        ),
        ("unknown", {"snapshot": None, "why_not": "needs root"}),
        (
            "unknown",
            {"document": None, "revision": 0, "confirmed_problem": "boot/confirmed.json: is cut off"},
        ),
        ("unknown", {"sets": BoundSetFacts(("dockerfw4-proxy",), {}, {})}),
        ("unknown", {"sets": BoundSetFacts(("dockerfw4-proxy",), why_not="ipset failed")}),
        ("warn", {"document": None, "revision": 0}),
        ("warn", {"window": True}),
    ],
)
def test_anything_else_is_not(level: str, change: dict[str, Any]) -> None:
    found = judge_status(replace(PROTECTED, **change))
    assert found.level == level
    assert "Protected" not in found.text
