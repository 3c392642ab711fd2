"""Forged orders and answers on a real Redis, root worker and kernel: they change nothing and are reported."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from dockerfw.messages.signatures import public_key_text
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import HOST, RootWorker
from tests.rig.signing import OTHER_KEY, signed

pytestmark = [pytest.mark.redis, pytest.mark.kernel]

OLD = "2026-01-31T12:00:00Z"
Forgery = Callable[[RootWorker], dict[str, Any]]


@pytest.fixture
def root_worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker that serves an empty namespace."""
    worker = RootWorker(redis_server, namespace, tmp_path)
    worker.start().wait_until_serving()
    yield worker
    worker.stop()
    print(worker.words())


def _order(worker: RootWorker, **changes: Any) -> dict[str, Any]:
    return worker.order("22", sequence=3, send=False, **changes)


def _altered(worker: RootWorker) -> dict[str, Any]:
    wider = worker.order("1-65535", sequence=3, send=False)
    own = signed(_order(worker))
    return {**own, "document": wider["document"], "digest": wider["digest"]}


def _answer_as_order(worker: RootWorker) -> dict[str, Any]:
    answer = {"format": "dockerfw-answer/1", "apply": str(uuid4()), "host": HOST}
    return {**_order(worker), "signature": signed(answer)["signature"]}


# What each of them is told.
FORGERIES: dict[str, tuple[Forgery, str]] = {
    "without a signature": (_order, "it is not signed"),
    "signed with another key": (lambda worker: signed(_order(worker), OTHER_KEY), "does not match"),
    "altered": (_altered, "does not match"),
    "with the signature of another": (
        lambda worker: {**_order(worker), "signature": signed(_order(worker))["signature"]},
        "does not match",
    ),
    "with the signature of an answer": (_answer_as_order, "does not match"),
    "expectations overridden on the way": (
        lambda worker: {**signed(_order(worker)), "override": True},
        "does not match",
    ),
    "postponed": (
        lambda worker: {**signed(_order(worker, issued_at=OLD)), "issued_at": OLD},
        "expires after",
    ),
    "for another host": (lambda worker: signed(_order(worker, host="other")), "for the host 'other'"),
    "with another digest": (lambda worker: signed(_order(worker, digest="0" * 64)), "digest"),
    "with a signature that is none": (
        lambda worker: {**_order(worker), "signature": "0" * 127},
        "not an Ed25519 signature",
    ),
}


@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_order_loads_nothing_and_says_so(root_worker: RootWorker, name: str) -> None:
    forge, words = FORGERIES[name]
    value = forge(root_worker)
    root_worker.put("apply", value)
    refused = root_worker.outcome(value)
    assert refused.state == "failed"
    assert refused.error is not None
    assert words in refused.error.summary
    assert "FILTERS" not in root_worker.held()
    # The same sequence number is still good for the dashboard.
    assert root_worker.kept(root_worker.order("22", sequence=3)).state == "confirmed"


def test_a_signed_order_is_carried_out_once(root_worker: RootWorker) -> None:
    first = root_worker.order("22", sequence=5)
    assert root_worker.kept(first).state == "confirmed"
    assert root_worker.kept(root_worker.order("443", sequence=6)).state == "confirmed"
    root_worker.send(first)
    # A replay under another name is a change, and so unsigned.
    again = {**signed(first), "apply": str(uuid4())}
    root_worker.put("apply", again)
    assert root_worker.outcome(again).state == "failed"
    assert "--dport 443" in root_worker.held()
    assert "--dport 22" not in root_worker.held()


def test_nobody_else_keeps_or_prolongs_a_window(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=5)
    opened = root_worker.outcome(order)
    assert opened.state == "awaiting"
    answer = {
        "format": "dockerfw-answer/1",
        "apply": order["apply"],
        "sequence": 6,
        "host": HOST,
        "answer": "keep",
        "seconds": None,
        "issued_at": order["issued_at"],
    }
    longer = {**answer, "answer": "extend", "seconds": 3600}
    root_worker.put("answer", answer)
    root_worker.put("answer", signed(longer, OTHER_KEY))
    root_worker.put("answer", {**signed(answer), "answer": "extend", "seconds": 3600})
    root_worker.put("answer", {**answer, "signature": signed(order)["signature"]})

    def told() -> int:
        found = root_worker.progress(order)
        return 0 if found is None else found.event

    wait_until("all four to be refused", lambda: told() == opened.event + 4)
    refused = root_worker.progress(order)
    assert refused is not None
    assert refused.state == "awaiting"
    assert refused.window is not None
    assert refused.window.seconds == 60
    assert refused.error is not None
    assert "does not match the dashboard's key" in refused.error.summary
    assert not (root_worker.state / "boot").exists()
    root_worker.answer(order, "rollback", sequence=7)
    assert root_worker.outcome(order, states=("rolled_back",)).error is None


