"""Read owners and modes of files and folders with lstat(2); no file is opened."""

from __future__ import annotations

import contextlib
import grp
import itertools
import os
import pwd
import stat
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from pathlib import Path

from dockerfw.doctor.permissions import PermissionFacts, Place

DOCKER_SOCKETS = (Path("/run/docker.sock"), Path("/var/run/docker.sock"))
_CODE = ("manage.py", "dockerfw", "rules", "dockerfw_site", "scripts", "deploy", "templates", ".venv")
_MOST = 20
# As many as the kernel follows (path_resolution(7)).
_LINKS = 40


def permission_facts(
    *,
    state: Path,
    data: Path | None,
    secret_key: Path | None,
    settings: Path,
    beside_redis: Path | None,
    code: Path,
    root_runs: bool,
    docker_socket: Path | None,
    no_dashboard: str = "",
) -> PermissionFacts:
    """Read everything; what cannot be read is None. Never raises."""
    socket = docker_socket_path(docker_socket)
    found = _places([socket]) if socket else None
    return PermissionFacts(
        state=_with_above(state),
        data=_places([data] if data else []),
        secret_key=_places([secret_key] if secret_key else []),
        users_acl=_places(users_files(settings, beside_redis)),
        env_files=_env_files(settings) if _readable(settings) else None,
        code=code_places(code) if root_runs else (),
        root_runs=root_runs,
        docker_socket=found[0] if found else None,
        docker_members=_members(found[0].gid) if found else (),
        no_dashboard=no_dashboard,
    )


def code_places(code: Path) -> tuple[Place, ...]:
    """Read what decides who can change the code, its packages and this interpreter.

    These are the folders and all above them, and the first few files in them that other users can change or
    own. Places that cannot be read are left out.
    """
    executable, *folders = _python_paths()
    folders = [code, *(folder for folder in folders if not folder.is_relative_to(code))]
    above = [place for path in (*folders, executable) for place in _reached(path)]
    inside = [place for folder in folders for place in itertools.islice(_loose(folder), _MOST)]
    return tuple(dict.fromkeys([*above, *inside]))


def docker_socket_path(given: Path | None) -> Path | None:
    """Return Docker's socket: the given one, else the usual one; None when it does not exist."""
    for path in (given,) if given else DOCKER_SOCKETS:
        with contextlib.suppress(OSError):
            if path.is_socket():
                return path
    return None


def users_files(settings: Path, beside_redis: Path | None) -> list[Path]:
    """Return the possible paths of Redis' users file: beside its socket, with systemd, in the image."""
    beside = [] if beside_redis is None else [beside_redis / "users.acl"]
    return [*beside, settings / "users.acl", settings / "redis" / "users.acl"]


def _env_files(settings: Path) -> tuple[Place, ...] | None:
    return _places([*_glob(settings, "*.env"), *_glob(settings, "*/redis.url")])


def _place(path: Path) -> Place:
    found = path.lstat()
    return Place(str(path), found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode), _user(found.st_uid))


def _places(paths: Iterable[Path]) -> tuple[Place, ...] | None:
    """Return the places that exist, None when one may not be read."""
    found = []
    for path in paths:
        try:
            found.append(_place(path))
        except (FileNotFoundError, NotADirectoryError):
            continue
        except OSError:
            return None
    return tuple(found)


def _with_above(path: Path) -> tuple[Place, ...] | None:
    own = _places([path])
    return _places([path, *path.parents]) if own else own


def _readable(path: Path) -> bool:
    return _places([path]) == () or os.access(path, os.R_OK | os.X_OK)


def _glob(folder: Path, pattern: str) -> list[Path]:
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []


def _python_paths() -> tuple[Path, ...]:
    """Return the interpreter, and the folders of its library and its packages."""
    libraries = dict.fromkeys(
        sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
    )
    return (Path(sys.executable), *map(Path, libraries))


def _reached(path: Path) -> Iterator[Place]:
    """Yield a path with the folders above it, and the same for each step of a symbolic link."""
    for _ in range(_LINKS):
        # (A link itself is replaced through its folder only.)
        here = [path.parent.resolve(), *path.parent.resolve().parents]
        with contextlib.suppress(OSError):
            yield from _places(here if path.is_symlink() else [path, *here]) or ()
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()


def _loose(top: Path) -> Iterator[Place]:
    """Yield what other users can change or own in a folder of code, also through its links."""
    # A wheel's package has none of them: then it is walked itself.
    for start in [top / name for name in _CODE if (top / name).exists()] or [top]:
        for folder, names, files in _walk(start):
            for name in (*names, *files):
                with contextlib.suppress(OSError):
                    yield from _loose_places(f"{folder}/{name}")


def _loose_places(path: str) -> Iterator[Place]:
    # (There are thousands of these, so most never become a Path.)
    found = os.lstat(path)
    if stat.S_ISLNK(found.st_mode):
        yield from (place for place in _reached(Path(path)) if place.mode & 0o022 or place.uid)
    elif found.st_mode & 0o022 or found.st_uid:
        yield _place(Path(path))


def _walk(start: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    yield str(start.parent), [], [start.name]
    yield from os.walk(start)


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"the user {uid}"


def _members(gid: int) -> tuple[str, ...]:
    try:
        listed = set(grp.getgrgid(gid).gr_mem)
    except KeyError:
        return ()
    listed |= {entry.pw_name for entry in pwd.getpwall() if entry.pw_gid == gid}
    return tuple(sorted(listed - {"root"}))
