"""Commands: their output is returned, failures are reported, and nothing hangs or floods the memory."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from dockerfw.host import runner
from dockerfw.host.runner import Command, CommandFailed, run, run_all


def failure(*words: str, **options: float) -> CommandFailed:
    """Run a command that fails and return its failure."""
    with pytest.raises(CommandFailed) as caught:
        run(Command(words, **options))  # type: ignore[arg-type]
    return caught.value


def test_returns_what_was_printed() -> None:
    assert run(Command(("cat",), stdin=b"a\xff\x00b")) == b"a\xff\x00b"


def test_moves_megabytes_both_ways_without_a_deadlock() -> None:
    text = b"0123456789abcdef" * 300_000
    assert run(Command(("cat",), stdin=text)) == text


def test_no_shell_reads_the_words() -> None:
    assert run(Command(("echo", "$HOME; `id` > /x"))) == b"$HOME; `id` > /x\n"


def test_exit_status_and_stderr_are_reported() -> None:
    told = failure("sh", "-c", "echo out; echo wrong >&2; exit 3")
    assert (told.exit_status, told.stderr, told.reason) == (3, "wrong\n", "failed with status 3")
    assert str(told).endswith("failed with status 3: wrong")


def test_a_signal_is_reported() -> None:
    told = failure("sh", "-c", "kill -9 $$")
    assert (told.exit_status, told.reason) == (-9, "was ended by signal 9")


def test_time_limit_ends_a_command_that_hangs() -> None:
    began = time.monotonic()
    told = failure("sleep", "60", seconds=0.3)
    assert told.reason == "did not finish within 0.3 s"
    assert told.exit_status is None
    assert time.monotonic() - began < 60


def test_time_limit_holds_when_a_grandchild_keeps_the_pipe_open() -> None:
    began = time.monotonic()
    told = failure("sh", "-c", "sleep 20 & wait", seconds=0.3)
    assert told.reason == "did not finish within 0.3 s"
    assert time.monotonic() - began < 20


def test_time_limit_holds_for_a_command_that_closed_its_output() -> None:
    assert failure("sh", "-c", "exec >&- 2>&-; sleep 60", seconds=0.3).reason == "did not finish within 0.3 s"


def test_missing_program_names_the_package() -> None:
    assert failure("ip6tables-nft-nothing").reason == "cannot run: install the package iptables"


def test_output_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MAX_OUTPUT_BYTES", 100_000)
    assert failure("cat", "/dev/zero").reason == "printed more than 100000 bytes"


def test_errors_are_bounded() -> None:
    told = failure("sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x >&2; exit 1")
    assert len(told.stderr) == runner.MAX_STDERR_BYTES


def test_command_that_reads_nothing_is_no_error() -> None:
    assert run(Command(("true",), stdin=b"x" * 1_000_000)) == b""


def test_commands_run_side_by_side(tmp_path: Path) -> None:
    # Each of the two ends only after the other has created its file.
    script = 'touch "$1"; until [ -e "$2" ]; do sleep 0.02; done; exit "$3"'
    mine, other = str(tmp_path / "mine"), str(tmp_path / "other")
    results = run_all(
        [
            Command(("sh", "-c", script, "-", mine, other, "0")),
            Command(("sh", "-c", script, "-", other, mine, "1")),
            Command(("none-such",)),
        ]
    )
    assert results[0] == b""
    assert [type(result) for result in results[1:]] == [CommandFailed, CommandFailed]


def test_children_get_no_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKERFW_SECRET_KEY", "secret")
    assert b"secret" not in run(Command(("env",)))
