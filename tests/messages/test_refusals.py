"""Batches of refused packets: written and read back, and what hostile ones are refused for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from dockerfw.messages.codec import dump_json, load_json
from dockerfw.messages.errors import MessageError
from dockerfw.messages.refusals import (
    MAX_BATCH_BYTES,
    MOST_REFUSALS,
    InnerEnd,
    Refusal,
    RefusalBatch,
    refusals_key,
)

TIME = "2026-05-03T12:00:00.123Z"
HOST_SIDE = Refusal(
    TIME, 4, "host", "ens33", "198.51.100.7", "192.0.2.1", "tcp", 3306, None, 12, "refused", 3
)
CONTAINER_SIDE = replace(
    HOST_SIDE,
    family=6,
    way="container",
    source="2001:db8::1",
    destination="2001:db8:1::2",
    port=8080,
    inner=InnerEnd("fd00::2", 80),
    reason="block",
)
WITHOUT_PORT = replace(HOST_SIDE, interface="", protocol="47", port=None, revision=None, reason="loopback")
BATCH = RefusalBatch("local", TIME, TIME, (HOST_SIDE, CONTAINER_SIDE, WITHOUT_PORT), 7)


def test_a_written_batch_reads_back_the_same() -> None:
    assert RefusalBatch.from_json(load_json(dump_json(BATCH.to_json()))) == BATCH


def test_unknown_keys_of_another_release_are_ignored() -> None:
    value: Any = BATCH.to_json()
    value["weather"] = "fine"
    value["refusals"][0]["weather"] = "fine"
    assert RefusalBatch.from_json(value) == BATCH


def test_each_host_has_a_stream_of_its_own() -> None:
    assert refusals_key("web-1") == "dockerfw:refused:web-1"


def test_the_largest_batch_is_within_its_bound() -> None:
    longest = "2001:0db8:1111:2222:3333:4444:5555:6666"
    one = replace(
        CONTAINER_SIDE,
        interface="\N{CJK UNIFIED IDEOGRAPH-4E00}" * 15,
        source=longest,
        destination=longest,
        inner=InnerEnd(longest, 65535),
        protocol="mobility-header",
        revision=2**53 - 1,
        count=2**53 - 1,
    )
    batch = replace(BATCH, host="a" * 50, refusals=(one,) * MOST_REFUSALS)
    assert len(dump_json(batch.to_json())) < MAX_BATCH_BYTES


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"at": "yesterday"}, "at: "),
        ({"family": 5}, "family: "),
        ({"way": "forwarded"}, "way: "),
        ({"interface": "ens33\n"}, "interface: "),
        ({"interface": "a" * 16}, "interface: "),
        ({"source": ""}, "source: must be an address of its family"),
        ({"source": "2001:db8::1"}, "source: must be an address of its family"),
        ({"destination": "<script>"}, "destination: "),
        ({"protocol": ""}, "protocol: is empty"),
        ({"protocol": "tcp\x1b[2J"}, "protocol: "),
        ({"port": 65536}, "port: "),
        ({"port": True}, "port: "),
        ({"inner": {"address": "fd00::2", "port": 80}}, "inner: must be an address of its family"),
        ({"inner": {"address": "10.0.0.1"}}, "inner.port: is missing"),
        ({"revision": 0}, "revision: "),
        ({"reason": "because"}, "reason: "),
        ({"count": 0}, "count: "),
    ],
)
def test_wrong_fields_are_refused(change: dict[str, Any], error: str) -> None:
    with pytest.raises(MessageError, match=error):
        Refusal.from_json({**HOST_SIDE.to_json(), **change})


def test_a_batch_has_a_bound() -> None:
    with pytest.raises(MessageError, match=r"refusals: has 201 items; at most 200"):
        RefusalBatch.from_json(replace(BATCH, refusals=(HOST_SIDE,) * 201).to_json())
