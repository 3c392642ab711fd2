"""Drops the capabilities of root (capabilities(7)) that the root worker does not need, for good.

It keeps CAP_NET_ADMIN and CAP_NET_RAW for iptables, ipset and conntrack, and CAP_SYS_ADMIN only if the
rehearsal cannot have its scratch namespace without it. Call it before a second thread starts, because
capabilities belong to a thread.
"""

from __future__ import annotations

import ctypes
import logging
import os
import re
from pathlib import Path

from dockerfw.host.runner import Command, CommandFailed, run

logger = logging.getLogger("dockerfw.privileges")

NOBODY = 65534

CAP_NET_ADMIN = 12
CAP_NET_RAW = 13
CAP_SETPCAP = 8
CAP_SYS_ADMIN = 21
NEEDED = frozenset({CAP_NET_ADMIN, CAP_NET_RAW})

AS_ROOT = ("unshare", "--net")
# Without a map, because mapping root itself needs CAP_SETFCAP (user_namespaces(7)).
AS_ORDINARY_USER = ("unshare", "--user", "--keep-caps", "--net")
PROBE_SECONDS = 10.0

# linux/prctl.h and linux/capability.h
_PR_CAPBSET_READ = 23
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_PR_CAP_AMBIENT = 47
_PR_CAP_AMBIENT_CLEAR_ALL = 4
_CAPABILITY_VERSION_3 = 0x20080522
_MOST_CAPABILITIES = 64

_LIBC = ctypes.CDLL(None, use_errno=True)


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Data(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


def drop_privileges() -> frozenset[int]:
    """Drop all capabilities but those that the root worker needs, for good, and return the remaining ones.

    An ordinary user's process has none and keeps none. Raises OSError.
    """
    keep = NEEDED if _user_namespace_works() else NEEDED | {CAP_SYS_ADMIN}
    kept = keep_only(keep)
    if CAP_SYS_ADMIN in kept:
        logger.info("this machine forbids user namespaces: rehearsals need CAP_SYS_ADMIN, which is kept")
    return kept


def keep_only(wanted: frozenset[int]) -> frozenset[int]:
    """Drop all capabilities but those wanted, for this process and its children; return the remaining ones.

    Children gain none, not even from a set-user-ID program: no_new_privs is set. Raises OSError.
    """
    kept = wanted & capabilities()
    _lower_bound(kept)
    _prctl(_PR_CAP_AMBIENT, _PR_CAP_AMBIENT_CLEAR_ALL)
    _set(kept)
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)
    return kept


def become_nobody() -> None:
    """Give up root's account and every capability, for good. Raises OSError.

    In a user namespace without other users the account stays; there it is no more than the user who made it.
    """
    _lower_bound(frozenset())
    if os.geteuid() == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
        except OSError:
            if _is_root_of_machine():
                raise
    keep_only(frozenset())


def _lower_bound(kept: frozenset[int]) -> None:
    # A sandbox may forbid lowering the bound; no_new_privs holds all the same.
    if CAP_SETPCAP in capabilities():
        for number in range(_MOST_CAPABILITIES):
            if number not in kept and _in_bound(number):
                _prctl(_PR_CAPBSET_DROP, number)


def _is_root_of_machine() -> bool:
    return Path("/proc/self/uid_map").read_text().split() == ["0", "0", str(2**32 - 1)]


def capabilities() -> frozenset[int]:
    """Return the capabilities that this process can use now. Raises OSError."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)$", Path("/proc/thread-self/status").read_text(), re.MULTILINE)
    mask = int(found[1], 16) if found else 0
    return frozenset(number for number in range(_MOST_CAPABILITIES) if mask >> number & 1)


def scratch_namespace() -> tuple[str, ...]:
    """Return the command prefix for an empty network namespace in which a command may load rules."""
    return AS_ROOT if CAP_SYS_ADMIN in capabilities() else AS_ORDINARY_USER


def _user_namespace_works() -> bool:
    """Try one in a child without CAP_SYS_ADMIN: under Ubuntu's AppArmor it can be made, but not used."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            keep_only(NEEDED)
            run(Command((*AS_ORDINARY_USER, "ip", "link", "set", "lo", "up"), seconds=PROBE_SECONDS))
            status = 0
        except (CommandFailed, OSError) as error:
            logger.info("no user namespace: %s", error)
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _set(kept: frozenset[int]) -> None:
    header = _Header(_CAPABILITY_VERSION_3, 0)
    mask = sum(1 << number for number in kept)
    data = (_Data * 2)()
    for part, word in enumerate((mask & 0xFFFFFFFF, mask >> 32)):
        data[part].effective = data[part].permitted = word
    if _LIBC.capset(ctypes.byref(header), ctypes.byref(data)) != 0:
        raise OSError(ctypes.get_errno(), "capset: " + os.strerror(ctypes.get_errno()))


def _in_bound(number: int) -> bool:
    # -1 for a number that this kernel does not know.
    return _call_prctl(_PR_CAPBSET_READ, number) == 1


def _prctl(option: int, argument: int) -> None:
    if _call_prctl(option, argument) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}): " + os.strerror(ctypes.get_errno()))


def _call_prctl(option: int, argument: int) -> int:
    # The kernel reads whole registers, also for arguments that have to be 0.
    none = ctypes.c_ulong(0)
    return int(_LIBC.prctl(option, ctypes.c_ulong(argument), none, none, none))
