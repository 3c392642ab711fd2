"""A DNS server on loopback that says what a test wants, also nothing and nonsense."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import dns.exception
import dns.message
import dns.rcode
import dns.rrset

from tests.rig.namespace import PATIENCE


@dataclass
class NameServer:
    """The answers by "NAME TYPE": records with their TTL, an rcode, or None for no answer at all."""

    socket: socket.socket
    records: dict[str, tuple[int, tuple[str, ...]] | dns.rcode.Rcode | None] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    @property
    def port(self) -> int:
        """The port on 127.0.0.1."""
        return int(self.socket.getsockname()[1])

    def say(self, name: str, *addresses: str, ttl: int = 300) -> None:
        """Answer with these addresses, for the types that have some; the other type has none."""
        for kind, colon in (("A", False), ("AAAA", True)):
            found = tuple(address for address in addresses if (":" in address) == colon)
            self.records[f"{name} {kind}"] = (ttl, found)

    def fail(self, name: str, rcode: dns.rcode.Rcode | None) -> None:
        """Answer with an rcode such as SERVFAIL, or not at all."""
        for kind in ("A", "AAAA"):
            self.records[f"{name} {kind}"] = rcode

    def serve(self) -> None:
        """Answer until the socket is closed."""
        while True:
            try:
                data, client = self.socket.recvfrom(4096)
            except OSError:
                return
            if not data:
                return
            with contextlib.suppress(dns.exception.DNSException, OSError):
                reply = self._reply(dns.message.from_wire(data))
                if reply is not None:
                    self.socket.sendto(reply.to_wire(), client)

    def _reply(self, query: dns.message.Message) -> dns.message.Message | None:
        question = query.question[0]
        key = f"{question.name.to_text(omit_final_dot=True)} {dns.rdatatype.to_text(question.rdtype)}"
        self.asked.append(key)
        found = self.records.get(key, dns.rcode.NXDOMAIN)
        if found is None:
            return None
        reply = dns.message.make_response(query)
        if isinstance(found, dns.rcode.Rcode):
            reply.set_rcode(found)
        elif found[1]:
            reply.answer.append(
                dns.rrset.from_text(question.name, found[0], "IN", key.rpartition(" ")[2], *found[1])
            )
        return reply


@contextlib.contextmanager
def name_server() -> Iterator[NameServer]:
    """Run a server."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as listening:
        listening.bind(("127.0.0.1", 0))
        server = NameServer(listening)
        thread = threading.Thread(target=server.serve, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waking:
                waking.sendto(b"", ("127.0.0.1", server.port))
            thread.join(PATIENCE)
