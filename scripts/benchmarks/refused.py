"""What a refused packet costs the packet path, with and without the lines that log it, read by a reader.

Two hosts refuse the same flood in turn, so that a busy moment hits both. The sender's system call takes a
packet through the rules of the host before it returns, so its time has the cost.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from dockerfw.chains.log_lines import DEFAULT_GROUP, add_log_lines
from dockerfw.chains.render import render_rules, write_restore
from dockerfw.document.document import make_document
from dockerfw.document.values import Settings
from dockerfw.iptables.parse import parse_save
from scripts.benchmarks.measure import Row, in_turn, medians, paired_ratio
from tests.rig.namespace import Namespace, join_namespaces, wait_until

PACKETS = 100_000
ROUNDS = 5
HOST, CLIENT = "192.0.2.1", "192.0.2.2"
_ROOT = Path(__file__).resolve().parents[2]
_FLOOD = """
import socket, struct, sys, time
count, forged = int(sys.argv[2]), sys.argv[3] == "forged"
one = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
there, here = socket.inet_aton(sys.argv[4]), socket.inet_aton(sys.argv[1])
udp = struct.pack(">HHHH", 1000, 3306, 8, 0)
head = b"E\\0" + struct.pack(">HHHBBH", 28, 0, 0, 64, 17, 0)
packets = [
    head + (struct.pack(">I", 0x0B000000 + n * 40009 % 0x70000000) if forged else there) + here + udp
    for n in range(count)
]
began = time.perf_counter_ns()
for packet in packets:
    one.sendto(packet, (sys.argv[1], 0))
print(time.perf_counter_ns() - began)
"""
_READ = """
import socket, sys
from dockerfw.host.log_socket import open_log_socket
from dockerfw.refused.reader import Reader
print("reads", flush=True)
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
Reader(open_log_socket(int(sys.argv[1])), ours, "local").read()
"""


def measure_refused(most: int) -> list[Row]:
    """Measure a refused packet with log lines beside the same without, in a flood of up to `most` packets."""
    rows = []
    packets = min(PACKETS, most)
    with _client(logs=False) as plain, _client(logs=True) as logging:
        for kind, words in (("same", "one source"), ("forged", "forged sources")):
            rounds = in_turn(
                [partial(_flood, each, packets, kind) for each in (plain, logging)], rounds=ROUNDS
            )
            without, with_log = medians(rounds)
            what = f"a refused packet that is logged, from {words}"
            ratio = paired_ratio(rounds, 1, 0)
            rows.append(Row(what, packets, with_log, "µs", without, ratio, "at most 1 µs on top"))
    return rows


def _flood(client: Namespace, packets: int, kind: str) -> float:
    """Return the microseconds of one packet."""
    command = (sys.executable, "-c", _FLOOD, HOST, str(packets), kind, CLIENT)
    return int(client.output(*command, timeout=120)) / packets / 1000


@contextmanager
def _client(*, logs: bool) -> Iterator[Namespace]:
    """Yield the client of a host that refuses everything, with a reader if it logs."""
    with Namespace("host") as host, Namespace("client") as client:
        join_namespaces(host, "ens33", client, "eth0")
        host.add_addresses("ens33", f"{HOST}/24")
        client.add_addresses("eth0", f"{CLIENT}/24")
        host.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.ens33.rp_filter=0")
        rendering = render_rules(make_document(Settings(("ens33",), refuse="drop"), ()), 4)
        if logs:
            rendering = add_log_lines(rendering, 4, 1, DEFAULT_GROUP)
            log = host.directory / "reader.log"
            reading = (sys.executable, "-c", _READ, str(DEFAULT_GROUP))
            host.start(*reading, log=log, environment={"PYTHONPATH": str(_ROOT)})
            wait_until("the reader", lambda: log.exists() and "reads" in log.read_text())
        text = write_restore(rendering, 4, live=parse_save(host.save()))
        host.run("iptables-nft-restore", "-n", stdin=text)
        yield client
