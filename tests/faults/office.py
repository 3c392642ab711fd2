"""The dashboard's side of a fault run: it sends plain messages and records the outcomes.

`books` has the same with the web's services, the real clerk and a real database.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Protocol
from uuid import uuid4

from redis.exceptions import RedisError

from dockerfw.document.document import digest, parse_document
from dockerfw.host.clock import utc_now
from dockerfw.messages.orders import firewall_queue
from dockerfw.messages.outcomes import Outcome
from dockerfw.worker.entries import done_key, read_call
from tests.faults.documents import document
from tests.rig.attacks import job_fields, packed, put
from tests.rig.namespace import PATIENCE
from tests.rig.redis_fixtures import RedisServer
from tests.rig.signing import signed

HOST = "local"
QUEUE = firewall_queue(HOST)
FINAL = ("confirmed", "rolled_back", "failed")


class NotSent(Exception):  # noqa: N818 - it states a fact
    """Redis did not take an order."""


class Office(Protocol):
    """The dashboard's side of the queue."""

    def order(self, *ports: str) -> dict[str, Any]:
        """Order to open these ports; return apply, revision and document. Raises NotSent."""

    def answer(self, order: dict[str, Any], kind: str, seconds: int | None = None) -> None:
        """Answer the window of an order; give up soon."""

    def finals(self, order: dict[str, Any]) -> set[str]:
        """Return the last outcomes that were recorded for an order, each with its event."""

    def close(self) -> None:
        """End all its processes."""


class Notes:
    """Messages made by hand, and a clerk that records outcomes in memory."""

    def __init__(self, redis: RedisServer, clock_ahead: Callable[[], float]) -> None:
        self._redis = redis
        self._clock_ahead = clock_ahead
        self._sequence = int(time.time() * 1000)
        self._revision = 0
        self._outcomes: list[Outcome] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._take_down, daemon=True)
        self._thread.start()

    def order(self, *ports: str) -> dict[str, Any]:
        """Put an order on the queue."""
        self._sequence += 1
        self._revision += 1
        value = document(*ports)
        order = {
            "format": "dockerfw-order/1",
            "apply": str(uuid4()),
            "sequence": self._sequence,
            "host": HOST,
            "revision": self._revision,
            "document": value,
            "digest": digest(parse_document(value)),
            "confirm_seconds": 60,
            "end_sessions": True,
            "issued_at": utc_now(ahead=self._clock_ahead()),
            "override": False,
        }
        try:
            self._send("apply", order)
        except (RedisError, OSError) as error:
            raise NotSent(str(error)) from error
        return order

    def answer(self, order: dict[str, Any], kind: str, seconds: int | None = None) -> None:
        """Put an answer on the queue."""
        self._sequence += 1
        answer = {
            "format": "dockerfw-answer/1",
            "apply": order["apply"],
            "sequence": self._sequence,
            "host": HOST,
            "answer": kind,
            "seconds": seconds,
            "issued_at": utc_now(ahead=self._clock_ahead()),
        }
        with contextlib.suppress(RedisError, OSError):
            self._send("answer", answer)

    def finals(self, order: dict[str, Any]) -> set[str]:
        """Return the last outcomes that were delivered."""
        return {
            f"{outcome.state} {outcome.event}"
            for outcome in self._outcomes
            if outcome.apply == order["apply"] and outcome.state in FINAL
        }

    def close(self) -> None:
        """End the clerk."""
        self._ending.set()
        self._thread.join(PATIENCE)

    def _send(self, name: str, value: dict[str, Any]) -> None:
        put(self._redis.hasty_client(), QUEUE, str(uuid4()), job_fields(packed(name, [signed(value)]), QUEUE))

    def _take_down(self) -> None:
        while not self._ending.wait(0.05):
            with contextlib.suppress(RedisError, OSError):
                redis = self._redis.hasty_client()
                while (raw := redis.lpop("rq:queue:clerk")) is not None:
                    assert isinstance(raw, bytes)
                    data: Any = redis.hget(f"rq:job:{raw.decode()}", "data")
                    if data is None:
                        continue
                    name, arguments = read_call(data)
                    # Drift is reported too.
                    if name == "record_outcome":
                        self._outcomes.append(Outcome.from_json(arguments[0]))
                    redis.delete(f"rq:job:{raw.decode()}")
                    redis.set(done_key(raw.decode()), "1", ex=600)
