"""A locked worker whose jobs only write lines into a file; run with `-m`, arguments SOCKET FILE."""

from __future__ import annotations

import logging
import os
import sys
import time
from pathlib import Path

from redis import Redis

from dockerfw.worker.entries import ANY_JOB_ID, AllowedJob, refuse_unpickling
from dockerfw.worker.worker import LockedWorker

QUEUE = "notes"


def main(socket: str, file: str) -> None:
    """Serve the queue `notes` until told to stop."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO)
    refuse_unpickling()

    def note(value: dict[str, object]) -> None:
        with Path(file).open("a") as lines:
            lines.write(f"{value['text']}\n")

    def hang() -> None:
        note({"text": "hanging"})
        time.sleep(600)

    def die() -> None:
        os.kill(os.getpid(), 9)

    def fail() -> None:
        raise ValueError("as asked")

    allowed = {
        "note": AllowedJob(note, (dict,), 10, acknowledged=True),
        "hang": AllowedJob(hang, (), 1.0),
        "stay": AllowedJob(hang, (), 600),
        "die": AllowedJob(die, (), 10),
        "fail": AllowedJob(fail, (), 10, acknowledged=True),
    }
    connection = Redis(unix_socket_path=socket, socket_timeout=60)
    LockedWorker(
        QUEUE,
        connection=connection,
        ids=ANY_JOB_ID,
        allowed=allowed,
        on_idle=lambda: note({"text": "idle"}) if os.environ.get("NOTE_IDLE") else None,
        on_crash=lambda name, arguments: note({"text": f"crashed {name} {arguments}"}),
        idle_seconds=0.5,
        alive=Path(file).with_name("alive"),
    ).work()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
