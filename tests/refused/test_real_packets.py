"""Real packets, refused for each kind of reason, from the kernel over the reader to the stream in Redis."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerfw.messages.codec import load_json
from dockerfw.messages.refusals import BATCH_FIELD, Refusal, RefusalBatch, refusals_key
from tests.rig.namespace import Backend, Family, Namespace, join_namespaces, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import HOST, RootWorker

pytestmark = [pytest.mark.kernel, pytest.mark.redis]

HERE: dict[Family, str] = {4: "192.0.2.1", 6: "2001:db8::1"}
THERE: dict[Family, str] = {4: "192.0.2.2", 6: "2001:db8::2"}
BAD: dict[Family, str] = {4: "192.0.2.66", 6: "2001:db8::66"}
INNER: dict[Family, str] = {4: "172.30.0.2", 6: "fd30::2"}
OTHERS = [*(f"203.0.113.{number}" for number in range(1, 8)), *(f"2001:db8:9::{n}" for n in range(1, 8))]
DOCUMENT = {
    "format": "dockerfw/2",
    "settings": {"external_interfaces": ["ens33"]},
    "rules": [
        {"id": "open", "scope": "host", "protocol": "tcp", "ports": ["7"]},
        {"id": "slow", "scope": "host", "protocol": "udp", "ports": ["9"], "limit": "1/hour"},
        # Enough of each family for a set.
        {"id": "evil", "action": "block", "sources": [*BAD.values(), *OTHERS]},
    ],
}


class World:
    """A host with a root worker, a client in front of it, and a machine behind it."""

    def __init__(self, make: Callable[..., Namespace], server: RedisServer, directory: Path) -> None:
        self.host, self.client, self.behind = make("host"), make("client"), make("behind")
        join_namespaces(self.host, "ens33", self.client, "eth0")
        join_namespaces(self.host, "docker0", self.behind, "eth0")
        self.host.add_addresses("ens33", *(f"{one}/{_length(one)}" for one in HERE.values()))
        self.host.add_addresses("docker0", "172.30.0.1/24", "fd30::1/64")
        for address in (*THERE.values(), *BAD.values()):
            self.client.add_addresses("eth0", f"{address}/{_length(address)}")
        self.behind.add_addresses("eth0", *(f"{one}/{_length(one)}" for one in INNER.values()))
        self.host.run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        self.server = server
        self.worker = RootWorker(server, self.host, directory)
        self.sequence = 0

    def publish(self, backend: Backend, family: Family) -> None:
        """Publish port 8080 as Docker does, and call DOCKER-USER."""
        inner = f"[{INNER[6]}]" if family == 6 else INNER[4]
        text = (
            f"*nat\n-A PREROUTING -p tcp -m tcp --dport 8080 -j DNAT --to-destination {inner}:80\nCOMMIT\n"
            "*filter\n:DOCKER-USER - [0:0]\n:DOCKER - [0:0]\n-A FORWARD -j DOCKER-USER\nCOMMIT\n"
        )
        self.host.restore(text, backend, family)

    def load(self, document: dict[str, Any] = DOCUMENT) -> None:
        """Have the root worker load a document and keep it."""
        from dockerfw.document.document import digest, parse_document

        self.sequence += 1
        found = digest(parse_document(document))
        order = self.worker.order(sequence=self.sequence, document=document, digest=found)
        assert self.worker.kept(order).state == "confirmed"

    def batches(self) -> list[RefusalBatch]:
        """Return what the stream has."""
        entries: Any = self.server.client().xrange(refusals_key(HOST))
        return [RefusalBatch.from_json(load_json(fields[BATCH_FIELD])) for _, fields in entries]

    def refusals(self) -> list[Refusal]:
        """Return the refusals of all batches."""
        return [one for batch in self.batches() for one in batch.refusals]

    def find(self, **wanted: Any) -> Refusal:
        """Wait for a refusal with these fields."""

        def found() -> list[Refusal]:
            return [
                one
                for one in self.refusals()
                if all(getattr(one, name) == value for name, value in wanted.items())
            ]

        wait_until(f"a refusal {wanted} in {self.worker.words()}", found)
        return found()[0]

    def send(self, family: Family, port: int, *, kind: str = "tcp", source: str = "") -> None:
        """Send one packet to the host."""
        program = (
            "import socket, sys\n"
            "family, kind = int(sys.argv[1]), sys.argv[2]\n"
            "one = socket.socket(socket.AF_INET if family == 4 else socket.AF_INET6,"
            " socket.SOCK_STREAM if kind == 'tcp' else socket.SOCK_DGRAM)\n"
            "one.settimeout(0.3)\n"
            "one.bind((sys.argv[3], 0))\n"
            "try:\n"
            "    one.connect((sys.argv[4], int(sys.argv[5])))\n"
            "    one.send(b'x')\n"
            "except OSError:\n"
            "    pass\n"
        )
        ends = (source or THERE[family], HERE[family])
        self.client.run("python3", "-c", program, str(family), kind, *ends, str(port))


def _length(address: str) -> int:
    return 64 if ":" in address else 24


@pytest.fixture
def world(
    make_namespace: Callable[..., Namespace], redis_server: RedisServer, tmp_path: Path
) -> Iterator[World]:
    made = World(make_namespace, redis_server, tmp_path)
    yield made
    made.worker.stop()


@pytest.fixture
def loaded(world: World, backend: Backend) -> World:
    for family in HERE:
        world.publish(backend, family)
    world.worker.start()
    world.worker.wait_until_serving()
    world.load()
    return world


def test_each_kind_of_refusal_is_told(loaded: World, backend: Backend) -> None:
    for family in HERE:
        loaded.send(family, 3306)
        loaded.send(family, 3306, source=BAD[family])
        loaded.send(family, 8080)
        for _ in range(2):
            loaded.send(family, 9, kind="udp")
        loaded.send(family, 7)
        ends = {"family": family, "source": THERE[family], "destination": HERE[family], "revision": 1}
        refused = loaded.find(port=3306, reason="refused", **ends)
        assert (refused.way, refused.interface, refused.protocol) == ("host", "ens33", "tcp")
        block = loaded.find(reason="block", family=family)
        # The line before the one that blocks does not count the member again.
        members = loaded.host.output("ipset", "save")
        counted = re.search(rf" {re.escape(BAD[family])} packets (\d+) ", members)
        lines = loaded.host.save(backend, family, counters=True).decode()
        dropped = re.search(r"\[(\d+):\d+\] -A FILTERS-BLOCK -m set [^!\n]* -j DROP", lines)
        assert counted is not None, members
        assert dropped is not None, lines
        assert counted[1] == dropped[1] == "1"
        assert (block.source, block.port, block.revision) == (BAD[family], 3306, 1)
        container = loaded.find(way="container", family=family, source=THERE[family], revision=1)
        assert (container.interface, container.reason) == ("ens33", "refused")
        # Only kernels with NETFILTER_NETLINK_GLUE_CT tell what was dialled.
        end = (container.destination, container.port)
        if container.inner is None:
            assert end == (INNER[family], 80)
        else:
            assert end == (HERE[family], 8080)
            assert (container.inner.address, container.inner.port) == (INNER[family], 80)
        limited = loaded.find(port=9, **ends)
        assert (limited.protocol, limited.reason) == ("udp", "refused")
    assert not [one for one in loaded.refusals() if one.port == 7]
    about = load_json(loaded.worker.redis.get("dockerfw:progress:local:about") or b"")
    assert isinstance(about, dict)
    assert (about["log_group"], about["log_problem"]) == (7373, "")


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_a_scanner_of_every_port_is_bounded_and_told(loaded: World, backend: Backend) -> None:
    scan = (
        "import socket\n"
        "one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
        "for port in range(1, 65536):\n"
        "    try:\n"
        f"        one.sendto(b'x', ('{HERE[4]}', port))\n"
        "    except OSError:\n"
        "        pass\n"
    )
    loaded.client.run("python3", "-c", scan, timeout=120)
    loaded.send(6, 3306)
    loaded.find(family=6, port=3306)
    found = [one for one in loaded.refusals() if one.family == 4]
    assert 30 <= len({one.port for one in found}) < 10_000
    counted = re.search(
        r"\[(\d+):\d+\] -A FILTERS -m comment --comment \"dockerfw r1",
        loaded.host.save("nft", 4, counters=True).decode(),
    )
    # The counter of the line has each packet.
    assert counted is not None
    assert int(counted[1]) > 60_000


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_forged_sources_neither_fill_a_table_nor_the_stream(loaded: World, backend: Backend) -> None:
    flood = (
        "import random, socket, struct\n"
        "one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)\n"
        f"here = socket.inet_aton('{HERE[4]}')\n"
        "udp = struct.pack('>HHHH', 1000, 3306, 8, 0)\n"
        "for number in range(100_000):\n"
        "    there = struct.pack('>I', 0x0B000000 + number * 40_009 % 0x70000000)\n"
        "    head = b'E\\0' + struct.pack('>HHHBBH', 28, 0, 0, 64, 17, 0) + there + here\n"
        "    try:\n"
        f"        one.sendto(head + udp, ('{HERE[4]}', 0))\n"
        "    except OSError:\n"
        "        pass\n"
    )
    loaded.host.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.ens33.rp_filter=0")
    loaded.client.run("python3", "-c", flood, timeout=120)
    # An allowed connection still passes, and an honest refusal is seen: no table is full.
    loaded.send(6, 3306)
    loaded.find(family=6, port=3306)
    shown = sum(one.count for one in loaded.refusals())
    assert shown < 20_000
    entries: Any = loaded.server.client().xlen(refusals_key(HOST))
    assert entries < 2200


def children_of(pid: int) -> list[int]:
    """Return the ids of a process's children."""
    listed = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(each) for each in listed]


