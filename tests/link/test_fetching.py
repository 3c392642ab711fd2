"""Fetching of a URL that a user typed, against a server that plays each failure and attack."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from rules.link.fetching import Fetched, FetchFailed, Outbound, fetch_url
from rules.link.target_addresses import TargetRefused, find_targets
from tests.rig.list_servers import (
    NAME,
    ListHandler,
    ListServer,
    list_server,
    loopback_only,
    write_certificate,
)

LIST = b"192.0.2.0/24\n"
LOCAL = Outbound(internal=True, resolve=loopback_only, seconds=60.0)


@pytest.fixture(scope="module")
def running() -> Iterator[ListServer]:
    with list_server() as server:
        yield server


@pytest.fixture
def server(running: ListServer) -> ListServer:
    running.seen.clear()
    running.http.answers.clear()
    return running


def fetch(url: str, outbound: Outbound = LOCAL, **options: str) -> Fetched:
    return fetch_url(url, outbound, allow_http=True, **options)


def fails(url: str, says: str, outbound: Outbound = LOCAL) -> None:
    with pytest.raises(FetchFailed, match=says):
        fetch(url, outbound)


def test_a_list_is_fetched_once_and_then_only_when_it_has_changed(server: ListServer) -> None:
    def answer(handler: ListHandler) -> None:
        if handler.headers.get("If-None-Match") == '"one"':
            handler.reply(304)
        else:
            handler.reply(200, gzip.compress(LIST), ETag='"one"', Content_Encoding="gzip")

    url = server.play(answer)
    first = fetch(url)
    assert first == Fetched(LIST, '"one"')
    assert fetch(url, etag=first.etag) == Fetched(None, '"one"')
    assert fetch(url, etag='"other"').data == LIST
    assert server.seen[0][1]["Host"] == f"127.0.0.1:{server.http.server_port}"


@pytest.mark.parametrize(
    ("status", "says"), [(404, "gone"), (410, "gone"), (503, "503"), (304, "304"), (204, "204")]
)
def test_an_answer_without_a_list(server: ListServer, status: int, says: str) -> None:
    fails(server.play(lambda handler: handler.reply(status)), says)


def test_an_answer_that_never_ends_is_given_up_in_time(server: ListServer) -> None:
    def drip(handler: ListHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while not handler.server.closing.wait(0.02):
            handler.wfile.write(b"1")
            handler.wfile.flush()

    fails(server.play(drip), "longer than 2 seconds", replace(LOCAL, seconds=2.0))


def test_a_silent_server_is_given_up_in_time(server: ListServer) -> None:
    def silence(handler: ListHandler) -> None:
        handler.server.closing.wait(5)

    fails(server.play(silence), "cannot be reached: .*timed out", replace(LOCAL, seconds=0.3))


def test_a_huge_answer_is_not_read(server: ListServer) -> None:
    small = replace(LOCAL, most_bytes=1000)
    fails(server.serve(b"1" * 1001), "larger than 1000 bytes", small)

    def endless(handler: ListHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        handler.wfile.write(b"1" * 300_000)

    fails(server.play(endless), "larger than 1000 bytes", small)
    fails(
        server.serve(gzip.compress(b"1" * 50_000_000), Content_Encoding="gzip"),
        "larger than 100000 bytes once it is decompressed",
        replace(LOCAL, most_bytes=100_000),
    )
    assert fetch(server.serve(b"1" * 1000), small).data == b"1" * 1000


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_an_answer_that_cannot_be_decompressed(server: ListServer, coding: str) -> None:
    fails(server.serve(LIST, Content_Encoding=coding), "compressed")
    fails(server.serve(gzip.compress(LIST)[:-3], Content_Encoding="gzip"), "says that it is")
    fails(server.serve(zlib.compress(LIST), Content_Encoding="gzip"), "says that it is")


def test_an_answer_that_is_cut_off(server: ListServer) -> None:
    fails(server.serve(LIST, Content_Length="1000"), "incomplete")


def test_redirects_are_followed_and_counted(server: ListServer) -> None:
    server.serve(LIST, "/real")
    assert fetch(server.play(lambda handler: handler.reply(307, Location="/real"), "/moved")).data == LIST
    fails(server.play(lambda handler: handler.reply(302, Location="/loop"), "/loop"), "more than 5 times")
    fails(server.play(lambda handler: handler.reply(302), "/nowhere"), "without saying where")


@pytest.mark.parametrize(
    ("place", "says"),
    [
        ("http://169.254.169.254/latest/meta-data/", "never connects to"),
        ("http://[fd00:ec2::254]/", "never connects to"),
        ("http://[::ffff:169.254.169.254]/", "never connects to"),
        ("http://[64:ff9b::a9fe:a9fe]/", "never connects to"),
        ("http://0.0.0.0/", "never connects to"),
        ("file:///etc/passwd", "is not the address of a list"),
        ("http://user:secret@127.0.0.1/", "is not the address of a list"),
        ("http://127.0.0.1:99999/", "is not the address of a list"),
        ("gopher://127.0.0.1/", "is not the address of a list"),
    ],
)
def test_a_redirect_leads_to_no_address_that_a_url_may_not_have(
    server: ListServer, place: str, says: str
) -> None:
    fails(server.play(lambda handler: handler.reply(302, Location=place)), says)


@pytest.mark.parametrize("host", ["127.0.0.1", "10.1.2.3", "[::1]", "[fd00::1]", "192.168.0.1", "100.64.0.1"])
def test_internal_addresses_are_refused_unless_the_setting_allows_them(host: str) -> None:
    outside = Outbound(resolve=loopback_only)
    fails(f"http://{host}/", "DOCKERFW_OUTBOUND_INTERNAL", outside)
    proxy = replace(outside, proxy="http://127.0.0.1:9")
    fails(f"http://{host}/", "DOCKERFW_OUTBOUND_INTERNAL", proxy)
    fails("http://localhost/", "DOCKERFW_OUTBOUND_INTERNAL", proxy)


def test_a_name_that_answers_differently_the_next_moment_leads_nowhere_else(server: ListServer) -> None:
    asked: list[str] = []

    def rebinding(host: str, port: int) -> Sequence[str]:
        asked.append(host)
        return ("127.0.0.1",) if len(asked) == 1 else ("127.0.0.99",)

    server.serve(LIST)
    url = f"http://{NAME}:{server.http.server_port}/list"
    assert fetch(url, replace(LOCAL, resolve=rebinding)).data == LIST
    assert asked == [NAME]
    assert server.seen[0][1]["Host"] == f"{NAME}:{server.http.server_port}"


def test_each_redirect_is_resolved_and_checked_again(server: ListServer) -> None:
    answers = iter([("127.0.0.1",), ("169.254.169.254",)])
    url = server.play(lambda handler: handler.reply(302, Location=f"http://{NAME}/list"))
    fails(url, "never connects to", replace(LOCAL, resolve=lambda host, port: next(answers)))


@pytest.mark.parametrize("answer", [("127.0.0.1",), ("8.8.8.8", "127.0.0.1"), ("8.8.8.8", "::1"), ()])
def test_one_internal_address_refuses_the_name(answer: tuple[str, ...]) -> None:
    with pytest.raises(TargetRefused, match=r"not on the internet|no address"):
        find_targets(NAME, 443, internal=False, resolve=lambda host, port: answer)


def test_the_first_address_that_answers_is_taken(server: ListServer) -> None:
    server.serve(LIST)
    url = f"http://{NAME}:{server.http.server_port}/list"
    both = replace(LOCAL, resolve=lambda host, port: ("127.0.0.99", "127.0.0.1"))
    assert fetch(url, both).data == LIST


def test_plain_http_needs_leave_also_in_a_redirect(server: ListServer, tmp_path: Path) -> None:
    with pytest.raises(FetchFailed, match="without encryption"):
        fetch_url(server.serve(LIST), LOCAL)
    certificate = write_certificate(tmp_path)
    trusting = replace(LOCAL, ca_file=certificate)
    with list_server(certificate) as secure:
        assert fetch_url(secure.serve(LIST), trusting).data == LIST
        place = server.url()
        url = secure.play(lambda handler: handler.reply(302, Location=place), "/down")
        with pytest.raises(FetchFailed, match="without encryption"):
            fetch_url(url, trusting)
        with pytest.raises(FetchFailed, match="certificate"):
            fetch_url(secure.url(), LOCAL)
        with pytest.raises(FetchFailed, match="doesn't match"):
            fetch_url(secure.url().replace(NAME, "other.example.org"), trusting)


def test_a_proxy_is_asked_for_the_whole_url(server: ListServer) -> None:
    server.play(lambda handler: handler.reply(200, LIST), "http://lists.example.org/list")
    proxy = Outbound(proxy=server.url("").rstrip("/"), seconds=60.0)
    assert fetch("http://lists.example.org/list", proxy).data == LIST


def test_nobody_listens_or_the_name_is_unknown(server: ListServer) -> None:
    fails("http://127.0.0.1:1/", "127.0.0.1 cannot be reached: .*refused")

    def unknown(host: str, port: int) -> Sequence[str]:
        raise OSError("Name or service not known")

    fails(f"http://{NAME}/", "has no address: Name or service not known", replace(LOCAL, resolve=unknown))
