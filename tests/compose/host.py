"""A Debian host with Docker and Compose as people install them, in a network namespace of its own.

The host's files are a view of a tree, so all that it writes is gone with it: the engine's data lie in the
namespace's own folder. Ending its first process ends every container, shim and mount.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path
from types import TracebackType

from tests.compose.engines import host_files
from tests.rig.cache import cache_folder
from tests.rig.engine_process import EngineProcess, remove_cgroups
from tests.rig.engines import NEWEST, Engine
from tests.rig.namespace import PATIENCE, Backend, CommandError, Namespace, join_namespaces
from tests.rig.trees import Inside, entered

# An engine that only builds: it reaches the machine's network as any program does, and changes nothing there.
BUILDER = (
    *("--bridge=none", "--iptables=false", "--ip6tables=false"),
    *("--ip-forward=false", "--ip-masq=false"),
)
CACHE = cache_folder("compose")
# Where the host has the clone, and the cache of images.
PROJECT, IMAGES = "/srv/dockerfw", "/srv/images"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# (The builder that Debian's client has without a package more.)
_ENVIRONMENT = (f"PATH={_PATH}", "LC_ALL=C.UTF-8", "HOME=/root", "DOCKER_BUILDKIT=0")
EXTERNAL = "ens33"
HOST, HOST_6 = "192.0.2.1", "2001:db8::1"
CLIENT, CLIENT_6 = "192.0.2.2", "2001:db8::2"


class Host:
    """A host with a running engine; use it in a `with` block."""

    def __init__(
        self,
        *,
        engine: Engine = NEWEST,
        own_compose: bool = False,
        backend: Backend = "nft",
        builds_in: Path | None = None,
    ) -> None:
        """Start it, which takes about three seconds.

        Its Compose is the newest engine's, with `own_compose` the one that its own release has.
        With `builds_in` its engine only builds, by this machine's network, and keeps images in that folder.
        """
        self.backend = backend
        self.namespace = Namespace("composehost")
        self._options = BUILDER if builds_in else ()
        with contextlib.ExitStack() as stack:
            stack.callback(self._delete)
            folder = self.namespace.directory
            data = builds_in or folder / "docker"
            binds = {"/var/lib/docker": data, PROJECT: folder / "project", IMAGES: CACHE}
            for outside in binds.values():
                outside.mkdir(parents=True, exist_ok=True)
            files, more = host_files(engine, own_compose, folder / "plugins")
            network = None if builds_in else self.namespace.path
            view = entered(files, binds={**binds, **more}, network=network)
            self.inside: Inside = stack.enter_context(view)
            self._engine = EngineProcess(
                (*self.inside.prefix, "env", "-i", *_ENVIRONMENT),
                pid_file="/run/docker.pid",
                cgroup=self.cgroup,
                log=folder / "dockerd.log",
            )
            stack.callback(self.stop_engine)
            self._choose_backend()
            self.start_engine()
            self._leftovers = stack.pop_all()

    def __enter__(self) -> Host:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """End everything on the host, and remove all that it left."""
        with contextlib.suppress(Exception):
            names = self.docker("ps", "--quiet", timeout=PATIENCE).split()
            if names:
                self.docker("kill", *names, timeout=PATIENCE)
        self._leftovers.close()

    @property
    def project(self) -> Path:
        """The folder that the host has as /srv/dockerfw, as this process sees it."""
        return self.namespace.directory / "project"

    @property
    def cgroup(self) -> str:
        """The control group below which the engine puts its containers."""
        return self.namespace.directory.name

    def _choose_backend(self) -> None:
        for stem in ("iptables", "ip6tables"):
            self.run("update-alternatives", "--set", stem, f"/usr/sbin/{stem}-{self.backend}")

    def _assert_apart(self) -> None:
        # An engine writes rules and bridges: never into this machine's own network.
        own = os.readlink("/proc/self/ns/net")
        if not self._options and self.run("readlink", "/proc/self/ns/net") == own:
            raise CommandError("the host has no network of its own")

    def start_engine(self) -> None:
        """Start dockerd and wait until it answers."""
        self._assert_apart()
        options = ("--shutdown-timeout=10", *self._options)
        self._engine.start(*options, answers=lambda: self.try_run("docker", "version").returncode == 0)

    def stop_engine(self) -> None:
        """End dockerd as the init system does, and wait for it."""
        self._engine.stop(seconds=PATIENCE)

    def try_run(self, *command: str, timeout: float = 60) -> subprocess.CompletedProcess[str]:
        """Run a command on the host, in the project's folder, and return how it ended."""
        return subprocess.run(
            [*self.inside.prefix, "env", "-i", f"--chdir={PROJECT}", *_ENVIRONMENT, *command],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )

    def run(self, *command: str, timeout: float = 60) -> str:
        """Run a command on the host and return what it printed. Raises CommandError when it fails."""
        done = self.try_run(*command, timeout=timeout)
        if done.returncode != 0:
            said = (done.stdout[-1500:] + done.stderr[-3000:]).strip()
            raise CommandError(f"{' '.join(command)[:300]}: status {done.returncode}\n{said}")
        return done.stdout.strip()

    def docker(self, *arguments: str, timeout: float = 60) -> str:
        """Run the docker client."""
        return self.run("docker", *arguments, timeout=timeout)

    def compose(self, *arguments: str, timeout: float = 120) -> str:
        """Run Compose in the project's folder."""
        return self.run("docker", "compose", *arguments, timeout=timeout)

    def join(self, client: Namespace) -> None:
        """Put a client at the other end of ens33."""
        join_namespaces(self.namespace, EXTERNAL, client, "eth0")
        self.namespace.add_addresses(EXTERNAL, f"{HOST}/24", f"{HOST_6}/64")
        client.add_addresses("eth0", f"{CLIENT}/24", f"{CLIENT_6}/64")
        # Each refusal is answered: what the client's browser sends elsewhere is refused too, and would count.
        self.namespace.run("sysctl", "-qw", "net.ipv4.icmp_ratelimit=0", "net.ipv6.icmp.ratelimit=0")
        self.namespace.run("ip", "route", "add", "default", "via", CLIENT, "dev", EXTERNAL)
        client.run("ip", "route", "add", "default", "via", HOST)
        client.run("ip", "-6", "route", "add", "default", "via", HOST_6)

    def _delete(self) -> None:
        self.namespace.delete()
        remove_cgroups(self.cgroup)
