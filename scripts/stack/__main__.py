"""`python -m scripts.stack`: start everything, print the address, wait, stop everything."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping, Sequence
from types import FrameType
from urllib.error import URLError

from redis import Redis
from redis.exceptions import RedisError

from scripts.stack.errors import StackError
from scripts.stack.layout import ACCOUNT, ROOT, Layout, prepare_layout, remove_runtime
from scripts.stack.options import Options, open_socket, parse_options
from scripts.stack.processes import Processes
from scripts.stack.redis_server import find_server, server_command
from scripts.stack.sandbox import TRAFFIC

MANAGE = [sys.executable, "manage.py"]


class Stopped(BaseException):
    """The run was asked to end by Ctrl-C, SIGTERM or a closed terminal."""


def main(arguments: Sequence[str]) -> int:
    """Run the stack until it is stopped or one of its processes dies; return the exit status."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    try:
        options = parse_options(arguments)
        layout = prepare_layout(options)
        try:
            with open_socket(options) as server:
                return _run_stack(options, layout, server)
        finally:
            remove_runtime(layout)
    except StackError as error:
        print(f"dockerfw: {error}", file=sys.stderr)
        return error.status
    except Stopped:
        return 0


def _run_stack(options: Options, layout: Layout, server: socket.socket) -> int:
    processes = Processes(layout.logs)
    try:
        _start(options, layout, server, processes)
        server.close()
        _print_welcome(options, layout)
        while True:
            processes.check()
            time.sleep(0.5)
    finally:
        # A second Ctrl-C would otherwise leave half of them running.
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        processes.stop()
        print("dockerfw: stopped.", file=sys.stderr)


def _start(options: Options, layout: Layout, server: socket.socket, processes: Processes) -> None:
    web_user = layout.web_user
    web = layout.environment(options)
    redis_command = server_command(find_server(), layout.redis_socket, layout.runtime, layout.redis_acl)
    processes.start("redis", _unprivileged(redis_command, layout), environment=os.environ, user=web_user)
    connection = Redis.from_url(layout.redis_url("watch"))
    processes.wait_until("Redis answering", lambda: _answers(connection))
    _manage(layout, web, "migrate", "--skip-checks", "--verbosity", "0")
    processes.start(
        "root worker",
        _root_command(options, layout),
        environment=layout.environment(options, layout.root_user),
        groups=[web_user.gid] if web_user else None,
    )
    clerk = layout.environment(options, "clerk")
    processes.start("clerk", _unprivileged([*MANAGE, "clerk"], layout), environment=clerk, user=web_user)
    pages = _unprivileged(_web_command(server), layout)
    processes.start("web", pages, environment=web, user=web_user, pass_fds=[server.fileno()])
    processes.wait_until("both workers listening", lambda: _workers(connection) >= 2)
    processes.wait_until("the web pages answering", lambda: _healthy(server))
    connection.close()


def _unprivileged(command: Sequence[str], layout: Layout) -> list[str]:
    """Drop root's capabilities from a command if there is no ordinary user to run it as."""
    if os.geteuid() != 0 or layout.web_user is not None:
        return list(command)
    return ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs", "--", *command]


def _root_command(options: Options, layout: Layout) -> list[str]:
    worker = [sys.executable, "-m", "dockerfw", "agent"]
    if options.host:
        return worker
    namespace = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "-Urn"]
    # Only iptables-legacy needs the lock, and /run/xtables.lock is root's.
    lock = f"XTABLES_LOCKFILE={layout.state / 'xtables.lock'}"
    return [
        *namespace,
        "env",
        lock,
        sys.executable,
        "-m",
        "scripts.stack.sandbox",
        *([TRAFFIC] if options.traffic else []),
        str(layout.state),
        *worker,
    ]


def _web_command(server: socket.socket) -> list[str]:
    return [
        *(sys.executable, "-m", "gunicorn", "dockerfw_site.wsgi", "--bind", f"fd://{server.fileno()}"),
        *("--config", "python:dockerfw_site.gunicorn_settings"),
    ]


def _manage(layout: Layout, environment: Mapping[str, str], *arguments: str) -> str:
    user = layout.web_user
    done = subprocess.run(
        [*MANAGE, *arguments],
        cwd=ROOT,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[user.gid] if user else None,
    )
    if done.returncode != 0:
        last_words = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise StackError(f"manage.py {' '.join(arguments)} failed:\n{last_words}")
    return done.stdout.strip()


def _answers(connection: Redis) -> bool:
    try:
        return bool(connection.ping())
    except RedisError:
        return False


def _workers(connection: Redis) -> int:
    return int(connection.scard("rq:workers"))


def _healthy(server: socket.socket) -> bool:
    address, port = server.getsockname()[:2]
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(address, address)  # noqa: S104
    url = f"http://[{name}]:{port}/healthz" if ":" in name else f"http://{name}:{port}/healthz"
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _print_welcome(options: Options, layout: Layout) -> None:
    environment = layout.environment(options)
    where = "this machine's own firewall" if options.host else "a sandbox, not this machine's firewall"
    print(f"dockerfw manages {where}.")
    if layout.web_user is not None:
        print(f"Web, clerk and Redis run as {layout.web_user.name}.")
    elif os.geteuid() == 0:
        print(
            f"Running as root without its capabilities: the account {ACCOUNT} does not exist or cannot run"
            " this code. --host does not start this way."
        )
    print(f"Address:  {options.address}/")
    if options.bind not in {"127.0.0.1", "::1", "localhost"}:
        print(
            "Other hosts can reach it over plain HTTP. Put a proxy with TLS in front of it, under a host name"
            " of its own (docs/install.md)."
        )
    link = _manage(layout, environment, "firstadmin", "--if-needed", "--url", options.address)
    if link:
        print(f"One-time link to create the first admin:  {link}")
    print(f"Logs and data: {layout.folder}. Ctrl-C stops everything.", flush=True)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
