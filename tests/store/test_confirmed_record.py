"""The record of the confirmed revision: what it keeps, and what of it may be missing or wrong."""

from __future__ import annotations

import json
from uuid import uuid4

import pytest

from dockerfw.chains.render import render
from dockerfw.document.document import parse_document
from dockerfw.iptables.model import FAMILIES
from dockerfw.messages import loaded as loaded_module
from dockerfw.store import confirmed as confirmed_module
from dockerfw.store.confirmed import ConfirmedRecord, confirmed_from
from tests.rig.host_states import document


def record() -> ConfirmedRecord:
    """Return a record with its loaded rules."""
    one = parse_document(document("22", "8080"))
    loaded = {family: render(one, family, 7) for family in FAMILIES}
    return ConfirmedRecord(str(uuid4()), 7, "nft", "boot", one, loaded)


def test_a_record_is_read_back() -> None:
    one = record()
    assert confirmed_from(one.to_text().encode()) == one
    assert one.rendering(6) is one.loaded[6]


def test_a_record_of_an_earlier_release_renders_its_document() -> None:
    one = record()
    value = json.loads(one.to_text())
    del value["loaded"], value["loaded_digest"]
    old = confirmed_from(json.dumps(value).encode())
    assert old.loaded == {}
    assert old.rendering(4) == one.loaded[4]


def test_rules_that_are_too_large_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaded_module, "MAX_TEXTS", 100)
    assert confirmed_from(record().to_text().encode()).loaded == {}


def test_a_file_that_could_not_be_read_again_leaves_the_rules_out(monkeypatch: pytest.MonkeyPatch) -> None:
    one = record()
    monkeypatch.setattr(confirmed_module, "MAX_CONFIRMED_BYTES", len(one.to_text()) - 1)
    read = confirmed_from(one.to_text().encode())
    assert (read.loaded, read.document) == ({}, one.document)
