"""The list of nftables tables by netlink is the one that nft prints, on the real kernel."""

from __future__ import annotations

import shutil
import sys

import pytest

from dockerfw.host.native_rules import list_tables
from tests.rig.namespace import Namespace

pytestmark = pytest.mark.kernel

TABLES = (
    "ip mine",
    "ip6 mine",
    "inet firewalld",
    "inet a-name_with.all",
    "netdev early",
    "bridge docker-bridges",
    "arp filter",
)


@pytest.mark.skipif(shutil.which("nft") is None, reason="nft is not installed")
def test_the_list_is_the_one_that_nft_prints(inside: Namespace) -> None:
    assert list_tables() == b"" == inside.output("nft", "list", "tables").encode()
    for table in TABLES:
        inside.run("nft", "add", "table", *table.split())
    inside.restore("*filter\n:INPUT ACCEPT [0:0]\nCOMMIT\n", "nft", 6)
    printed = inside.output("nft", "list", "tables")
    assert len(printed.splitlines()) == len(TABLES) + 1
    listed = list_tables()
    assert listed is not None
    assert listed.decode() == printed


def test_a_refusal_of_the_kernel_is_no_empty_list(inside: Namespace) -> None:
    program = "from dockerfw.host.native_rules import list_tables; print(list_tables())"
    without_rights = ("setpriv", "--bounding-set=-all", sys.executable, "-c", program)
    assert inside.output(*without_rights).strip() == "None"
