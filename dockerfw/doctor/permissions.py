"""Judge who may read and change what: root's state, the web side's data, secrets, the code, Docker."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown

ROOT: Final = 0
# Bits of a mode, as stat(2) has them: module stat is not among the pure ones.
STICKY: Final = 0o1000
GROUP_WRITES: Final = 0o020
OTHERS_WRITE: Final = 0o002


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder as lstat(2) tells of it; `owner` is the user's name."""

    path: str
    uid: int
    gid: int
    mode: int
    owner: str


@dataclass(frozen=True, slots=True)
class PermissionFacts:
    """The places, None where they could not be looked at, empty where there are none.

    `state` and `code` begin with the folder and go up to the root of the file system; `code_inside` are
    files of the code that others than their owner may change. `root_runs` says that the root worker is root.
    `docker_members` are who else is in the group that owns Docker's socket.
    """

    state: Sequence[Place] | None
    data: Sequence[Place] | None
    secret_key: Sequence[Place] | None
    users_acl: Sequence[Place] | None
    env_files: Sequence[Place] | None
    code: Sequence[Place]
    code_inside: Sequence[Place]
    root_runs: bool
    docker_socket: Place | None
    docker_members: Sequence[str] = ()


def judge_permissions(facts: PermissionFacts) -> Iterator[Finding]:
    """Judge all of them."""
    yield _state(facts.state, root_runs=facts.root_runs)
    yield _private("permissions.data", "the data directory", facts.data)
    yield _private("permissions.secret-key", "the secret key's file", facts.secret_key)
    # A group may read these: that of the service whose they are, which may own nothing.
    yield _private("permissions.users-acl", "the file of Redis' users", facts.users_acl, wide=0o027)
    yield _private("permissions.env-files", "the files with Redis' passwords", facts.env_files, wide=0o027)
    yield _code(facts)
    yield _docker(facts)


def _state(places: Sequence[Place] | None, *, root_runs: bool) -> Finding:
    check = "permissions.state"
    if places is None:
        return unknown(check, "only root can look")
    if not places:
        return problem(check, "There is no state directory.", "systemctl restart dockerfw-root")
    own, above = places[0], places[1:]
    if root_runs and own.uid != ROOT:
        text = f"The state directory {own.path} belongs to {own.owner}, and root works in it."
        return problem(check, text, f"chown -R root:root {own.path}")
    if own.mode & 0o077:
        return problem(check, f"Others may look into {own.path}.", f"chmod 700 {own.path}")
    for place in above:
        if place.uid not in (ROOT, own.uid):
            text = f"{place.path}, above the state directory, belongs to {place.owner}, who can replace it."
            return problem(check, text, f"chown root {place.path}")
        # In a sticky folder nobody can move away what is somebody else's.
        if place.mode & 0o022 and not place.mode & STICKY:
            text = f"Others can write to {place.path}, above the state directory, and so replace it."
            return problem(check, text, f"chmod go-w {place.path}")
    return ok(check, f"{own.path} is for its owner alone.")


def _private(check: str, what: str, places: Sequence[Place] | None, *, wide: int = 0o077) -> Finding:
    if places is None:
        return unknown(check, "only root, or their owner, can look")
    if not places:
        return ok(check, f"{what[0].upper()}{what[1:]}: there is none here.")
    for place in places:
        if place.mode & wide:
            text = f"Others than {place.owner} may use {place.path}, {what}."
            return problem(check, text, f"chmod {'go-rwx' if wide == 0o077 else 'g-w,o-rwx'} {place.path}")
    names = ", ".join(place.path for place in places)
    return ok(check, f"{names}: not for others.")


def _code(facts: PermissionFacts) -> Finding:
    check = "permissions.code"
    if not facts.root_runs:
        return ok(check, "Root runs none of this code.")
    places = [*facts.code, *facts.code_inside]
    for place in places:
        others = OTHERS_WRITE if place.gid == ROOT else OTHERS_WRITE | GROUP_WRITES
        if place.mode & others and not place.mode & STICKY:
            text = f"Root runs this code, and others can change {place.path}: they can become root."
            return problem(check, text, f"chmod -R go-w {place.path}")
    owners = _names(place for place in places if place.uid != ROOT)
    if owners:
        text = f"Root runs this code, and {owners} can change it: who is {owners} can become root."
        return note(check, text, f"chown -R root:root {facts.code[0].path}, if that is not meant")
    return ok(check, "Only root can change the code that root runs.")


def _docker(facts: PermissionFacts) -> Finding:
    check, socket = "permissions.docker-socket", facts.docker_socket
    if socket is None:
        return ok(check, "There is no Docker socket here.")
    if socket.mode & 0o006:
        text = f"Everybody may use {socket.path}, and so become root."
        return problem(check, text, f"chmod 660 {socket.path}")
    if socket.mode & 0o060 and socket.gid != ROOT and facts.docker_members:
        text = f"{', '.join(facts.docker_members)} may use {socket.path}, which is as good as being root."
        return note(check, text, "gpasswd -d NAME docker, for whom that is not meant")
    return ok(check, f"{socket.path} is for root.")


def _names(places: Iterable[Place]) -> str:
    return ", ".join(sorted({place.owner for place in places}))
