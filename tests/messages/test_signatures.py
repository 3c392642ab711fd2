"""Signatures under orders and answers: the dashboard's own pass, everything else is named and refused."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from dockerfw.messages.codec import load_json
from dockerfw.messages.orders import Answer, Order
from dockerfw.messages.signatures import (
    KeyTextError,
    find_signature_fault,
    fingerprint,
    parse_private_key,
    parse_public_key,
    private_key_text,
    public_key_text,
    sign,
)
from tests.rig.signing import KEY, OTHER_KEY, signed

PUBLIC = KEY.public_key()
APPLY = str(uuid4())
DOCUMENT = {"format": "dockerfw/1", "rules": [{"scope": "host", "ports": ["22"], "comment": "grün"}]}
ORDER = Order(APPLY, 7, "local", 3, DOCUMENT, "0" * 64, 60, "2026-01-31T12:00:00Z")
ANSWER = Answer(APPLY, 7, "local", "keep", None, "2026-01-31T12:00:00Z")


@pytest.mark.parametrize("message", [ORDER, ANSWER], ids=["order", "answer"])
def test_what_the_dashboard_signs_passes_and_can_be_read(message: Order | Answer) -> None:
    value = signed(message)
    assert find_signature_fault(value, PUBLIC) is None
    again = type(message).from_json(value)
    assert again.to_json() == value
    assert len(again.signature) == 128


def test_only_the_value_counts_and_not_how_it_is_spelled() -> None:
    spelled = json.dumps(dict(reversed(signed(ORDER).items())), indent=3, ensure_ascii=False)
    value: Any = load_json(spelled)
    assert find_signature_fault(value, PUBLIC) is None


CHANGES: dict[str, dict[str, object]] = {
    "another apply": {"apply": str(uuid4())},
    "a higher sequence": {"sequence": 8},
    "another host": {"host": "other"},
    "another revision": {"revision": 4},
    "another document": {"document": {"format": "dockerfw/1", "rules": []}},
    "a longer window": {"confirm_seconds": 3600},
    "a later time": {"issued_at": "2026-01-31T13:00:00Z"},
    "expectations overridden": {"override": True},
    "sessions ended": {"end_sessions": True},
    "another format": {"format": "dockerfw-answer/1"},
    "a number of another type": {"sequence": 7.0},
    "one key more": {"surprise": 1},
    "a number that has no text": {"sequence": float("inf")},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_changed_order_is_refused(name: str) -> None:
    fault = find_signature_fault({**signed(ORDER), **CHANGES[name]}, PUBLIC)
    assert fault is not None
    assert "does not match the dashboard's key" in fault


def test_a_missing_key_is_a_change_too() -> None:
    value = signed(ORDER)
    del value["override"]
    assert find_signature_fault(value, PUBLIC) is not None


def test_nesting_without_end_is_refused() -> None:
    deep: dict[str, object] = {}
    for _ in range(100_000):
        deep = {"a": deep}
    assert find_signature_fault({**signed(ORDER), "document": deep}, PUBLIC) is not None


@pytest.mark.parametrize(
    "signature", [None, "", 7, "00", "0" * 128, "G" * 128, signed(ORDER)["signature"].upper(), ["0" * 128]]
)
def test_what_is_no_signature_of_this_order_is_refused(signature: object) -> None:
    assert find_signature_fault({**ORDER.to_json(), "signature": signature}, PUBLIC) is not None


def test_an_unsigned_order_is_told_apart_from_a_forged_one() -> None:
    fault = find_signature_fault(ORDER.to_json(), PUBLIC)
    assert fault == "it is not signed, or a dashboard of an earlier release sent it"
    assert "signature" not in ORDER.to_json()


def test_the_signature_of_another_dashboard_is_refused() -> None:
    assert find_signature_fault(signed(ORDER, OTHER_KEY), PUBLIC) is not None
    assert fingerprint(PUBLIC) != fingerprint(OTHER_KEY.public_key())


def test_keys_survive_as_text_and_openssl_makes_them_too(tmp_path: Path) -> None:
    private = parse_private_key(private_key_text(KEY))
    public = parse_public_key(public_key_text(private.public_key()))
    assert find_signature_fault(sign(ORDER.to_json(), private), public) is None
    own, shared = tmp_path / "key", tmp_path / "pub"
    subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", str(own)], check=True)
    subprocess.run(["openssl", "pkey", "-in", str(own), "-pubout", "-out", str(shared)], check=True)
    value = sign(ORDER.to_json(), parse_private_key(own.read_bytes()))
    assert find_signature_fault(value, parse_public_key(shared.read_bytes())) is None


def test_what_is_no_key_is_refused() -> None:
    other_kind = generate_private_key(SECP256R1())
    private = other_kind.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public = other_kind.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for text in (b"", b"x" * 5000, private_key_text(KEY)[:60], public, private):
        with pytest.raises(KeyTextError, match="private key"):
            parse_private_key(text)
    for text in (b"", b"\xff", private_key_text(KEY), private, public):
        with pytest.raises(KeyTextError, match="public key"):
            parse_public_key(text)


def test_each_signature_is_bound_to_its_purpose() -> None:
    raw = json.dumps(ORDER.to_json(), sort_keys=True, separators=(",", ":")).encode()
    key: Ed25519PrivateKey = KEY
    assert find_signature_fault({**ORDER.to_json(), "signature": key.sign(raw).hex()}, PUBLIC) is not None
