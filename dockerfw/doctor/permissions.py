"""Check permissions: the state directory, the dashboard's data, secrets, the code, and Docker's socket."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown

ROOT: Final = 0
# Bits of a mode, as in stat(2).
STICKY: Final = 0o1000
GROUP_WRITES: Final = 0o020
OTHERS_WRITE: Final = 0o002
CODE: Final = "permissions.code"


@dataclass(frozen=True, slots=True)
class Place:
    """A file or folder as lstat(2) describes it; `owner` is the user's name."""

    path: str
    uid: int
    gid: int
    mode: int
    owner: str


@dataclass(frozen=True, slots=True)
class PermissionFacts:
    """The places, None where they could not be read, empty where they do not exist.

    `state` begins with the folder and goes up to the root of the file system. `code` holds the folders of
    code, packages and interpreter with those above, and the files in them that other users can change.
    `root_runs` is true when the root worker runs as root.
    `docker_members` are the users in the group that owns Docker's socket. `no_dashboard` says why this host
    has no data directory, empty where it has one.
    """

    state: Sequence[Place] | None
    data: Sequence[Place] | None
    secret_key: Sequence[Place] | None
    users_acl: Sequence[Place] | None
    env_files: Sequence[Place] | None
    code: Sequence[Place]
    root_runs: bool
    docker_socket: Place | None
    docker_members: Sequence[str] = ()
    no_dashboard: str = ""


def judge_permissions(facts: PermissionFacts) -> Iterator[Finding]:
    """Judge all of them."""
    yield _state(facts.state, root_runs=facts.root_runs)
    if facts.no_dashboard:
        yield unknown("permissions.data", facts.no_dashboard)
        yield unknown("permissions.secret-key", facts.no_dashboard)
    else:
        yield _private("permissions.data", "the data directory", facts.data)
        yield _private("permissions.secret-key", "the secret key's file", facts.secret_key)
    # The group of the service may read these.
    yield _private("permissions.users-acl", "the file of Redis' users", facts.users_acl, wide=0o027)
    yield _private("permissions.env-files", "the files with Redis' passwords", facts.env_files, wide=0o027)
    yield judge_code(facts.code) if facts.root_runs else ok(CODE, "Root does not run this code.")
    yield _docker(facts)


def judge_code(places: Sequence[Place]) -> Finding:
    """Judge code that root runs: whoever can change it can become root."""
    if not places:
        return unknown(CODE, "needs root")
    for place in places:
        others = OTHERS_WRITE if place.gid == ROOT else OTHERS_WRITE | GROUP_WRITES
        if place.mode & others and not place.mode & STICKY:
            text = f"Root runs this code, and other users can change {place.path}: they can become root."
            return problem(CODE, text, f"chmod -R go-w {place.path}")
    for place in places:
        if place.uid != ROOT:
            text = (
                f"Root runs this code, and {place.owner} can change {place.path}: that user can become root."
            )
            return problem(CODE, text, f"chown -R root:root {place.path}")
    return ok(CODE, "Only root can change the code that root runs.")


def _state(places: Sequence[Place] | None, *, root_runs: bool) -> Finding:
    check = "permissions.state"
    if places is None:
        return unknown(check, "needs root")
    if not places:
        return problem(check, "The state directory does not exist.", "systemctl restart dockerfw-root")
    own, above = places[0], places[1:]
    if root_runs and own.uid != ROOT:
        text = f"The state directory {own.path} belongs to {own.owner}, but root writes to it."
        return problem(check, text, f"chown -R root:root {own.path}")
    if own.mode & 0o077:
        return problem(check, f"Other users can read {own.path}.", f"chmod 700 {own.path}")
    for place in above:
        if place.uid not in (ROOT, own.uid):
            text = f"{place.path}, above the state directory, belongs to {place.owner}, who can replace both."
            return problem(check, text, f"chown root {place.path}")
        # In a sticky folder users cannot move other users' files.
        if place.mode & 0o022 and not place.mode & STICKY:
            text = f"Other users can write to {place.path} and so replace the state directory below it."
            return problem(check, text, f"chmod go-w {place.path}")
    return ok(check, f"Only its owner can use {own.path}.")


def _private(check: str, what: str, places: Sequence[Place] | None, *, wide: int = 0o077) -> Finding:
    if places is None:
        return unknown(check, "needs root, or the owner of the files")
    if not places:
        return ok(check, f"{what[0].upper()}{what[1:]}: not on this host.")
    for place in places:
        if place.mode & wide:
            text = f"Users other than {place.owner} can use {place.path}, {what}."
            return problem(check, text, f"chmod {'go-rwx' if wide == 0o077 else 'g-w,o-rwx'} {place.path}")
    names = ", ".join(place.path for place in places)
    return ok(check, f"{names}: closed to other users.")


def _docker(facts: PermissionFacts) -> Finding:
    check, socket = "permissions.docker-socket", facts.docker_socket
    if socket is None:
        return ok(check, "This host has no Docker socket.")
    if socket.mode & 0o006:
        text = f"Every user can use {socket.path} and so become root."
        return problem(check, text, f"chmod 660 {socket.path}")
    if socket.mode & 0o060 and socket.gid != ROOT and facts.docker_members:
        text = f"{', '.join(facts.docker_members)} can use {socket.path} and so become root."
        return note(check, text, "gpasswd -d NAME docker, for each user that should not")
    return ok(check, f"Only root can use {socket.path}.")
