"""The images that Compose runs, built from the clone's own Dockerfile and kept until it changes.

No registry is reached: what the Dockerfile begins FROM is a tree of the release that its tag names, imported
under that name. It bears this machine's certificates and pip's configuration, so that pip and apt work in the
build; this is only for tests and not in the released image.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from tests.compose.host import CACHE, IMAGES, Host
from tests.machine.tree import ROOT, copy_clone, run
from tests.rig.engines import NEWEST, Engine
from tests.rig.namespace import CommandError
from tests.rig.trees import tree

BUILD_SECONDS = 900.0
# Of what the image holds nothing, so that a change there is no other image.
APART = ("tests", "docs", ".ci", "README.md", "CHANGELOG.md")
# What this machine's programs trust and how its pip is set up, where there is such a thing.
TRUST = ("etc/ssl/certs/ca-certificates.crt", "usr/local/share/ca-certificates", "etc/pip.conf")


def built(service: str, engine: Engine = NEWEST) -> Path:
    """Return an archive for `docker load` of the image that a service builds, made unless it is there.

    It is the engine's own work: one that another engine built proves nothing of this one.
    """
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        clone = Path(folder)
        copy_clone(clone)
        archive = CACHE / f"{service}-{engine.name}-{_digest(clone)}.tar"
        if not archive.exists():
            print(f"Building {archive}; the next run finds it there.", flush=True)
            _forget(CACHE.glob(f"{service}-{engine.name}-*.tar"))
            draft = CACHE / f"{service}.draft"
            _build(service, engine, draft)
            draft.rename(archive)
    return archive


def load(host: Host, archive: Path) -> None:
    """Give an archive's image to a host's engine."""
    host.docker("load", "--quiet", f"--input={IMAGES}/{archive.name}", timeout=120)


def _build(service: str, engine: Engine, archive: Path) -> None:
    layers = CACHE / f"engine-{engine.name}-{_stamp()}"
    _forget(folder for folder in CACHE.glob(f"engine-{engine.name}-*") if folder != layers)
    try:
        with Host(engine=engine, builds_in=layers) as builder:
            copy_clone(builder.project)
            for base in _bases((ROOT / "Dockerfile").read_text()):
                if builder.try_run("docker", "image", "inspect", base).returncode != 0:
                    _import_base(builder, base)
            config = json.loads(builder.compose("--profile=*", "config", "--format=json"))
            wanted = config["services"][service]
            options = (f"--target={wanted['build']['target']}", f"--tag={wanted['image']}")
            # As `docker compose build` does, but for the network.
            builder.docker("build", "--network=host", *options, ".", timeout=BUILD_SECONDS)
            builder.docker("save", f"--output={IMAGES}/{archive.name}", wanted["image"], timeout=120)
    except BaseException:
        # What an engine that failed has left might let the next one fail.
        _forget([layers])
        raise


def _stamp() -> str:
    """Return what tells apart what takes long to build: the base, packages and requirements."""
    parts = [ROOT / "Dockerfile", ROOT / "requirements.txt", *sorted((ROOT / "scripts" / "font").glob("*.*"))]
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in parts)).hexdigest()[:12]


def _digest(clone: Path) -> str:
    """Return what tells this state of the clone from others."""
    told = hashlib.sha256()
    for path in sorted(clone.rglob("*")):
        name = path.relative_to(clone)
        if path.is_file() and name.parts[0] not in APART:
            told.update(f"{name}\0{path.stat().st_mode}\0".encode() + path.read_bytes())
    return told.hexdigest()[:16]


def _bases(dockerfile: str) -> list[str]:
    """Return the images that a Dockerfile begins with, without its own stages."""
    found = re.findall(r"(?im)^FROM\s+(\S+)(?:\s+AS\s+(\S+))?", dockerfile)
    stages = {stage for _, stage in found}
    return sorted({name for name, _ in found} - stages)


def _import_base(builder: Host, name: str) -> None:
    suite = re.fullmatch(r"debian:([a-z]+)(-[0-9]+)?-slim", name)
    if suite is None:
        raise CommandError(
            f"the Dockerfile begins FROM {name}: a tree can stand in for debian:RELEASE-slim only"
        )
    packed = CACHE / f"base-{os.getpid()}.tar"
    # What makes such an image slim.
    slim = ("--exclude=./usr/share/doc/*", "--exclude=./usr/share/locale/*", "--exclude=./usr/share/man/*")
    try:
        run("tar", "-C", str(tree(suite[1])), *slim, "-cf", str(packed), ".")
        run("tar", "-C", "/", "-rf", str(packed), *(name for name in TRUST if Path("/", name).exists()))
        builder.docker("import", f"{IMAGES}/{packed.name}", name, timeout=120)
    finally:
        packed.unlink(missing_ok=True)


def _forget(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
