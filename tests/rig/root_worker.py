"""The root worker as a process of its own in a network namespace, and what a test wants to know of it."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

from redis import Redis

from dockerfw.document.document import digest, parse_document
from dockerfw.host.clock import utc_now
from dockerfw.messages.codec import load_json
from dockerfw.messages.orders import firewall_queue
from dockerfw.messages.outcomes import Outcome, progress_key
from dockerfw.messages.snapshots import Snapshot, snapshot_key
from dockerfw.worker.entries import done_key
from tests.rig.attacks import job_fields, packed, put
from tests.rig.namespace import Namespace, end_process, wait_until
from tests.rig.redis_fixtures import RedisServer
from tests.rig.signing import signed, write_signer, write_signing_key

HOST = "local"
QUEUE = firewall_queue(HOST)
ROOT = Path(__file__).parents[2]


class RootWorker:
    """`dockerfw agent` in a namespace."""

    def __init__(self, server: RedisServer, namespace: Namespace, directory: Path) -> None:
        self.redis = server.client()
        self.namespace = namespace
        self.state = directory / "state"
        self.log = directory / "root.log"
        self.environment = {
            "DOCKERFW_REDIS_URL": server.url,
            "DOCKERFW_STATE_DIR": str(self.state),
            "DOCKERFW_DATA_DIR": str(directory / "data"),
            "DOCKERFW_HOST": HOST,
            "DOCKERFW_SIGNER_FILE": str(write_signer(directory)),
            "DOCKERFW_SIGNING_KEY_FILE": str(write_signing_key(directory)),
            "PYTHONPATH": str(ROOT),
        }
        self.program: tuple[str, ...] = (sys.executable, "-m")
        self.module: tuple[str, ...] = ("dockerfw", "agent")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self, *before: str, **environment: str) -> RootWorker:
        """Start it; `before` are words before the command."""
        self.process = self.namespace.start(
            *before,
            *self.program,
            *self.module,
            log=self.log,
            environment={**self.environment, **environment},
        )
        return self

    def stop(self) -> None:
        """End it, however."""
        if self.process is not None:
            end_process(self.process)

    def words(self) -> str:
        """Return what it has logged."""
        return self.log.read_text() if self.log.exists() else ""

    def wait_until_serving(self) -> None:
        """Wait until it waits for entries."""
        key = f"rq:worker:{QUEUE}"
        wait_until(
            "the root worker", lambda: self.redis.exists(key) or "but serves its queue" in self.words()
        )

    def order(self, *ports: str, sequence: int, send: bool = True, **changes: Any) -> dict[str, Any]:
        """Order to open these ports; return the order."""
        document = {
            "format": "dockerfw/1",
            "settings": {"external_interfaces": ["ens33"]},
            "rules": [{"scope": "host", "protocol": "tcp", "ports": [port]} for port in ports],
        }
        value = {
            "format": "dockerfw-order/1",
            "apply": str(uuid4()),
            "sequence": sequence,
            "host": HOST,
            "revision": sequence,
            "document": document,
            "digest": digest(parse_document(document)),
            "confirm_seconds": 60,
            "end_sessions": False,
            "issued_at": utc_now(),
            "override": False,
            **changes,
        }
        if send:
            self.send(value)
        return value

    def send(self, value: dict[str, Any], job_id: str = "") -> None:
        """Sign an order and put it on the queue."""
        self.put("apply", signed(value), job_id)

    def put(self, name: str, value: dict[str, Any], job_id: str = "") -> None:
        """Put a job on the queue as any client of Redis can."""
        put(self.redis, QUEUE, job_id or str(uuid4()), job_fields(packed(name, [value]), QUEUE))

    def progress(self, value: dict[str, Any]) -> Outcome | None:
        """Return the newest that was told about an order."""
        raw: Any = self.redis.get(progress_key(HOST, value["apply"]))
        return None if raw is None else Outcome.from_json(load_json(raw))

    def answer(self, value: dict[str, Any], kind: str, **changes: Any) -> dict[str, Any]:
        """Answer the window that an order has opened; return the answer."""
        answer = {
            "format": "dockerfw-answer/1",
            "apply": value["apply"],
            "sequence": value["sequence"],
            "host": HOST,
            "answer": kind,
            "seconds": None,
            "issued_at": utc_now(),
            **changes,
        }
        self.put("answer", signed(answer))
        return answer

    def kept(self, value: dict[str, Any]) -> Outcome:
        """Wait until the order's rules are loaded, keep them, and wait for the last word."""
        found = self.outcome(value)
        if found.state == "awaiting":
            self.answer(value, "keep")
            found = self.outcome(value, states=("confirmed", "failed"))
        return found

    def outcome(
        self,
        value: dict[str, Any],
        *,
        states: tuple[str, ...] = ("awaiting", "confirmed", "rolled_back", "failed"),
    ) -> Outcome:
        """Wait until the order's window is open, or for its last word."""

        def settled() -> bool:
            found = self.progress(value)
            return found is not None and found.state in states

        wait_until(f"the outcome of {value['apply']}", settled)
        found = self.progress(value)
        assert found is not None
        return found

    def snapshot(self) -> Snapshot | None:
        """Return the stored snapshot."""
        raw: Any = self.redis.get(snapshot_key(HOST))
        return None if raw is None else Snapshot.from_json(load_json(raw, max_bytes=1 << 26))

    def delivered(self) -> list[Outcome]:
        """Take what is on the clerk's queue like the clerk. Everything on it must be an outcome."""
        taken = list(self.take_calls())
        assert {name for name, _ in taken} <= {"record_outcome"}
        return [Outcome.from_json(arguments[0]) for _, arguments in taken]

    def take_calls(self) -> Iterator[tuple[str, list[Any]]]:
        """Play the clerk: take each call off its queue, leave its note, and yield its name and arguments."""
        from dockerfw.worker.entries import read_call

        while (raw := pop(self.redis)) is not None:
            job_id = raw.decode()
            data: Any = self.redis.hget(f"rq:job:{job_id}", "data")
            name, arguments = read_call(data)
            # In this order: the root worker sends again what is neither there nor done.
            self.redis.set(done_key(job_id), "1")
            self.redis.delete(f"rq:job:{job_id}")
            yield name, arguments

    def journal(self) -> list[dict[str, Any]]:
        """Return the outcomes that wait in the journal."""
        paths = sorted((self.state / "journal").glob("outcome-*.json"))
        found = []
        for path in paths:
            # The worker removes delivered files, also while a test reads.
            with contextlib.suppress(FileNotFoundError):
                found.append(json.loads(path.read_text()))
        return found

    def held(self) -> str:
        """Return both families' filter tables."""
        return "".join(self.namespace.save("nft", family).decode() for family in (4, 6))


def pop(redis: Redis) -> bytes | None:
    """Take one id off the clerk's queue."""
    raw: Any = redis.lpop("rq:queue:clerk")
    return None if raw is None else bytes(raw)
