"""Show or remove dockerfw's rules in the kernel: `python -m scripts.installation.kernel show|remove`.

`show` prints the commands that remove them, one on each line. `remove` does what `dockerfw release` does,
which rolls back an open window first, and then removes the chains and the sets. Other rules stay.
"""

from __future__ import annotations

import contextlib
import sys

from dockerfw.agent.panic import NotDone, release
from dockerfw.chains.names import PANIC, own_chains
from dockerfw.chains.panic import find_anchors
from dockerfw.host.backend import program
from dockerfw.host.bound_sets import SetsFailed, destroy_bound_sets, list_bound_sets
from dockerfw.host.errors import HostError
from dockerfw.host.loading import load
from dockerfw.host.reading import look
from dockerfw.host.static_sets import destroy_static_sets, list_static_sets
from dockerfw.iptables.errors import NetfilterError
from dockerfw.iptables.model import Ruleset
from dockerfw.store.state import StateDirectory
from scripts.installation.places import STATE


def main(step: str) -> int:
    """Run one of the two steps; 0 when done, 1 with a sentence when not."""
    try:
        if step == "show":
            return _show()
        if STATE.is_dir():
            for note in release(StateDirectory(STATE)).notes:
                print(f"dockerfw: {note}", file=sys.stderr)
        _remove_chains()
    except NotDone as error:
        print(f"dockerfw: {error}", file=sys.stderr)
        return 1
    except (HostError, NetfilterError, OSError) as error:
        print(f"dockerfw: the chains could not be removed: {error}", file=sys.stderr)
        return 1
    return 0


def _show() -> int:
    seen = look()
    for family, live in seen.rulesets.items():
        words = program(seen.backend, family)
        for _, rule in find_anchors(live):
            print(f"{words} -D {rule.text[3:]}")
        chains = _chains(live)
        for option in ("-F", "-X"):
            for chain in chains:
                print(f"{words} {option} {chain}")
    # Without ipset there are none.
    with contextlib.suppress(SetsFailed):
        for name in (*list_bound_sets(), *list_static_sets()):
            print(f"ipset destroy {name}")
    return 0


def _remove_chains() -> None:
    seen = look()
    for family, live in seen.rulesets.items():
        if chains := _chains(live):
            calls = [f"-D {rule.text[3:]}" for _, rule in find_anchors(live)]
            lines = [*(f":{chain} - [0:0]" for chain in chains), *calls, *(f"-X {chain}" for chain in chains)]
            load(seen.backend, family, "\n".join(["*filter", *lines, "COMMIT", ""]))
    # Without ipset there are none.
    with contextlib.suppress(SetsFailed):
        destroy_bound_sets(list_bound_sets())
        destroy_static_sets()


def _chains(live: Ruleset) -> list[str]:
    panic = (PANIC,) if live.chain("filter", PANIC) is not None else ()
    return [*own_chains(live), *panic]


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
