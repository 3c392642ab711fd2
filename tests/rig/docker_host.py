"""A real Docker engine in a network namespace of its own, with its own data, socket, mounts and process ids.

The daemon and all that it starts live in a process and a mount namespace whose first process is ours, so
ending that one process ends every container, shim and mount. It is this machine's own, or that of a tree of
another release (tests/rig/trees.py), with that release's iptables. It never pulls an image: the only one is
made from busybox.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.rig.connections import fetch
from tests.rig.engine_process import EngineProcess, remove_cgroups
from tests.rig.namespace import (
    BACKENDS,
    FAMILIES,
    PATIENCE,
    Backend,
    CommandError,
    Namespace,
    entering,
    iptables_program,
    wait_until,
)
from tests.rig.trees import entered

BUSYBOX = Path("/bin/busybox")
IMAGE = "bb:1"
_APPLETS = ("sh", "httpd", "nc", "sleep", "mkdir", "echo", "cat", "ip")
# What of a tree is asked for by its name, so that its own answers and not this machine's.
_STEMS = [iptables_program(backend, family) for backend in BACKENDS for family in FAMILIES]
_TREE_PROGRAMS = ("nft", *(f"{stem}{verb}" for stem in _STEMS for verb in ("", "-save", "-restore")))
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def why_unavailable() -> str:
    """Return why no engine can run here, or "" when one can."""
    if os.geteuid() != 0:
        return "a Docker engine needs root"
    missing = [name for name in ("dockerd", "docker", "containerd", "runc") if not shutil.which(name)]
    if missing:
        return f"not installed: {', '.join(missing)} (Debian package docker.io)"
    if not BUSYBOX.exists():
        return f"{BUSYBOX} is not there (Debian package busybox-static)"
    return ""


class DockerHost:
    """A network namespace with dockerd in it; `docker(...)` is its client."""

    def __init__(
        self, backend: Backend = "nft", options: Sequence[str] = (), tree: Path | None = None
    ) -> None:
        """Make the namespace, start the daemon in it (about a second) and import the image.

        `options` are more of dockerd's own. With `tree`, daemon and iptables are that tree's.
        """
        self.namespace = Namespace("dockerhost")
        self.directory = self.namespace.directory
        self.backend = backend
        self._options = tuple(options)
        self._tree = tree
        self._view = contextlib.ExitStack()
        self.cgroup = self.directory.name
        self._init = 0
        self._engine: EngineProcess | None = None
        try:
            self._choose_backend()
            if tree is None:
                self._start_init()
            else:
                self._enter_tree(tree)
            self.start_daemon()
            self._import_image()
        except BaseException:
            self.delete()
            raise

    @property
    def socket(self) -> str:
        """The address of the daemon, as `docker -H` takes it."""
        return f"unix://{self.directory}/docker.sock"

    def _choose_backend(self) -> None:
        # dockerd runs whatever PATH calls "iptables"; the machine's own alternatives stay as they are.
        programs = self.directory / "programs"
        programs.mkdir()
        for stem in ("iptables", "ip6tables"):
            name = f"{stem}-{self.backend}"
            path = self.namespace.environment["PATH"]
            target = f"/usr/sbin/{name}" if self._tree else shutil.which(name, path=path)
            if target is None:
                raise CommandError(f"{name} is not installed")
            (programs / stem).symlink_to(target)
        self.namespace.environment["PATH"] = f"{programs}:{self.namespace.environment['PATH']}"
        self._environment = dict(self.namespace.environment)

    def _enter_tree(self, tree: Path) -> None:
        """Start the first process in the tree, and have its programs answer outside of it too."""
        shared = Path(tempfile.gettempdir())
        network = self.namespace.path
        view = self._view.enter_context(entered(tree, binds={str(shared): shared}, network=network))
        self._init = view.pid
        self._environment["PATH"] = f"{self.directory}/programs:{_SYSTEM_PATH}"
        answering = self.directory / "answering"
        answering.mkdir()
        for name in _TREE_PROGRAMS:
            # The network stays that of who calls. Without --pid there would be no /proc/self to it.
            words = f"nsenter --target={view.pid} --mount --pid -- /usr/sbin/{name}"
            (answering / name).write_text(f'#!/bin/sh\nexec {words} "$@"\n')
            (answering / name).chmod(0o755)
        self.namespace.environment["PATH"] = f"{answering}:{self.namespace.environment['PATH']}"

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """Be on this host for a `with` block: in its network, with its programs first in the path."""
        before = os.environ["PATH"]
        os.environ["PATH"] = self.namespace.environment["PATH"]
        try:
            with self.namespace.entered():
                yield
        finally:
            os.environ["PATH"] = before

    def _start_init(self) -> None:
        flags = ["--mount", "--propagation", "private", "--pid", "--mount-proc", "--fork", "--kill-child"]
        # A shell in a loop waits for the orphans that come to it, as the first process has to.
        outer = self.namespace.start("unshare", *flags, "sh", "-c", "while sleep 1; do :; done")
        children = Path(f"/proc/{outer.pid}/task/{outer.pid}/children")
        wait_until("first process of the engine", lambda: children.read_text().strip())
        self._init = int(children.read_text())

    def _inside(self) -> list[str]:
        return ["nsenter", f"--target={self._init}", "--net", "--mount", "--pid", "--"]

    def start_daemon(self) -> None:
        """Start dockerd and wait until it answers."""
        self._engine = EngineProcess(
            self._inside(),
            pid_file=f"{self.directory}/dockerd.pid",
            cgroup=self.cgroup,
            log=self.directory / "dockerd.log",
            environment=self._environment,
        )
        self._engine.start(
            f"--data-root={self.directory}/data",
            f"--exec-root={self.directory}/exec",
            f"--pidfile={self.directory}/dockerd.pid",
            f"--host={self.socket}",
            "--shutdown-timeout=2",
            *self._options,
            answers=lambda: self.try_docker("version").returncode == 0,
        )

    def stop_daemon(self) -> None:
        """End dockerd as the init system does, and wait for it."""
        if self._engine is not None:
            self._engine.stop(seconds=PATIENCE)

    def restart_daemon(self) -> None:
        """Restart dockerd; containers started with `--restart=always` come back."""
        self.stop_daemon()
        self.start_daemon()

    def log(self) -> str:
        """Return what the daemon logged."""
        return (self.directory / "dockerd.log").read_text(errors="replace")

    def try_docker(self, *arguments: str, timeout: float = PATIENCE) -> subprocess.CompletedProcess[str]:
        """Run the docker client and return how it ended."""
        return subprocess.run(
            ["docker", "-H", self.socket, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
            env={**self.namespace.environment, "DOCKER_CONFIG": str(self.directory / "client")},
        )

    def docker(self, *arguments: str, timeout: float = PATIENCE) -> str:
        """Run the docker client and return what it printed; raise CommandError when it fails."""
        done = self.try_docker(*arguments, timeout=timeout)
        if done.returncode != 0:
            raise CommandError(f"docker {' '.join(arguments)}: status {done.returncode}\n{done.stderr}")
        return done.stdout.strip()

    def _import_image(self) -> None:
        programs = self.directory / "image" / "bin"
        programs.mkdir(parents=True)
        shutil.copy2(BUSYBOX, programs / "busybox")
        for applet in _APPLETS:
            (programs / applet).symlink_to("busybox")
        archive = self.directory / "image.tar"
        subprocess.run(
            ["tar", "-C", str(programs.parent), "-cf", str(archive), "."], timeout=PATIENCE, check=True
        )
        self.docker("import", str(archive), IMAGE)

    def run_web(self, name: str, *options: str, port: int = 80, network: str = "bridge") -> None:
        """Start a container whose web server answers with the container's name on `port`, and wait for it."""
        # A first process ignores SIGTERM unless it asks for it, and the engine would wait ten seconds for it.
        serve = f"mkdir -p /www; echo -n {name} >/www/index.html; httpd -f -p {port} -h /www & wait"
        words = ("--detach", f"--name={name}", f"--network={network}", *options)
        self.docker("run", *words, IMAGE, "/bin/sh", "-c", f"trap exit TERM; {serve}")
        with entering(self.container_namespace(name)):
            wait_until(f"the web server of {name}", lambda: _listens(port))

    def container_address(self, name: str, network: str = "bridge") -> str:
        """Return the container's IPv4 address on one of its networks."""
        return self.docker(
            "inspect", "--format", f'{{{{(index .NetworkSettings.Networks "{network}").IPAddress}}}}', name
        )

    def container_namespace(self, name: str) -> str:
        """Return the container's network namespace as a file, for `entering`."""
        key = self.docker("inspect", "--format", "{{.NetworkSettings.SandboxKey}}", name)
        return f"/proc/{self._init}/root{key}"

    def fetch_from(self, container: str, address: str, port: int) -> str:
        """Return what a web server answers to a container, or "" when the container cannot reach it."""
        return fetch(self.container_namespace(container), address, port)

    def remove(self, names: Sequence[str]) -> None:
        """Remove containers, running or not."""
        if names:
            self.docker("rm", "--force", "--volumes", *names)

    def delete(self) -> None:
        """End the containers, the daemon and the namespaces, and remove all that they left on disk."""
        with contextlib.suppress(Exception):
            self.remove(self.docker("ps", "--all", "--quiet").split())
        with contextlib.suppress(Exception):
            self.stop_daemon()
        self._view.close()
        self.namespace.delete()
        remove_cgroups(self.cgroup)


def _listens(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) == 0
