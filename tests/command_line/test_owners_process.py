"""What a process of another user may say to one of root's."""

from __future__ import annotations

import os

import pytest

from rules.backup.owners_process import OwnerFailed, OwnersProcess


def test_what_is_no_bounded_json_is_not_heard() -> None:
    with (
        OwnersProcess(os.stat("/"), lambda _: {"number": 10**200}) as process,
        pytest.raises(OwnerFailed, match="cannot be read: a number has 201 digits"),
    ):
        process.hear()


def test_what_it_found_is_heard() -> None:
    with OwnersProcess(os.stat("/"), lambda _: {"number": 7}) as process:
        assert process.hear() == {"number": 7}