def reader_processes(world: World) -> tuple[int, int]:
    """Return the process that keeps the reader running, and the reader."""
    listed = subprocess.run(["ps", "-eo", "pid,ppid,args"], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines() if "dockerfw.refused.reader_process" in line]
    here = os.readlink(f"/proc/{world.host.pid}/ns/net")
    own = {int(pid): int(parent) for pid, parent, _ in rows if _namespace_of(pid) == here}
    (keeper,) = (pid for pid, parent in own.items() if parent not in own)
    (reader,) = (pid for pid, parent in own.items() if parent == keeper)
    return keeper, reader


def _namespace_of(pid: str) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/net")
    except OSError:
        return ""


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_the_reader_is_nobody_and_comes_back_when_it_is_killed(loaded: World, backend: Backend) -> None:
    loaded.send(4, 3306)
    loaded.find(port=3306)
    keeper, reader = reader_processes(loaded)
    for pid in (keeper, reader):
        status = Path(f"/proc/{pid}/status").read_text()
        assert re.search(r"^CapPrm:\s*0+$", status, re.MULTILINE)
        assert re.search(r"^CapBnd:\s*0+$", status, re.MULTILINE) or os.geteuid() != 0
        assert re.search(r"^NoNewPrivs:\s*1$", status, re.MULTILINE)
        if os.geteuid() == 0:
            assert re.search(r"^Uid:\t65534\t65534\t65534\t65534$", status, re.MULTILINE)
            assert re.search(r"^Groups:\s*$", status, re.MULTILINE)
            assert b"REDIS" not in Path(f"/proc/{pid}/environ").read_bytes()
    os.kill(reader, signal.SIGKILL)
    wait_until("another reader", lambda: _other_reader(loaded, reader))
    loaded.send(4, 3307)
    loaded.find(port=3307)


