"""What Caddy, with the Caddyfile of the profile tls, passes on to the pages and to browsers."""

from __future__ import annotations

import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import ThreadingUnixStreamServer

import pytest

from tests.rig.namespace import PATIENCE, end_process, wait_until

CADDYFILE = Path(__file__).resolve().parent.parent / "deploy" / "caddy" / "Caddyfile"
NAME = "firewall.example.org"
CADDY = shutil.which("caddy")

pytestmark = pytest.mark.skipif(CADDY is None, reason="not installed: caddy (Debian package)")


class Server(ThreadingUnixStreamServer):
    """A server that says nothing when Caddy ends a request early."""

    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing."""


class Pages(BaseHTTPRequestHandler):
    """Answers with the headers that the pages would see, and would keep the connection."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = json.dumps({name.lower(): value for name, value in self.headers.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""

    def address_string(self) -> str:
        """A unix socket has no address."""
        return ""


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def ports(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[int, int]]:
    """Caddy in front of the pages; the ports of HTTP and HTTPS."""
    folder = tmp_path_factory.mktemp("tls")
    plain, secure = free_port(), free_port()
    text = CADDYFILE.read_text()
    # (No certificate authority knows this machine.)
    for old, new in {
        "admin off": "admin off\n\tlocal_certs\n\tskip_install_trust",
        "8080": str(plain),
        "8443": str(secure),
        "/run/dockerfw-web": str(folder),
    }.items():
        assert old in text
        text = text.replace(old, new)
    (folder / "Caddyfile").write_text(text)
    server = Server(str(folder / "web.sock"), Pages)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {
        **os.environ,
        "DOCKERFW_NAME": NAME,
        "XDG_DATA_HOME": str(folder),
        "XDG_CONFIG_HOME": str(folder),
    }
    command = [
        "setpriv",
        "--pdeathsig",
        "KILL",
        "--",
        str(CADDY),
        "run",
        "--config",
        str(folder / "Caddyfile"),
    ]
    with (folder / "log").open("wb") as log:
        caddy = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
    try:
        wait_until("Caddy's certificate", lambda: answers(secure))
        yield plain, secure
    finally:
        end_process(caddy)
        server.shutdown()
        server.server_close()


def connect(port: int, *protocols: str) -> ssl.SSLSocket:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if protocols:
        context.set_alpn_protocols(protocols)
    return context.wrap_socket(socket.create_connection(("127.0.0.1", port), 5), server_hostname=NAME)


def answers(port: int) -> bool:
    try:
        connect(port).close()
    except OSError:
        return False
    return True


def ask(secure: int, method: str = "GET", *, headers: str = "", body: bytes = b"") -> tuple[bytes, bytes]:
    """Send one request, and read until the other end closes."""
    with connect(secure) as connection:
        request = f"{method} / HTTP/1.1\r\nHost: {NAME}\r\n{headers}Content-Length: {len(body)}\r\n\r\n"
        connection.sendall(request.encode() + body)
        read = b""
        while piece := connection.recv(65536):
            read += piece
    head, _, rest = read.partition(b"\r\n\r\n")
    return head, rest


def test_each_request_needs_a_connection_of_its_own(ports: tuple[int, int]) -> None:
    head, _ = ask(ports[1])
    assert head.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in head.lower()
    # HTTP/2 would use one long connection.
    with connect(ports[1], "h2", "http/1.1") as connection:
        assert connection.selected_alpn_protocol() == "http/1.1"
    assert b"alt-svc" not in head.lower()


def test_the_pages_learn_the_true_address_and_no_made_up_one(ports: tuple[int, int]) -> None:
    forged = "X-Forwarded-For: 203.0.113.9\r\nX-Forwarded-Proto: http\r\n"
    seen = json.loads(ask(ports[1], headers=forged)[1])
    assert (seen["x-forwarded-for"], seen["x-forwarded-proto"]) == ("127.0.0.1", "https")
    assert seen["host"] == NAME


def test_plain_http_is_sent_to_https_under_the_published_port(ports: tuple[int, int]) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=PATIENCE)
    connection.request("GET", "/hosts/", headers={"Host": NAME})
    answer = connection.getresponse()
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{NAME}/hosts/")
    connection.close()


def test_a_body_larger_than_any_page_takes_is_refused(ports: tuple[int, int]) -> None:
    assert ask(ports[1], "POST", body=b"x" * 7_000_000)[0].startswith(b"HTTP/1.1 200 ")
    assert not ask(ports[1], "POST", body=b"x" * 9_000_000)[0].startswith(b"HTTP/1.1 200 ")


def test_a_half_header_is_not_waited_for(ports: tuple[int, int]) -> None:
    with connect(ports[1]) as connection:
        connection.settimeout(PATIENCE)
        connection.sendall(b"GET / HTTP/1.1\r\nHost: x")
        # (Without an end this raises TimeoutError.)
        while connection.recv(100):
            pass
