"""Calls of a process by lines of JSON: `serve` runs in the process, `Lines` makes the calls."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.rig.namespace import PATIENCE, CommandError, end_process

ROOT = Path(__file__).parents[2]


class Refused(Exception):  # noqa: N818 - it states a fact
    """The process refused the call; the text says why."""


def serve(functions: Mapping[str, Callable[..., object]], refusals: tuple[type[Exception], ...]) -> None:
    """Answer each line of standard input until it ends: a call of one of the functions, in order."""
    for line in sys.stdin:
        call = json.loads(line)
        answer: dict[str, object] = {"number": call.pop("number")}
        try:
            answer["value"] = functions[call.pop("call")](**call)
        except refusals as error:
            answer["refused"] = f"{type(error).__name__}: {error}"
        print(json.dumps(answer), flush=True)


class Lines:
    """One such process; call `close` at the end."""

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", "--", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=sink,
                env=dict(environment),
                cwd=ROOT,
                start_new_session=True,
            )
        self._number = 0
        self._answers: dict[int, dict[str, Any]] = {}
        self._told = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def ask(self, call: str, *, seconds: float = 90, **arguments: object) -> Any:
        """Return the function's answer. Raises Refused, and CommandError without an answer in time."""
        number = self.tell(call, **arguments)
        with self._told:
            if not self._told.wait_for(lambda: number in self._answers, seconds):
                raise CommandError(f"no answer to {call} within {seconds} s")
            answer = self._answers.pop(number)
        if "refused" in answer:
            raise Refused(answer["refused"])
        return answer["value"]

    def tell(self, call: str, **arguments: object) -> int:
        """Ask without waiting for the answer; return the question's number."""
        assert self._process.stdin is not None
        self._number += 1
        line = json.dumps({"number": self._number, "call": call, **arguments})
        try:
            self._process.stdin.write(f"{line}\n".encode())
            self._process.stdin.flush()
        except OSError as error:
            raise CommandError(f"the process does not take {call}: {error}") from None
        return self._number

    def close(self) -> None:
        """End the process."""
        end_process(self._process)
        self._reader.join(PATIENCE)
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            answer = json.loads(line)
            with self._told:
                self._answers[answer["number"]] = answer
                self._told.notify_all()
