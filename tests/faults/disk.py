"""A small file system in its own mount namespace, which a test fills or makes read-only.

It goes away with the process that holds it, whatever happens to the test. Root only.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

from tests.rig.namespace import CommandError, end_process


class SmallDisk:
    """A tmpfs mounted at `mount`, seen only by processes that are started with `prefix`."""

    def __init__(self, mount: Path, *, size: str = "3m") -> None:
        mount.mkdir()
        self.mount = mount
        script = f"mount -t tmpfs -o size={size},mode=700 tmpfs {mount} && echo ready && exec cat"
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "sh", "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
        )
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"ready\n":
            raise CommandError("no small file system can be mounted")
        self.prefix = ("nsenter", f"--mount=/proc/{self._holder.pid}/ns/mnt", "--")
        self.seen = Path(f"/proc/{self._holder.pid}/root{mount}")

    def fill(self) -> None:
        """Leave no free block."""
        with contextlib.suppress(OSError), (self.seen / "fill").open("ab", buffering=0) as file:
            for size in (65536, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"x" * size)

    def make_read_only(self) -> None:
        """Make it read-only."""
        self._remount("ro")

    def heal(self) -> None:
        """Make it writable, with free space."""
        self._remount("rw")
        (self.seen / "fill").unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it."""
        if self._holder.stdin is not None:
            self._holder.stdin.close()
        end_process(self._holder)
        if self._holder.stdout is not None:
            self._holder.stdout.close()

    def _remount(self, how: str) -> None:
        command = [*self.prefix, "mount", "-o", f"remount,{how}", str(self.mount)]
        for _ in range(200):
            # A file that is just being written keeps it busy for a moment.
            if subprocess.run(command, capture_output=True, check=False).returncode == 0:
                return
            time.sleep(0.01)
        raise CommandError(f"{self.mount} could not be remounted {how}")
