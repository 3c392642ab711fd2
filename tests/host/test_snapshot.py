"""Snapshots on the real kernel: they report what is there, and list what cannot be read."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from dockerfw.chains.bound_sets import BOUND_SETS
from dockerfw.host import native_rules as native_rules_module
from dockerfw.host import observation as snapshot_module
from dockerfw.host import routes as routes_module
from dockerfw.host import runner
from dockerfw.host import sets as sets_module
from dockerfw.host.backend import find_backend
from dockerfw.host.bound_sets import create_bound_sets, fill_bound_set
from dockerfw.host.observation import observe
from dockerfw.host.runner import Command, CommandFailed
from dockerfw.host.runner import run_all as real_run_all
from dockerfw.iptables.model import Family
from dockerfw.iptables.sentences import LEGACY_NOT_PRINTED, table_not_printed, table_printed_wrongly
from dockerfw.iptables.unprinted import Unprinted
from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.snapshots import Snapshot
from dockerfw.messages.surroundings import InterfaceRoute
from tests.rig.host_states import Saboteur, add_foreign
from tests.rig.namespace import Backend, Namespace

pytestmark = pytest.mark.kernel

NAT = """*nat
:PREROUTING ACCEPT [0:0]
:DOCKER - [0:0]
-A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
-A DOCKER -i docker0 -j RETURN
-A DOCKER ! -i docker0 -p tcp -m tcp --dport 8080 -j DNAT --to-destination {inner}:80
-A DOCKER -d {address} ! -i docker0 -p udp -m udp --dport 5353 -j DNAT --to-destination {inner}:53
-A DOCKER -s {address} -j RETURN
COMMIT
"""


def look() -> Snapshot:
    """Take a snapshot, and check that it survives the queue."""
    seen = observe("local")
    assert Snapshot.from_json(load_json(dump_json(seen.to_json()))) == seen
    return seen


def test_empty_host(inside: Namespace) -> None:
    seen = look()
    assert (seen.backend, seen.docker_state, seen.errors) == ("nft", "absent", ())
    assert seen.default_routes == {4: (), 6: ()}
    assert [(link.name, link.up) for link in seen.interfaces if link.name == "lo"] == [("lo", True)]
    assert seen.versions["iptables"].startswith("iptables v")
    assert seen.versions["kernel"]


def test_docker_host(inside: Namespace, backend: Backend) -> None:
    add_foreign(inside, backend)
    inside.restore(NAT.format(inner="172.17.0.2", address="192.0.2.1/32"), backend, 4)
    inside.restore(NAT.format(inner="[fd00::2]", address="2001:db8::1/128"), backend, 6)
    for words in (
        "link add ens33 type bridge",
        "address add 192.0.2.1/24 dev ens33",
        "address add 2001:db8::1/64 dev ens33 nodad",
        "link set ens33 up",
        "route add default via 192.0.2.254 dev ens33",
        "-6 route add default via 2001:db8::fe dev ens33",
    ):
        inside.run("ip", *words.split())
    seen = look()
    assert (seen.backend, seen.docker_state, seen.errors) == (backend, "iptables", ())
    # NAT needs connections to be tracked, so the kernel tells how many there are.
    assert seen.tracked is not None
    assert 0 <= seen.tracked.count < seen.tracked.most
    assert seen.default_routes == {4: ("ens33",), 6: ("ens33",)}
    (link,) = (link for link in seen.interfaces if link.name == "ens33")
    assert link.up
    assert {"192.0.2.1/24", "2001:db8::1/64"} <= set(link.addresses)
    published = [(p.family, p.protocol, p.address, p.port, p.to_address, p.to_port) for p in seen.published]
    assert published == [
        (4, "tcp", "", 8080, "172.17.0.2", 80),
        (4, "udp", "192.0.2.1", 5353, "172.17.0.2", 53),
        (6, "tcp", "", 8080, "fd00::2", 80),
        (6, "udp", "2001:db8::1", 5353, "fd00::2", 53),
    ]
    assert r"somebody\'s own" in seen.saves[4]


def test_routes_of_all_tables(inside: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    inside.add_interface("ens33")
    inside.add_interface("eth3")
    for words in (
        "address add 192.168.50.2/24 dev eth3",
        "route add default via 192.0.2.254 dev ens33",
        "route add default via 192.168.50.1 dev eth3 table 100",
        "route add 10.9.0.0/16 via 192.168.50.1 dev eth3",
        "route add 10.8.0.0/16 dev eth3",
        "route add 10.7.0.0/16 nexthop via 192.168.50.1 dev eth3 nexthop via 192.0.2.254 dev ens33",
        "route add 10.6.0.0/16 via inet6 fe80::9 dev eth3",
        "route add blackhole 10.66.0.0/16",
        "route add unreachable 10.67.0.0/16 table 100",
        "-6 route add 2001:db8:9::/48 via fe80::9 dev eth3",
        "-6 route add default via fe80::9 dev eth3 table 100",
    ):
        inside.run("ip", *words.split())
    seen = look()
    assert (seen.errors, seen.default_routes) == ((), {4: ("ens33",), 6: ()})
    routes = {link.name: link.routes for link in seen.interfaces if link.routes}
    assert routes == {
        "ens33": (InterfaceRoute("10.7.0.0/16", gateway=True),),
        "eth3": (
            InterfaceRoute("0.0.0.0/0", gateway=True, table="100"),
            InterfaceRoute("::/0", gateway=True, table="100"),
            InterfaceRoute("10.6.0.0/16", gateway=True),
            InterfaceRoute("10.7.0.0/16", gateway=True),
            InterfaceRoute("10.8.0.0/16"),
            InterfaceRoute("10.9.0.0/16", gateway=True),
            InterfaceRoute("2001:db8:9::/48", gateway=True),
        ),
    }
    monkeypatch.setattr(routes_module, "MAX_ROUTES", 2)
    (link,) = (link for link in look().interfaces if link.name == "eth3")
    assert [route.to for route in link.routes] == ["0.0.0.0/0", "::/0"]


def test_bridges_and_what_belongs_to_them(inside: Namespace) -> None:
    for words in (
        "link add br-1 type bridge",
        "link add one type veth peer name two",
        "link set one master br-1",
    ):
        inside.run("ip", *words.split())
    found = {link.name: (link.kind, link.master) for link in look().interfaces}
    assert found == {
        "lo": ("", None),
        "br-1": ("bridge", None),
        "one": ("veth", "br-1"),
        "two": ("veth", None),
    }


def test_a_macvlan_and_the_interface_below_it(inside: Namespace) -> None:
    inside.add_interface("ens33")
    inside.run("ip", "link", "add", "link", "ens33", "name", "mac0", "type", "macvlan")
    found = {link.name: (link.kind, link.parent) for link in look().interfaces}
    assert found["mac0"] == ("macvlan", "ens33")
    assert found["ens33"] == ("veth", "")


def test_sets_that_rules_name(inside: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (
        "create office hash:net",
        "add office 198.51.100.0/24",
        "create office6 hash:net family inet6",
        "create all list:set",
        "add all office6",
        "create unnamed hash:ip",
        "create large hash:ip",
    ):
        inside.run("ipset", *words.split())
    for number in range(5):
        inside.run("ipset", "add", "large", f"192.0.2.{number}")
    assert look().sets == ()
    for name in ("office", "large", "all"):
        inside.iptables("-A", "INPUT", "-m", "set", "--match-set", name, "src", "-j", "DROP")
    monkeypatch.setattr(sets_module, "MAX_SET_MEMBERS", 4)
    assert {(found.name, found.kind, found.members) for found in look().sets} == {
        ("office", "hash:net", ("198.51.100.0/24",)),
        ("large", "hash:ip", None),
        ("all", "list:set", ("office6",)),
        ("office6", "hash:net", ()),
    }
    (office6,) = (found for found in look().sets if found.name == "office6")
    assert office6.options.startswith("family inet6 hashsize ")


def test_sets_of_what_the_host_shows_are_read_by_one_process(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_bound_sets(BOUND_SETS)
    fill_bound_set("dockerfw4-proxy", ["192.0.2.1,tcp:8080"])
    for name in BOUND_SETS:
        family: Family = 6 if "6" in name else 4
        inside.iptables(
            "-A", "INPUT", "-m", "set", "--match-set", name, "dst,dst", "-j", "DROP", family=family
        )
    asked: list[str] = []

    def run_all(commands: Sequence[Command]) -> list[bytes | CommandFailed]:
        asked.extend(" ".join(command.words) for command in commands)
        return real_run_all(commands)

    monkeypatch.setattr(runner, "run_all", run_all)
    monkeypatch.setattr(sets_module, "run_all", run_all)
    found = {each.name: each for each in look().sets}
    assert [words for words in asked if words.startswith("ipset")] == ["ipset restore"]
    assert {name: each.members for name, each in found.items()} == {
        name: ("192.0.2.1,tcp:8080",) if name == "dockerfw4-proxy" else () for name in BOUND_SETS
    }
    assert found["dockerfw6-proxy"].options.startswith("family inet6 hashsize ")
    # Where one is too large, it comes without members.
    monkeypatch.setattr(sets_module, "MAX_SET_MEMBERS", 0)
    assert {each.name for each in look().sets if each.members is None} == {"dockerfw4-proxy"}


def test_many_sets_are_not_asked_for_all_at_once(inside: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    names = [f"set-{number:03}" for number in range(100)]
    inside.run("ipset", "restore", stdin="".join(f"create {name} hash:ip\n" for name in names).encode())
    saves: dict[Family, str] = {
        4: "".join(f"-A INPUT -m set --match-set {name} src -j DROP\n" for name in names)
    }
    at_once: list[int] = []

    def run_all(commands: Sequence[Command]) -> list[bytes | CommandFailed]:
        at_once.append(len(commands))
        return real_run_all(commands)

    monkeypatch.setattr(sets_module, "run_all", run_all)
    found = sets_module.read_named_sets(saves)
    assert [(each.name, each.kind, each.members) for each in found] == [
        (name, "hash:ip", ()) for name in names
    ]
    # deploy/dockerfw-root.service allows 128 tasks, and a snapshot may not use most of them.
    assert max(at_once) <= 32


def test_the_digest_depends_on_the_rules_and_not_on_the_time(inside: Namespace) -> None:
    add_foreign(inside, "nft")
    first, second = look(), look()
    assert first.taken_at != second.taken_at
    assert first.sha256 == second.sha256
    inside.iptables("-A", "INPUT", "-s", "192.0.2.7", "-j", "DROP")
    assert look().sha256 != first.sha256


def test_backend_is_the_one_with_dockers_chains(inside: Namespace) -> None:
    inside.iptables("-A", "INPUT", "-s", "192.0.2.7", "-j", "DROP", backend="legacy")
    assert find_backend()[0] == "legacy"
    inside.iptables("-N", "FILTERS")
    assert find_backend()[0] == "nft"
    inside.iptables("-N", "DOCKER-USER", backend="legacy")
    assert find_backend()[0] == "legacy"
    inside.iptables("-N", "DOCKER-USER")
    assert find_backend()[0] == "nft"


@pytest.mark.parametrize("broken", ["exit 0", "echo cannot >&2; exit 1"], ids=["prints nothing", "fails"])
def test_unreadable_legacy_tables_are_not_ignored(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, broken: str
) -> None:
    inside.iptables("-N", "DOCKER-USER", backend="legacy")
    inside.iptables("-N", "FILTERS")
    program = tmp_path / "iptables-legacy-save"
    program.write_text(f"#!/bin/sh\n{broken}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{inside.environment['PATH']}")
    backend, saves = find_backend()
    assert backend == "legacy"
    assert isinstance(saves[4], CommandFailed)
    inside.iptables("-N", "DOCKER-USER")
    assert find_backend()[0] == "nft"


def test_a_snapshot_creates_no_legacy_tables(inside: Namespace) -> None:
    look()
    names = Path("/proc/thread-self/net/ip_tables_names")
    assert not names.exists() or not names.read_text()


def test_a_table_that_nft_changed_is_not_empty(inside: Namespace) -> None:
    add_foreign(inside, "nft")
    assert look().unread == set()
    inside.run("nft", "add", "rule", "ip", "filter", "INPUT", "meta", "hour", '"10:00"-"12:00"', "drop")
    seen = look()
    assert seen.unprinted == ((4, Unprinted("filter", table_not_printed("filter", whole=True))),)
    assert seen.unread == {4}
    assert seen.failed == set()
    assert ":INPUT" not in seen.saves[4]


@pytest.mark.parametrize(
    "rule",
    [
        "tcp dport { 22, 80 } drop",
        "ip saddr @known drop",
        "ip saddr vmap { 192.0.2.7 : drop }",
        "ip saddr 192.0.2.7-192.0.2.9 drop",
        "ip saddr > 192.0.2.7 drop",
        "ip saddr & 255.255.0.255 < 192.0.0.7 drop",
    ],
)
def test_rules_that_are_printed_without_their_condition_are_known(inside: Namespace, rule: str) -> None:
    add_foreign(inside, "nft")
    inside.run("nft", "add", "set", "ip", "filter", "known", "{ type ipv4_addr; }")
    assert look().unprinted == ()
    inside.run("nft", "add", "rule", "ip", "filter", "INPUT", *rule.split())
    assert look().unprinted == ((4, Unprinted("filter", table_printed_wrongly("filter"))),)


@pytest.mark.parametrize("rule", ["saddr 2001:db8::7-2001:db8::9", "daddr & ffff::ffff > 2001::1"])
def test_a_range_of_addresses_among_very_many_rules_is_known(inside: Namespace, rule: str) -> None:
    lines = [
        f"-A MANY -s 2001:db8::{number:x}/128 -p tcp -m tcp --dport {number + 1}:{number + 20} -j RETURN"
        for number in range(8000)
    ]
    text = "\n".join(["*filter", ":MANY - [0:0]", *lines, "COMMIT", ""])
    assert len(text) > 500_000
    inside.restore(text, "nft", 6)
    assert look().unprinted == ()
    inside.run("nft", "insert", "rule", "ip6", "filter", "MANY", "ip6", *rule.split(), "drop")
    assert look().unprinted == ((6, Unprinted("filter", table_printed_wrongly("filter"))),)


def test_very_many_tables_of_nft_are_not_taken_for_harmless(inside: Namespace) -> None:
    inside.run("nft", "; ".join(f"add table inet web{number}" for number in range(80)))
    assert look().foreign_tables == look().redirecting_tables == ("inet web63",)


def test_where_the_kernel_does_not_list_its_rules_each_table_is_doubtful(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    monkeypatch.setattr(native_rules_module, "_NETFILTER", 4711)
    doubtful = Unprinted("filter", table_printed_wrongly("filter", certain=False))
    assert look().unprinted == ((4, doubtful), (6, doubtful))


def test_rules_that_change_while_they_are_listed_are_doubtful(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    assert native_rules_module.inexact_tables(4) == frozenset()
    chains = native_rules_module._chains

    def list_and_change(link: socket.socket, family: int) -> list[tuple[bytes, bytes]]:
        found = list(chains(link, family))
        inside.run("iptables-nft", "-A", "f2b-sshd", "-j", "RETURN")
        return found

    monkeypatch.setattr(native_rules_module, "_chains", list_and_change)
    assert native_rules_module.inexact_tables(4) is None


def test_rules_of_iptables_itself_are_exact(inside: Namespace) -> None:
    inside.run("ipset", "create", "known", "hash:ip")
    rules = (
        "-p tcp -m multiport --dports 22,80:90 -m comment --comment lookup",
        "-p tcp -m tcp ! --dport 22:25 -m comment --comment range",
        "-s 10.0.0.0/9 ! -d 192.0.2.0/30 -i eth+ -p udp -m udp --sport 1024:",
        "-m iprange --src-range 192.0.2.7-192.0.2.9",
        "-m set --match-set known src",
        "-m mark ! --mark 0x1/0xf",
        "-m ttl --ttl-gt 5",
        "-m length --length 20:90",
    )
    for rule in rules:
        inside.iptables("-A", "INPUT", *rule.split(), "-j", "DROP")
    assert look().unprinted == ()


def test_base_chains_that_are_not_printed_are_known(inside: Namespace) -> None:
    before = look()
    inside.run("nft", "add", "table", "ip6", "filter")
    hook = "{ type filter hook input priority -10; policy drop; }"
    inside.run("nft", "add", "chain", "ip6", "filter", "mine", hook)
    seen = look()
    assert seen.unprinted == ((6, Unprinted("filter", table_not_printed("filter", whole=False))),)
    assert seen.sha256 != before.sha256


def test_legacy_tables_count_where_they_can_decide(inside: Namespace) -> None:
    add_foreign(inside, "nft")
    inside.iptables("-A", "INPUT", "-s", "192.0.2.7", "-j", "DROP", backend="legacy")
    assert look().unprinted == ((4, Unprinted("filter", LEGACY_NOT_PRINTED)),)
    inside.iptables("-F", "INPUT", backend="legacy")
    assert look().unprinted == ()
    inside.iptables("-P", "FORWARD", "DROP", backend="legacy", family=6)
    assert look().unprinted == ((6, Unprinted("filter", LEGACY_NOT_PRINTED)),)


def test_dockers_nftables_backend_is_recognized(inside: Namespace) -> None:
    inside.run("nft", "add", "table", "ip", "docker-bridges")
    assert look().docker_state == "nftables"


def test_nftables_tables_that_filter_are_listed(inside: Namespace) -> None:
    add_foreign(inside, "nft")
    assert look().foreign_tables == ()
    inside.run("nft", "add", "table", "inet", "firewalld")
    assert look().foreign_tables == ()
    hook = "{ type filter hook input priority 10; policy drop; }"
    inside.run("nft", "add", "chain", "inet", "firewalld", "filter_INPUT", hook)
    inside.run("nft", "add", "table", "ip", "docker-bridges")
    inside.run("nft", "add", "chain", "ip", "docker-bridges", "forward", hook)
    assert look().foreign_tables == ("inet firewalld",)


def test_nftables_tables_that_redirect_are_listed(inside: Namespace) -> None:
    hook = "{ type nat hook prerouting priority -100; }"
    inside.run("nft", "add", "table", "inet", "web")
    inside.run("nft", "add", "chain", "inet", "web", "pre", hook)
    assert look().redirecting_tables == ()
    inside.run("nft", "add", "rule", "inet", "web", "pre", "tcp", "dport", "443", "redirect", "to", ":5000")
    assert (look().redirecting_tables, look().foreign_tables) == (("inet web",), ())


def test_command_that_fails_is_listed(
    inside: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_foreign(inside, "nft")
    one = Saboteur(tmp_path, "nft")
    one.on(6, "echo 'no such luck' >&2; exit 4", verb="save", times=99)
    (tmp_path / "ip").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "ip").chmod(0o755)
    monkeypatch.setenv("PATH", one.path)
    seen = look()
    assert "DOCKER-USER" in seen.saves[4]
    assert (seen.saves[6], seen.interfaces, seen.default_routes[4]) == ("", (), ())
    assert [(error.command[0], error.exit_status) for error in seen.errors] == [
        ("ip6tables-nft-save", 4),
        ("ip", 1),
        ("ip", 1),
        ("ip", 1),
    ]
    assert "no such luck" in seen.errors[0].stderr


def test_bytes_that_are_not_utf8_are_preserved(inside: Namespace) -> None:
    rule = b'*filter\n-A INPUT -m comment --comment "caf\xe9" -j DROP\nCOMMIT\n'
    inside.restore(rule, "nft", 4)
    seen = look()
    assert b"caf\xe9" in seen.saves[4].encode("utf-8", "surrogateescape")


def test_save_that_is_too_large_is_listed(inside: Namespace, monkeypatch: pytest.MonkeyPatch) -> None:
    add_foreign(inside, "nft")
    monkeypatch.setattr(snapshot_module, "MAX_SAVE_CHARACTERS", 100)
    seen = observe("local")
    assert seen.saves == {4: "", 6: ""}
    assert "more than 100 bytes" in seen.errors[0].stderr


def test_nothing_is_guessed_when_ip_prints_no_json(
    inside: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_all(commands: list[Command]) -> list[bytes | CommandFailed]:
        return [b"1: lo: <LOOPBACK>"] * len(commands)

    monkeypatch.setattr(snapshot_module, "run_all", run_all)
    seen = look()
    assert seen.interfaces == ()
    assert "is not JSON" in seen.errors[0].stderr


SCRIPT = """
import os, pathlib, sys
from dockerfw.store.state import StateDirectory
from dockerfw.host.observation import observe
from tests.rig.host_states import answer, document, order, run
state = StateDirectory(pathlib.Path(sys.argv[1]))
outcome = run(order(document("22")), state)
assert outcome.state == "awaiting", outcome
assert answer("keep", state).state == "confirmed"
seen = observe("local")
assert not seen.errors, seen.errors
assert "dockerfw r1" in seen.saves[4] and "dockerfw r1" in seen.saves[6]
"""


def test_an_ordinary_user_can_observe_and_load_in_their_own_namespace() -> None:
    # The machine's own Python, because other users may not be able to read a virtual environment; Ubuntu
    # 22.04's python3 is too old.
    names = (f"python3.{sys.version_info.minor}", "python3")
    python = next(filter(None, (shutil.which(name, path="/usr/bin") for name in names)), None)
    become = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    with tempfile.TemporaryDirectory(prefix="dockerfw-nobody-") as home:
        Path(home).chmod(0o777)
        # An ordinary user cannot read a clone below /root.
        for package in ("dockerfw", "tests"):
            shutil.copytree(Path(__file__).parents[2] / package, Path(home) / package)
        start = [*become, "unshare", "-Urn", python or "none", "-c"]
        options: dict[str, Any] = {
            "cwd": home,
            "env": {
                "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
                "PYTHONDONTWRITEBYTECODE": "1",
                "XTABLES_LOCKFILE": f"{home}/lock",
            },
            "capture_output": True,
            "text": True,
            "timeout": 60,
            "check": False,
        }
        if subprocess.run([*start, "import tests.host"], **options).returncode != 0:
            pytest.skip("an ordinary user cannot make namespaces here")
        done = subprocess.run([*start, SCRIPT, f"{home}/state"], **options)
        assert done.returncode == 0, done.stderr
