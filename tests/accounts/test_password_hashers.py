"""Passwords are hashed by threads of low priority, and hashes from before still fit."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher, check_password, make_password

from dockerfw_site.environment import BASE_DIR
from rules.accounts.password_hashers import NICENESS, LowPriorityHasher

PASSWORD = "correct horse battery staple"


def test_a_hash_of_an_earlier_release_fits_and_is_kept() -> None:
    earlier = PBKDF2PasswordHasher().encode(PASSWORD, "0123456789abcdefghijkl")
    changed: list[str] = []
    assert check_password(PASSWORD, earlier, setter=changed.append)
    assert not check_password("another one", earlier)
    assert changed == []
    assert LowPriorityHasher().encode(PASSWORD, "0123456789abcdefghijkl") == earlier
    assert make_password(PASSWORD).startswith("pbkdf2_sha256$")


def test_the_hashing_stands_back_and_its_caller_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[tuple[int, bool]] = []
    caller = threading.get_native_id()

    def spied(real: Callable[..., str]) -> Callable[..., str]:
        def encode(*arguments: object) -> str:
            found.append((os.getpriority(os.PRIO_PROCESS, 0), threading.get_native_id() == caller))
            return real(*arguments)

        return encode

    before = os.getpriority(os.PRIO_PROCESS, 0)
    monkeypatch.setattr(PBKDF2PasswordHasher, "encode", spied(PBKDF2PasswordHasher.encode))
    make_password(PASSWORD)
    assert found == [(max(before, NICENESS), False)]
    assert os.getpriority(os.PRIO_PROCESS, 0) == before


def test_a_request_leaves_pythons_lock_to_others_while_it_hashes() -> None:
    turns = 0
    hashing = threading.Thread(target=make_password, args=(PASSWORD,))
    hashing.start()
    while hashing.is_alive():
        time.sleep(0.001)
        turns += 1
    assert turns > 10
    niceness = [thread.read_text().rpartition(")")[2].split()[16] for thread in threads()]
    assert str(NICENESS) in niceness


@pytest.mark.parametrize("niceness", [0, 6])
def test_a_password_is_checked_where_no_priority_may_change(niceness: int) -> None:
    # As under a filter of system calls, and for a process that stands back further already.
    program = f"""
import os, django
os.nice({niceness})
django.setup()
from rules.accounts import password_hashers
password_hashers.LowPriorityHasher.iterations = 1000
real = os.setpriority
def refuse(kind, who, priority):
    if not {niceness}:
        raise PermissionError(1, "Operation not permitted")
    assert priority >= {niceness}
    real(kind, who, priority)
os.setpriority = refuse
from django.contrib.auth.hashers import check_password, make_password
print(check_password("x" * 20, make_password("x" * 20)))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=BASE_DIR, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "True", done.stderr


def threads() -> list[Path]:
    return list(Path("/proc/self/task").glob("*/stat"))
