"""The verbs that root types on the host itself: `panic`, `release` and `reset-sequence`.

They change the kernel or the state directory directly, so they work without Redis, the database and the root
worker. They read only three settings, so that no other setting can stop them.
"""

from __future__ import annotations

import argparse
import os
import pwd
from collections.abc import Sequence
from ipaddress import ip_address, ip_network
from pathlib import Path
from uuid import uuid4

from dockerfw.agent import panic as host
from dockerfw.agent.sequence import reset_sequence
from dockerfw.host.clock import utc_now
from dockerfw.messages.events import ConsoleEvent, Verb
from dockerfw.settings import host_of, path_of, text_of
from dockerfw.simulation.addresses import Network
from dockerfw.store.outbox import Outbox
from dockerfw.store.state import StateDirectory
from dockerfw.streams import InputError, Output

UNTIL_REBOOT = "It lasts until a reboot, which loads the confirmed revision."
STATE_DIR = Path("/var/lib/dockerfw")


def panic(options: argparse.Namespace, output: Output) -> int:
    """Drop all traffic except loopback and the allowed addresses, or with --off end that; 1 when not done."""
    _check_root()
    if options.off:
        if options.allow:
            raise InputError("--off takes no --allow")
        return _do("panic-off", "the panic is over", output)
    allowed = [_network(text) for text in options.allow]
    _check_own_session(allowed)
    named = " and ".join(map(str, allowed))
    done = f"all traffic is dropped except loopback{f', {named}' if named else ''}"
    return _do("panic", done, output, allowed)


def release(options: argparse.Namespace, output: Output) -> int:
    """Remove the jumps to dockerfw's chains from the kernel; 1 when not done."""
    _check_root()
    return _do("release", "dockerfw no longer filters traffic", output)


def reset(options: argparse.Namespace, output: Output) -> int:
    """Reset the last accepted sequence number if it is ahead of the clock; 1 when not done."""
    _check_root()
    return _do("reset-sequence", "the sequence number is reset: orders are accepted from now on", output)


def _do(verb: Verb, words: str, output: Output, allowed: Sequence[Network] = ()) -> int:
    state = StateDirectory(path_of(os.environ, "DOCKERFW_STATE_DIR", STATE_DIR))
    host_name = host_of(os.environ, "DOCKERFW_HOST")
    try:
        done = {
            "panic": lambda: host.panic(state, allowed),
            "panic-off": lambda: host.end_panic(state),
            "release": lambda: host.release(state),
            "reset-sequence": lambda: reset_sequence(state),
        }[verb]()
    except host.NotDone as error:
        output.note(f"not done: {error}")
        return 1
    lines = [
        _sentence(words) if done.changed else "There was nothing to do.",
        *_undo(verb, done, text_of(os.environ, "DOCKERFW_COMMAND") or "dockerfw"),
    ]
    if done.changed:
        event = ConsoleEvent(str(uuid4()), host_name, verb, _actor(), utc_now(), _sentence(words)[:8000])
        try:
            Outbox(state.journal).write(event)
        except OSError as error:
            output.note(f"the audit log will not show this: {error}")
    for note in done.notes:
        output.note(note)
    if output.as_json:
        output.json({"verb": verb, "changed": done.changed, "notes": done.notes, "undo": done.undo})
    else:
        for line in lines:
            output.line(line)
    return 0


def _undo(verb: str, done: host.Done, command: str) -> list[str]:
    if verb == "panic":
        return [f"To end it: {command} panic --off. {UNTIL_REBOOT}"]
    if verb == "release" and done.changed:
        return [f"{UNTIL_REBOOT} To undo it, apply a revision, or run:", *(f"  {line}" for line in done.undo)]
    return []


def _sentence(words: str) -> str:
    return f"{words[0].upper()}{words[1:]}."


def _check_root() -> None:
    if os.geteuid() != 0:
        raise InputError("this needs root on the host itself")


def _network(text: str) -> Network:
    try:
        return ip_network(text, strict=False)
    except ValueError:
        raise InputError(f"--allow {text}: not an address or a network such as 192.0.2.0/24") from None


def _check_own_session(allowed: Sequence[Network]) -> None:
    words = os.environ.get("SSH_CONNECTION", "").split()
    if not words:
        return
    try:
        client = ip_address(words[0].partition("%")[0])
    except ValueError:
        return
    if not any(client in network for network in allowed):
        raise InputError(f"this would end your own SSH session. Add --allow {client}")


def _actor() -> str:
    for name in ("SUDO_USER", "LOGNAME"):
        if found := os.environ.get(name, ""):
            return f"{found[:100]} (console)"
    try:
        return f"{pwd.getpwuid(os.getuid()).pw_name} (console)"
    except KeyError:
        return f"uid {os.getuid()} (console)"
