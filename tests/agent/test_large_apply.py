"""An apply of many rules with many sources each: it is loaded, replaced, rolled back and asked about."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerfw.agent import apply as apply_module
from dockerfw.document.document import digest, parse_document
from dockerfw.host import loading
from dockerfw.store.state import StateDirectory
from tests.rig.host_states import Saboteur, answer, document, order, run
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import RootWorker

pytestmark = [pytest.mark.redis, pytest.mark.kernel]


def many_rules(count: int, sources: int) -> dict[str, Any]:
    """Return a document of so many rules, each with a port of its own and so many sources: none has a set."""
    return {
        "format": "dockerfw/2",
        "settings": {"external_interfaces": ["ens33"]},
        "rules": [
            {
                "id": f"many{number:05d}",
                "scope": "both" if number % 2 else "host",
                "protocol": "tcp",
                "ports": [str(1024 + number)],
                "sources": [f"20.{number >> 8}.{number & 255}.{1 + each}" for each in range(sources)],
            }
            for number in range(count)
        ],
        "expectations": [{"source": "20.0.0.1", "protocol": "tcp", "port": 23, "passes": False}],
    }


@pytest.fixture
def root_worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """A root worker on a host with Docker's chain."""
    namespace.add_interface()
    namespace.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", "nft")
    one = RootWorker(redis_server, namespace, tmp_path)
    one.start().wait_until_serving()
    yield one
    one.stop()
    (one.state / "window.json").unlink(missing_ok=True)
    print(one.words())


def send(root_worker: RootWorker, document: dict[str, Any], sequence: int) -> dict[str, Any]:
    """Order a document."""
    return root_worker.order(
        sequence=sequence, document=document, digest=digest(parse_document(document)), confirm_seconds=300
    )


def test_thousands_of_rules_are_loaded_replaced_and_rolled_back(root_worker: RootWorker) -> None:
    first = send(root_worker, many_rules(2_000, 5), 1)
    assert root_worker.outcome(first).state == "awaiting"
    assert root_worker.kept(first).state == "confirmed"
    # One rule less moves the borders of the dispatch, and hundreds of chains go.
    second = send(root_worker, many_rules(1_900, 5), 2)
    found = root_worker.outcome(second)
    assert found.state == "awaiting", found.error
    assert root_worker.held().count(" -j RETURN") < 9_900
    root_worker.answer(second, "rollback")
    assert root_worker.outcome(second, states=("rolled_back", "failed")).state == "rolled_back"
    assert root_worker.held().count('"dockerfw:many01999"') == 5

    def seen() -> bool:
        snapshot = root_worker.snapshot()
        return snapshot is not None and snapshot.saves[4].count('"dockerfw:many01999"') == 5

    wait_until("a look at all of it", seen)


def test_a_load_that_goes_on_slowly_is_not_ended(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", "nft")
    saboteur = Saboteur(tmp_path, "nft")
    monkeypatch.setenv("PATH", saboteur.path)
    monkeypatch.setattr(loading, "RESTORE_SECONDS", 0.1)
    monkeypatch.setattr(apply_module, "LOADING_SECONDS", 0.1)
    # It pays no attention to the rehearsal, which has to be slower than a tenth of a second anyway.
    saboteur.on(4, 'sleep 2; exec "$REAL" "$@"')
    outcome = run(order(many_rules(2_000, 5)), state)
    assert outcome.state == "awaiting", outcome.error
    assert saboteur.calls(4) == 1
    assert answer("keep", state).state == "confirmed"


def test_a_roll_back_to_many_rules_waits_for_a_slow_read_back(
    inside: Namespace, state: StateDirectory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inside.restore("*filter\n:DOCKER-USER - [0:0]\nCOMMIT\n", "nft")
    assert run(order(many_rules(2_000, 5)), state).state == "awaiting"
    assert answer("keep", state).state == "confirmed"
    # The text of this one is short, but what it replaces has to be read back at the end.
    assert run(order(document("22"), sequence=2), state).state == "awaiting"
    saboteur = Saboteur(tmp_path, "nft")
    monkeypatch.setenv("PATH", saboteur.path)
    monkeypatch.setattr(loading, "SAVE_SECONDS", 0.1)
    saboteur.on(4, 'sleep 2; exec "$REAL" "$@"', verb="save", times=100)
    assert answer("rollback", state, sequence=2).state == "rolled_back"
    # One look before the load, and one after it.
    assert saboteur.calls(4, "save") == 2
