"""What the commit before the split left unfinished: an open window, undelivered reports, a queued order."""

from __future__ import annotations

import base64
import json
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dockerfw.host.clock import utc_now
from dockerfw.messages.outcomes import Outcome
from tests.backup.installation import RELEASES, released
from tests.rig.attacks import job_fields, put
from tests.rig.namespace import Namespace, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.root_worker import QUEUE, RootWorker

RELEASE = "ae464bc"
LEFT: dict[str, Any] = json.loads((RELEASES / RELEASE / "expected.json").read_text())

pytestmark = [pytest.mark.kernel, pytest.mark.redis]


@pytest.fixture
def worker(redis_server: RedisServer, namespace: Namespace, tmp_path: Path) -> Iterator[RootWorker]:
    """Today's root worker over the state directory that was left, not started yet."""
    there = released(RELEASE, tmp_path / "left")
    namespace.add_interface()
    one = RootWorker(redis_server, namespace, tmp_path)
    shutil.copytree(there.state, one.state, symlinks=True)
    yield one
    one.stop()


def test_the_window_ends_and_the_reports_are_delivered(worker: RootWorker) -> None:
    assert (worker.state / "window.json").exists()
    assert len(list(worker.state.glob("journal/outcome-*.json"))) == len(LEFT["reports"]) > 0
    worker.start()
    worker.wait_until_serving()
    apply = LEFT["reports"][0][len("outcome-") :][:36]
    if (worker.state / "window.json").exists():
        # In the boot in which it was left it is still open.
        worker.answer({"apply": apply, "sequence": LEFT["sequence"]}, "rollback")
    wait_until("the end of the window", lambda: not (worker.state / "window.json").exists())
    found: list[Outcome] = []

    def delivered() -> bool:
        # Drift that the release before noticed is reported too.
        calls = worker.take_calls()
        found.extend(Outcome.from_json(arguments[0]) for name, arguments in calls if name == "record_outcome")
        return any(outcome.state == "rolled_back" for outcome in found)

    wait_until("the reports", delivered)
    assert {outcome.apply for outcome in found} == {apply}


def test_an_order_that_was_queued_is_refused_and_says_what_to_do(worker: RootWorker) -> None:
    # Before the root worker of that release took it: its state had nothing of this apply.
    shutil.rmtree(worker.state)
    call = json.loads(zlib.decompress(base64.b64decode(LEFT["order"]["data"])))
    (order,) = call[2]
    # An order expires within minutes. That aside, it is as it was written.
    order["issued_at"] = utc_now()
    worker.start()
    worker.wait_until_serving()
    put(
        worker.redis, QUEUE, LEFT["order"]["job"], job_fields(zlib.compress(json.dumps(call).encode()), QUEUE)
    )
    found: list[Outcome] = []

    def refused() -> bool:
        calls = worker.take_calls()
        found.extend(Outcome.from_json(arguments[0]) for name, arguments in calls if name == "record_outcome")
        return bool(found)

    wait_until("the refusal", refused)
    (outcome,) = found
    # That release did not sign: anyone who can write to Redis could have sent it.
    assert (outcome.apply, outcome.state) == (order["apply"], "failed")
    assert outcome.error is not None
    assert "not signed" in outcome.error.summary
    assert "Apply again" in outcome.error.summary
    assert f"dockerfw r{LEFT['window']} " not in worker.held()
