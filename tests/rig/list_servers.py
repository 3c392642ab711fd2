"""A web server that plays lists, and each way in which one can be broken."""

from __future__ import annotations

import contextlib
import datetime
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.rig.namespace import PATIENCE

NAME = "lists.example.org"
Answer = Callable[["ListHandler"], None]


class ListHandler(BaseHTTPRequestHandler):
    """Answers with what the test has put under the path."""

    server: ListHTTPServer

    def do_GET(self) -> None:
        """Answer, and note the request."""
        self.server.seen.append((self.path, dict(self.headers)))
        with contextlib.suppress(OSError):
            self.server.answers[self.path](self)

    def reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        """Send a whole answer; `_` in a header's name stands for `-`."""
        self.send_response(status)
        for name, value in {"Content_Length": str(len(body)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class ListHTTPServer(ThreadingHTTPServer):
    """The server with its answers by path, and the requests that it has seen."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), ListHandler)
        self.answers: dict[str, Answer] = {}
        self.seen: list[tuple[str, dict[str, str]]] = []
        self.closing = threading.Event()


@dataclass(frozen=True)
class ListServer:
    """One running server: `url` with a path, its answers, and the requests so far."""

    http: ListHTTPServer
    scheme: str = "http"
    host: str = "127.0.0.1"

    def url(self, path: str = "/list") -> str:
        """Return the URL of a path."""
        return f"{self.scheme}://{self.host}:{self.http.server_port}{path}"

    def serve(self, body: bytes, path: str = "/list", **headers: str) -> str:
        """Answer with this text from now on, and return its URL."""
        self.http.answers[path] = lambda handler: handler.reply(200, body, **headers)
        return self.url(path)

    def play(self, answer: Answer, path: str = "/list") -> str:
        """Answer like this from now on, and return the URL."""
        self.http.answers[path] = answer
        return self.url(path)

    @property
    def seen(self) -> list[tuple[str, dict[str, str]]]:
        """The paths and headers of all requests."""
        return self.http.seen


@contextlib.contextmanager
def list_server(certificate: Path | None = None) -> Iterator[ListServer]:
    """Run a server on loopback, with TLS for NAME if there is a certificate with its key."""
    http = ListHTTPServer()
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        http.socket = context.wrap_socket(http.socket, server_side=True)
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield ListServer(http, "https" if certificate else "http", NAME if certificate else "127.0.0.1")
    finally:
        http.closing.set()
        http.shutdown()
        http.server_close()
        thread.join(PATIENCE)


def write_certificate(directory: Path) -> Path:
    """Write a key and a certificate for NAME, which signs itself, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    start = datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=365 * 50))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = directory / "certificate.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def loopback_only(host: str, port: int) -> tuple[str, ...]:
    """Resolve addresses to themselves and every name to loopback."""
    with contextlib.suppress(ValueError):
        return (str(ip_address(host)),)
    return ("127.0.0.1",)
