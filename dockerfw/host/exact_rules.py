"""The generation of nft's rules in which iptables-save printed every rule with all its conditions.

To find that out, the kernel has to list all rules again (native_rules.py), which takes about as long as the
saves. In the same generation there are the same rules, so that one answer holds until a program changes one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from dockerfw.host.clock import boot_id
from dockerfw.host.native_rules import inexact_tables, read_generation
from dockerfw.iptables.model import Family
from dockerfw.version import VERSION

# The last such generation that this process knows of: see `rules_mark`.
_exact = ""


def rules_mark() -> str:
    """Return a mark of boot, network namespace and generation, empty where the kernel does not tell.

    It has dockerfw's version too: a newer one may know more that iptables-save leaves out.
    """
    found = read_generation()
    try:
        return f"{VERSION} {boot_id()} {found[0]} {found[1]}" if found else ""
    except OSError:
        return ""


def exact_mark() -> str:
    """Return the mark of the last generation whose rules were all exact; empty without one."""
    return _exact


def remember_exact(mark: str) -> None:
    """Remember a mark that `exact_mark` returned, perhaps in another process."""
    global _exact
    _exact = mark


@contextmanager
def inexact_beside(
    families: Sequence[Family],
) -> Iterator[Callable[[], Mapping[Family, frozenset[str] | None]]]:
    """Find the tables with inexact rules, None where they are unknown, while the block reads the saves.

    What it yields is to be called after that: an answer from memory holds if no rule has changed since.
    """
    before = rules_mark()
    if before and before == _exact:
        yield lambda: _still_exact(before, families)
        return
    with ThreadPoolExecutor(len(families)) as pool:
        listed = {family: pool.submit(inexact_tables, family) for family in families}

        def result() -> Mapping[Family, frozenset[str] | None]:
            found = {family: tables.result() for family, tables in listed.items()}
            if all(tables == frozenset() for tables in found.values()) and before == rules_mark():
                remember_exact(before)
            return found

        yield result


def _still_exact(before: str, families: Sequence[Family]) -> Mapping[Family, frozenset[str] | None]:
    if rules_mark() == before:
        return dict.fromkeys(families, frozenset())
    return {family: inexact_tables(family) for family in families}


@contextmanager
def exact_load(*, changes_rules: bool) -> Iterator[None]:
    """Go on from one generation to the next where the block's load by iptables itself is all that changed.

    What iptables writes it also prints. A load that `changes_rules` and succeeds raises the generation by
    one at least, so where it is higher by one, no other program has changed a rule meanwhile.
    """
    before = rules_mark() if _exact and changes_rules else ""
    yield
    if before and before == _exact:
        first, _, generation = before.rpartition(" ")
        following = f"{first} {int(generation) + 1}"
        if rules_mark() == following:
            remember_exact(following)
