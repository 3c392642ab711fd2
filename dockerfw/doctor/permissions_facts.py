"""Read owners and modes of files and folders with lstat(2); no file is opened."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

from dockerfw.doctor.permissions import PermissionFacts, Place

DOCKER_SOCKETS = (Path("/run/docker.sock"), Path("/var/run/docker.sock"))
_CODE = ("manage.py", "dockerfw", "rules", "dockerfw_site", "scripts", "deploy", "templates", ".venv")
_MOST = 20


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
        code=_with_above(code) or (),
        code_inside=tuple(_loose(code)) if root_runs else (),
        root_runs=root_runs,
        docker_socket=found[0] if found else None,
        docker_members=_members(found[0].gid) if found else (),
        no_dashboard=no_dashboard,
    )


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


def _loose(code: Path) -> Iterator[Place]:
    """Yield the first few files and folders of the code that other users can change or own."""
    count = 0
    # A wheel's package has none of them: then it is walked itself.
    for top in [name for name in _CODE if (code / name).exists()] or [""]:
        for folder, names, files in _walk(code, top):
            for name in (*names, *files):
                path = Path(folder, name)
                with contextlib.suppress(OSError):
                    place = _place(path)
                    if path.is_symlink() or not (place.mode & 0o022 or place.uid):
                        continue
                    yield place
                    count += 1
                    if count == _MOST:
                        return


def _walk(code: Path, top: str) -> Iterator[tuple[str, list[str], list[str]]]:
    yield str(code), [], [top]
    yield from os.walk(code / top)


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