def test_a_flood_of_refused_answers_does_not_hide_the_end(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=5)
    assert root_worker.outcome(order).state == "awaiting"
    window = root_worker.state / "window.json"
    record = (
        window.read_text().replace('"event": 100', '"event": 9999').replace('"event":100', '"event":9999')
    )
    assert "9999" in record
    window.write_text(record)
    root_worker.put("answer", {**signed(order), "format": "dockerfw-answer/1"})
    root_worker.put(
        "answer",
        {
            "format": "dockerfw-answer/1",
            "apply": order["apply"],
            "sequence": 6,
            "host": HOST,
            "answer": "keep",
            "seconds": None,
            "issued_at": order["issued_at"],
        },
    )
    wait_until("the refusal", lambda: (root_worker.progress(order) or opened(order)).error is not None)
    found = root_worker.progress(order)
    assert found is not None
    assert found.event == 9999
    root_worker.answer(order, "rollback", sequence=7)
    assert root_worker.outcome(order, states=("rolled_back",)).event == 10_000


def opened(order: dict[str, Any]) -> Any:
    """Fail: the progress of an open window cannot be gone."""
    raise AssertionError(order["apply"])


def test_a_message_that_names_a_known_apply_does_not_end_it(root_worker: RootWorker) -> None:
    order = root_worker.order("22", sequence=5)
    assert root_worker.outcome(order).state == "awaiting"
    root_worker.put("apply", order)
    wait_until("the refusal", lambda: "an order was refused" in root_worker.words())
    assert root_worker.outcome(order).state == "awaiting"
    assert root_worker.kept(order).state == "confirmed"
    root_worker.put("apply", order)
    wait_until("the second", lambda: root_worker.words().count("an order was refused") == 2)
    told = [arguments[0] for name, arguments in root_worker.take_calls() if name == "record_outcome"]
    assert {outcome["state"] for outcome in told} <= {"loading", "awaiting", "confirmed"}


def test_an_order_runs_after_a_forged_one_with_its_name(root_worker: RootWorker) -> None:
    order = _order(root_worker)
    root_worker.put("apply", order)
    assert root_worker.outcome(order).state == "failed"
    root_worker.send(order)
    wait_until("the window", lambda: root_worker.outcome(order).state == "awaiting")
    root_worker.answer(order, "keep", sequence=4)
    assert root_worker.outcome(order, states=("confirmed",)).event == 10_000
    # The order is known: a second one is not carried out, and not reported as failed.
    root_worker.send(order)
    wait_until("the repetition", lambda: "ordered a second time" in root_worker.words())
    assert root_worker.outcome(order).state == "confirmed"


def test_refusals_do_not_push_out_what_waits_for_the_clerk(root_worker: RootWorker) -> None:
    for _ in range(130):
        root_worker.put("apply", _order(root_worker))
    wait_until("all refused", lambda: root_worker.words().count("an order was refused") == 130)
    assert len(root_worker.journal()) == 100
    # An order of the dashboard is reported all the same.
    assert root_worker.kept(root_worker.order("22", sequence=3)).state == "confirmed"


def _make_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


UNTRUSTED: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing": (lambda path: path.unlink(), "cannot be read on this host (No such file or directory)"),
    "writable by others": (lambda path: path.chmod(0o666), "users other than root can change"),
    "of another user": (lambda path: os.chown(path, 65534, 65534), "users other than root can change"),
    "a link": (
        lambda path: path.symlink_to(path.rename(path.with_name("elsewhere"))),
        "cannot be read on this host",
    ),
    "a pipe": (_make_pipe, "is not a plain file"),
    "no key": (lambda path: path.write_text("nothing"), "it is not an Ed25519 public key in PEM"),
}


@pytest.mark.parametrize("name", UNTRUSTED)
def test_without_a_key_of_roots_nothing_is_carried_out(
    root_worker: RootWorker, tmp_path: Path, name: str
) -> None:
    if name == "of another user" and os.geteuid() != 0:
        pytest.skip("needs root")
    change, words = UNTRUSTED[name]
    change(tmp_path / "signer.pub")
    order = root_worker.order("22", sequence=3)
    refused = root_worker.outcome(order)
    assert refused.state == "failed"
    assert refused.error is not None
    assert words in refused.error.summary
    assert "FILTERS" not in root_worker.held()


def test_a_new_key_counts_without_a_restart(root_worker: RootWorker, tmp_path: Path) -> None:
    (tmp_path / "signer.pub").write_bytes(public_key_text(OTHER_KEY.public_key()))
    former = root_worker.order("22", sequence=3)
    assert root_worker.outcome(former).state == "failed"
    order = _order(root_worker)
    root_worker.put("apply", signed(order, OTHER_KEY))
    assert root_worker.outcome(order).state == "awaiting"
