"""What happens to batches that no one takes: bounded places, and a count of what they had no room for."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.refusals import BATCH_FIELD, RefusalBatch, refusals_key
from dockerfw.refused import forwarding, reader
from tests.messages.test_refusals import BATCH
from tests.refused.test_reading import PREFIX, attribute, ipv4, message
from tests.rig.namespace import wait_until
from tests.rig.redis_fixtures import RedisServer


def logged(port: int, sequence: int) -> bytes:
    """Return one packet to a port as the kernel logs it."""
    head, number = attribute(1, b"\x08\0\x01\0"), attribute(12, sequence.to_bytes(4))
    return message(head, attribute(10, PREFIX + b"\0"), number, attribute(9, ipv4(6, port)))


def test_a_reader_whose_batches_are_not_taken_keeps_few_and_counts_the_rest(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reader, "BATCH_SECONDS", 0.0)
    monkeypatch.setattr(reader, "_MOST_WAITING", 2)
    log, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    taker, batches = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    batches.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)

    def read() -> None:
        with pytest.raises(OSError, match=r"Broken pipe|reset"):
            reader.Reader(log, batches, "local").read()

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    sent = 60
    for number in range(sent):
        kernel.send(logged(1000 + number, number))
    taker.settimeout(0.5)
    found: list[RefusalBatch] = []

    def told() -> int:
        """Take what is there, and return how many packets all of it stands for."""
        try:
            found.append(RefusalBatch.from_json(load_json(taker.recv(1 << 17))))
        except TimeoutError:
            # A packet like the first, so that the reader wakes up.
            kernel.send(logged(1000, sent))
        return sum(each.dropped + sum(one.count for one in each.refusals) for each in found)

    wait_until("an account of each packet", lambda: told() >= sent)
    assert sum(each.dropped for each in found) > 0
    taker.close()
    kernel.send(logged(1, sent))
    wait_until("the end of the reader", lambda: not thread.is_alive())
    for each in (log, kernel, batches):
        each.close()


@contextmanager
def forwarder(batches: socket.socket, server: RedisServer) -> Iterator[None]:
    """Run a forwarder in a process of its own."""
    pid = os.fork()
    if not pid:
        try:
            forwarding.Forwarder(batches, "local", server.hasty_client).run()
        finally:
            os._exit(1)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@pytest.mark.redis
def test_batches_wait_for_redis_in_a_bounded_place_and_others_are_counted(redis_server: RedisServer) -> None:
    redis_server.stop()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    each = BATCH.dropped + sum(one.count for one in BATCH.refusals)
    sent = forwarding.MOST_WAITING + 7
    with forwarder(theirs, redis_server):
        for _ in range(sent):
            ours.send(dump_json(BATCH.to_json()))
        # What has another form, and what is another host's, is not passed on.
        ours.send(b"{}")
        ours.send(dump_json({**BATCH.to_json(), "host": "other"}))
        redis_server.start()
        client = redis_server.client()
        wait_until("the batches", lambda: client.xlen(refusals_key("local")) >= forwarding.MOST_WAITING)
        entries: Any = client.xrange(refusals_key("local"))
    found = [RefusalBatch.from_json(load_json(fields[BATCH_FIELD])) for _, fields in entries]
    told = sum(batch.dropped + sum(one.count for one in batch.refusals) for batch in found)
    assert told == sent * each
    assert {batch.host for batch in found} == {"local"}
    ours.close()
    theirs.close()
