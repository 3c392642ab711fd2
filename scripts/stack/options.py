"""The arguments of scripts/run. The shell script prints their help itself, because Python may be missing."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from scripts.stack.errors import StackError


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of a run."""

    host: bool
    bind: str
    port: int
    # Of a sandbox: visitors and containers send packets.
    traffic: bool = True

    @property
    def address(self) -> str:
        """The address to open in a browser."""
        name = {"0.0.0.0": socket.gethostname(), "::": socket.gethostname()}.get(self.bind, self.bind)  # noqa: S104
        return f"http://[{name}]:{self.port}" if ":" in name else f"http://{name}:{self.port}"


def argument_parser() -> argparse.ArgumentParser:
    """Build the parser; the help text of scripts/run lists every option too."""
    parser = argparse.ArgumentParser(prog="scripts/run", add_help=False, allow_abbrev=False)
    parser.add_argument("--host", action="store_true")
    parser.add_argument("--bind", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--no-traffic", action="store_true")
    return parser


def parse_options(arguments: Sequence[str]) -> Options:
    """Read the arguments and check that this machine supports them. Raises StackError."""
    values = argument_parser().parse_args(arguments)
    options = Options(
        host=values.host, bind=values.bind.strip("[]"), port=values.port, traffic=not values.no_traffic
    )
    if not 1 <= options.port <= 65535:
        raise StackError(f"--port {options.port} is not a port (1 to 65535)", status=2)
    if options.host and os.geteuid() != 0:
        raise StackError(
            "--host manages this machine's own firewall and needs root: sudo scripts/run --host", status=2
        )
    if not options.host:
        _check_sandbox()
    return options


def open_socket(options: Options) -> socket.socket:
    """Listen on the port before any process starts, so that a port in use is reported at once."""
    family = socket.AF_INET6 if ":" in options.bind else socket.AF_INET
    server = socket.socket(family, socket.SOCK_STREAM)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((options.bind, options.port))
        server.listen(128)
    except OSError as error:
        server.close()
        raise StackError(
            f"cannot listen on {options.bind} port {options.port}: {error.strerror}. "
            "Stop the program that uses the port, or choose another one with --port or --bind.",
            status=2,
        ) from error
    return server


def _check_sandbox() -> None:
    root = os.geteuid() == 0
    if shutil.which("unshare") is None:
        raise StackError("unshare is not installed; it is in the Debian package util-linux")
    # `true` is not enough: under Ubuntu's AppArmor a user may have a namespace without any rights in it.
    command = ["unshare", "--net" if root else "-Urn", "ip", "link", "set", "lo", "up"]
    probe = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    if probe.returncode != 0:
        who, instead = ("root", "") if root else ("ordinary users", ". It may work as root: sudo scripts/run")
        raise StackError(
            f"this machine does not let {who} create a usable network namespace ({probe.stderr.strip()}), "
            f"so the sandbox cannot run{instead}"
        )
