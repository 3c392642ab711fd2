"""`firewall trace` and `firewall exposure`: on the host's report, and on a save alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dockerfw.chains import sentences
from dockerfw.iptables.sentences import table_not_printed
from dockerfw.messages.snapshots import CommandError
from rules.audit.actors import Actor, command_line_actor
from rules.command_line import stored
from rules.draft.draft_selectors import draft_document
from rules.draft.rule_services import rule_create, rule_delete
from rules.models import Host, Rule
from tests.iptables.test_unprinted import NAT, WHOLE
from tests.rig.busy_host import SOCKETS, busy_store
from tests.rig.command_fixtures import firewall, shell
from tests.rig.confirmed import confirm
from tests.rig.kernel_reports import CLEAN as CLEAN_SAVE
from tests.rig.kernel_reports import UNREAD_6, save_of, snapshot_store

CLEAN = Path(__file__).parent.parent / "iptables" / "data" / "clean-docker-host.save"
STRANGER = "203.0.113.5"
OFFLINE = ("--live", str(CLEAN), "--interface", "ens33")


@pytest.fixture(autouse=True)
def short_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """No root worker answers here, so do not wait long for a snapshot."""
    monkeypatch.setattr(stored, "LOOK_SECONDS", 0.05)


@pytest.fixture
def shop(host: Host, alice: Actor, queue: object) -> Rule:
    """The published shop for all and ssh for the office, confirmed and loaded as revision 1."""
    ssh = {"scope": "host", "protocol": "tcp", "ports": ["22"], "source": "192.0.2.0/24", "comment": "office"}
    rule_create(host=host, actor=alice, values=ssh)
    values = {"scope": "container", "protocol": "tcp", "ports": ["8080", "9999"], "comment": "the shop"}
    rule = rule_create(host=host, actor=alice, values=values)
    confirm(host, alice)
    busy_store(host, draft_document(host), 1)
    return rule


def test_a_save_is_enough_without_a_database(tmp_path: Path) -> None:
    done = shell("trace", STRANGER, "192.0.2.10", "--port", "9200", *OFFLINE, DOCKERFW_DATA_DIR=str(tmp_path))
    assert (done.returncode, done.stderr) == (0, b"")
    lines = done.stdout.decode().splitlines()
    assert lines[:3] == [
        "Allowed.",
        "  tcp from 203.0.113.5 to 192.0.2.10 port 9200, arriving on ens33",
        "  The packet is redirected to 172.19.0.2:9200 and leaves through br-68428f03a4d1.",
    ]
    assert "  assumed: br-68428f03a4d1 has 172.19.0.0/16, according to a MASQUERADE rule." in lines
    assert "  assumed: 192.0.2.10 is the host's own address." in lines
    assert "nat DOCKER" in lines
    assert "       3 rules do not match" in lines
    assert list(tmp_path.iterdir()) == []


def test_the_status_is_the_verdict(tmp_path: Path) -> None:
    assert firewall("trace", STRANGER, "192.0.2.10", "--port", "22", *OFFLINE).status == 0
    refused = firewall("trace", STRANGER, "172.19.0.2", "--port", "80", *OFFLINE)
    assert refused.status == 1
    assert refused.out.startswith("Dropped without a reply.\n")
    assert "decided by the policy of filter FORWARD" in refused.out
    odd = tmp_path / "odd.save"
    odd.write_text('*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m u32 --u32 "0x0=0x1" -j DROP\nCOMMIT\n')
    done = firewall(
        "trace", STRANGER, "192.0.2.10", "--port", "22", "--interface", "ens33", "--live", str(odd)
    )
    assert done.status == 3
    assert "because " in done.out
    assert "u32" in done.out


def test_all_names_the_rules_that_do_not_match() -> None:
    short = firewall("trace", STRANGER, "192.0.2.10", "--port", "9200", *OFFLINE).out
    full = firewall("trace", STRANGER, "192.0.2.10", "--port", "9200", *OFFLINE, "--all").out
    assert "in by docker_gwbridge -> RETURN" not in short
    assert "in by docker_gwbridge -> RETURN" in full
    assert "do not match" not in full


def test_a_save_with_addresses_and_a_route() -> None:
    named = ("--address", "ens33=192.0.2.10/24", "--address", "docker0=172.17.0.1/16", "--route", "ens33")
    done = firewall("trace", STRANGER, "--port", "22", "--live", str(CLEAN), *named)
    assert done.status == 0
    assert "assumed: Incoming interface: ens33, the interface of the IPv4 default route." in done.out
    assert "assumed: Destination: the host's own address 192.0.2.10." in done.out
    out = firewall("trace", "172.17.0.5", STRANGER, "--port", "443", "--live", str(CLEAN), *named)
    assert (out.status, "leaves through ens33" in out.out) == (0, True)


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ((), 3),
        (("--set", "office=203.0.113.0/24"), 0),
        (("--set", "office=198.51.100.7", "--set", "office=203.0.113.5, 192.0.2.0/24"), 0),
        (("--set", "office=198.51.100.0/24,192.0.2.1"), 1),
        (("--set", "office=2001:db8::/32"), 1),
        (("--set", "office="), 1),
        (("--set", "home=203.0.113.0/24"), 3),
    ],
)
def test_a_save_with_sets(given: tuple[str, ...], status: int, tmp_path: Path) -> None:
    save = tmp_path / "save"
    save.write_text("*filter\n:INPUT DROP [0:0]\n-A INPUT -m set --match-set office src -j ACCEPT\nCOMMIT\n")
    done = firewall(
        *("trace", STRANGER, "192.0.2.10", "--port", "22", "--interface", "ens33", "--live", str(save)),
        *given,
    )
    assert done.status == status


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((STRANGER, "192.0.2.10", *OFFLINE), "--port: enter the destination port"),
        (("x", "192.0.2.10", "--port", "1", *OFFLINE), "SOURCE: x is neither"),
        ((STRANGER, "--port", "1", *OFFLINE), "DESTINATION: the host has no known IPv4 address"),
        (
            (STRANGER, "192.0.2.10", "--port", "1", "--live", str(CLEAN)),
            "--interface: 203.0.113.5 is in no network of the host",
        ),
        ((STRANGER, "192.0.2.10", "--port", "1", *OFFLINE, "--address", "x"), "x is not NAME=ADDRESS/LENGTH"),
        (
            (STRANGER, "192.0.2.10", "--port", "1", *OFFLINE, "--against", "draft"),
            "--against reads the host",
        ),
        ((STRANGER, "192.0.2.10", "--port", "1", "--route", "x"), "--address, --route and --set need --live"),
        ((STRANGER, "192.0.2.10", "--port", "1", "--set", "x=10.0.0.0/8"), "--set need --live"),
        ((STRANGER, "192.0.2.10", "--port", "1", *OFFLINE, "--set", "x"), "x is not NAME=CIDR,..."),
        ((STRANGER, "192.0.2.10", "--port", "1", *OFFLINE, "--set", "=10.0.0.1"), "is not NAME=CIDR,..."),
        ((STRANGER, "192.0.2.10", "--port", "1", *OFFLINE, "--set", "x=300.1"), "'300.1' does not appear"),
        (
            (STRANGER, "192.0.2.10", "--port", "1", *OFFLINE, "--set", "x=10.0.0.1", "--set", "x=::1"),
            "x has IPv4 and IPv6 networks",
        ),
        (
            (STRANGER, "192.0.2.10", "--protocol", "icmp", "--icmp-type", "x", *OFFLINE),
            "--icmp-type: x is not",
        ),
        ((STRANGER, "192.0.2.10", "--port", "1", "--live", "/nonexistent"), "/nonexistent: No such file"),
    ],
)
def test_wrong_input_names_the_argument(arguments: tuple[str, ...], said: str) -> None:
    done = firewall("trace", *arguments)
    assert done.status == 2
    assert said in done.err
    assert done.out == ""


def test_as_json() -> None:
    done = firewall("trace", STRANGER, "192.0.2.10", "--port", "9200", *OFFLINE, "--json")
    found = json.loads(done.out)
    assert (found["verdict"], found["hook"], found["out_interface"]) == (
        "ACCEPT",
        "FORWARD",
        "br-68428f03a4d1",
    )
    assert (found["destination"], found["destination_port"]) == ("172.19.0.2", 9200)
    assert found["packet"]["in_interface"] == "ens33"
    assert found["decided_by"]["chain"] == "DOCKER"
    assert found["against"] == {"word": "file", "file": str(CLEAN)}
    assert {"translated", "routed", "matched", "not matched"} <= {step["outcome"] for step in found["steps"]}


@pytest.mark.django_db
@pytest.mark.redis
def test_on_the_host_live_and_draft(host: Host, alice: Actor, shop: Rule) -> None:
    arguments = ("trace", STRANGER, "shop/web", "--port", "8080")
    done = firewall(*arguments)
    assert done.status == 0
    assert f"allowed by 8080, 9999/tcp from anywhere to containers (rule {shop.key})" in done.out
    assert "against: The kernel's rules." in done.out
    rule_delete(host=host, actor=alice, key=shop.key, version=shop.version)
    draft = firewall(*arguments, "--against", "draft")
    assert draft.status == 1
    assert "decided by dockerfw's refusal: no rule allows it" in draft.out
    assert firewall(*arguments, "--against", "1").status == 0
    missing = firewall(*arguments, "--against", "7")
    assert (missing.status, missing.err) == (2, "--against: there is no revision 7\n")
    found = json.loads(firewall(*arguments, "--json").out)
    assert (found["allowed_by"], found["against"]["word"], found["against"]["revision"]) == (
        shop.key,
        "live",
        None,
    )


@pytest.mark.django_db
def test_without_a_report_it_says_why(host: Host, no_queue: None) -> None:
    for arguments in (("trace", STRANGER, "--port", "22"), ("exposure",)):
        done = firewall(*arguments)
        assert done.status == 2
        assert "Redis does not answer" in done.err


@pytest.mark.django_db
@pytest.mark.redis
def test_exposure(shop: Rule) -> None:
    done = firewall("exposure")
    assert done.status == 0
    lines = done.out.splitlines()
    assert lines[:2] == [
        "1 port is reachable from anywhere, 1 from some networks.",
        "packets from outside arrive on: ens33",
    ]
    assert "8080/tcp   shop-web-1 (shop/web), container, any address -> 172.17.0.2:80" in lines
    assert "    IPv4 and IPv6: anywhere (8080, 9999/tcp from anywhere to containers)" in lines
    assert "22/tcp     sshd (ssh.service), program, any address" in lines
    assert "    IPv4: 192.0.2.0/24 (22/tcp from 192.0.2.0/24 to the host)" in lines
    assert "    IPv6: nowhere (no rule allows it)" in lines
    found = json.loads(firewall("exposure", "--json").out)
    assert found["counts"] == {"anywhere": 1, "unknown": 0, "networks": 1, "nobody": 3}
    assert found["external_interfaces"] == ["ens33"]
    by_port = {port["port"]: port for port in found["ports"]}
    assert [who["passes"] for who in by_port[22]["who"]] == [["192.0.2.0/24"], []]
    assert (by_port[8080]["name"], by_port[8080]["detail"], by_port[8080]["kind"]) == (
        "shop-web-1",
        "shop/web",
        "container",
    )
    assert by_port[8080]["who"][0]["rules"] == [shop.key]
    assert by_port[6379]["level"] == "nobody"


def test_a_table_that_was_not_printed_is_not_empty(tmp_path: Path) -> None:
    save = tmp_path / "save"
    save.write_text(WHOLE + NAT)
    found = firewall(
        "trace", STRANGER, "192.0.2.10", "--port", "22", "--interface", "eth0", "--live", str(save)
    )
    assert found.status == 3
    assert f"  because {table_not_printed('filter', whole=True)}" in found.out.splitlines()


def test_what_the_host_cannot_print_has_no_answer(host: Host, shop: Rule) -> None:
    document = draft_document(host)
    snapshot_store(host, document, 1, age=-1, saves={4: WHOLE + NAT, 6: save_of(document, 6, 1)})
    ask = ("trace", STRANGER, "192.0.2.1", "--port", "22")
    for against in ("live", "draft", "1"):
        found = firewall(*ask, "--against", against)
        assert (found.status, "use 'nft' tool" in found.out, "with nft" in found.out) == (3, False, True)
    exposure = firewall("exposure")
    assert (exposure.status, exposure.out.splitlines()[0]) == (
        3,
        "Ports may be missing: the IPv4 rules could not be read.",
    )
    snapshot_store(host, age=-2, saves={4: "", 6: ""}, around={"errors": UNREAD_6})
    unread = firewall("trace", "2001:db8::5", "2001:db8::1", "--port", "22")
    assert (unread.status, unread.err.strip()) == (
        3,
        "cannot tell: the rules of IPv6 could not be read on the host",
    )


@pytest.mark.parametrize("case", ["not read", "too many"])
def test_an_incomplete_list_of_sockets_is_not_the_whole_exposure(
    host: Host, shop: Rule, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if case == "not read":
        around: dict[str, object] = {"sockets": (), "errors": (CommandError(("ss", "-H"), 1, "failed"),)}
    else:
        monkeypatch.setattr("dockerfw.messages.snapshots.MAX_SOCKETS", len(SOCKETS))
        around = {}
    busy_store(host, draft_document(host), 1, age=-1, **around)
    exposure = firewall("exposure")
    assert exposure.status == 3
    assert exposure.out.splitlines()[0].endswith(
        "Ports may be missing: the list of listening sockets and published ports is not complete."
    )
    # Whether something listens on the port of this rule is not known either.
    assert "allowed, but nothing is listening" not in exposure.out


def test_plan_and_apply_refuse_what_nobody_can_read(host: Host, shop: Rule, tmp_path: Path) -> None:
    reason = sentences.rules_not_printed(4, table_not_printed("filter", whole=True))
    rule_delete(host=host, actor=command_line_actor(), key=shop.key, version=shop.version)
    snapshot_store(host, age=-1, saves={4: WHOLE + NAT, 6: CLEAN_SAVE})
    plan = firewall("plan")
    assert (plan.status, f"refused: {reason}" in plan.out.splitlines()) == (2, True)
    done = firewall("apply", "-m", "try")
    assert (done.status, done.err.strip().splitlines()[-1]) == (2, f"Nothing was applied. {reason}")
    status = firewall("status")
    assert (status.status, "Cannot tell what is protected" in status.out) == (1, True)
    save, document = tmp_path / "save", tmp_path / "document"
    save.write_text(WHOLE + NAT)
    document.write_text('{"format": "dockerfw/1", "rules": []}')
    offline = firewall("plan", str(document), "--live", str(save))
    assert (offline.status, f"refused: {reason}" in offline.out.splitlines()) == (2, True)