def _other_reader(world: World, former: int) -> bool:
    try:
        return reader_processes(world)[1] != former
    except ValueError:
        return False


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_what_is_refused_while_redis_is_gone_is_told_later(loaded: World, backend: Backend) -> None:
    loaded.server.stop()
    loaded.send(4, 3306)
    wait_until("a failed try", lambda: "refused packets wait for Redis" in loaded.worker.words())
    loaded.server.start()
    loaded.find(port=3306)


@pytest.mark.parametrize("backend", ["nft"], indirect=True)
def test_a_host_that_does_not_log_has_no_log_line(loaded: World, backend: Backend) -> None:
    assert "-j NFLOG" in loaded.worker.held()
    off = {**DOCUMENT, "settings": {"external_interfaces": ["ens33"], "log_refused": False}}
    loaded.load(off)
    assert "-j NFLOG" not in loaded.worker.held()


def test_a_group_that_another_program_reads_is_named(world: World) -> None:
    hold = (
        "import sys, time; from dockerfw.host.log_socket import open_log_socket\n"
        "held = open_log_socket(7373); print('held', flush=True); time.sleep(600)"
    )
    log = world.host.directory / "other.log"
    root = str(Path(__file__).parents[2])
    world.host.start(world.worker.program[0], "-c", hold, log=log, environment={"PYTHONPATH": root})
    wait_until("another reader", lambda: log.exists() and "held" in log.read_text())
    world.worker.start()
    wait_until("a sentence", lambda: "reads group 7373" in world.worker.words())
    assert re.search(r"python\S* \(\d+\) reads group 7373 of the kernel's log already", world.worker.words())
    assert "DOCKERFW_NFLOG_GROUP" in world.worker.words()
