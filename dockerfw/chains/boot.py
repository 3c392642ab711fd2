"""The files that a host loads before its network comes up: restore texts, maybe ipsets, and a shell script.

They hold only dockerfw's chains: Docker has not started yet and creates its own later. Loading them twice
changes nothing. If the rules cannot be loaded, the script refuses everything and reports it.
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Final

from dockerfw.chains.bound_sets import bound_set, follows_host, render_creation
from dockerfw.chains.names import sort_chains
from dockerfw.chains.render import wanted_chains, written_order
from dockerfw.document.values import Document
from dockerfw.iptables.model import FAMILIES, Backend, Family

RULES_V4: Final = "rules.v4"
RULES_V6: Final = "rules.v6"
STATIC_SETS: Final = "sets"
"""Only a revision whose rules match static sets has this file, the text of `filling_text`."""


LISTS: Final = "lists"
"""The folder beside the boot files with the texts of the sets of lists, which change without a revision."""
LISTS_ENDING: Final = ".ipset"


def render_boot_rules(document: Document, family: Family, revision: int) -> str:
    """Return the restore text of dockerfw's chains, without anchors: rules.v4 or rules.v6."""
    return render_boot_chains(wanted_chains(document, family, revision))


def render_boot_chains(chains: Mapping[str, Sequence[str]]) -> str:
    """Return the restore text of these rules of dockerfw's chains, each without `-A CHAIN`."""
    lines = ["*filter", *(f":{name} - [0:0]" for name in sort_chains(chains))]
    for chain in written_order(chains):
        lines += [f"-A {chain} {line}" for line in chains[chain]]
    return "\n".join([*lines, "COMMIT", ""])


def render_boot_script(
    backend: Backend,
    external_interfaces: Sequence[str],
    directory: str,
    own_jumps: Collection[Family] = (),
    sets: Collection[str] = (),
    static_sets: bool = False,
    logs: bool = False,
) -> str:
    """Return the shell script that loads rules.v4 and rules.v6 from `directory` and places the anchors.

    `own_jumps` are the families that need jumps of dockerfw's own in FORWARD, and `sets` the bound sets that
    the rules name. With `static_sets` there is a file of static sets to load before the rules. With `logs`
    the rules have log lines, without which they are loaded on a kernel that cannot log.
    It may run at any time, any number of times. It exits with status 1 if a family could not be loaded. That
    family is then closed: only loopback and established connections are allowed.
    """
    programs = [f"{_PROGRAMS[family]}-{backend}" for family in sorted(own_jumps)]
    fill = "" if all(map(follows_host, sets)) else _FILL
    making_sets = _SETS.format(cases="".join(_set_cases(backend, sets)), fill=fill) if sets else ""
    return _SCRIPT.format(
        backend=backend,
        directory=shlex.quote(directory),
        interfaces=" ".join(shlex.quote(name) for name in external_interfaces) or "",
        own_jumps=_OWN_JUMPS.format(programs="|".join(programs)) if programs else "",
        functions=making_sets + (_STATIC_SETS if static_sets else "") + (_RESTORE if logs else ""),
        restoring='restore "$1" "$2"' if logs else '"$1-restore" -w 10 -n <"$directory/$2"',
        make_sets=("static_sets && " if static_sets else "") + ('sets "$1" && ' if sets else ""),
    )


def _set_cases(backend: Backend, sets: Collection[str]) -> Iterator[str]:
    """Yield the part of the script that creates each family's sets; those that exist keep their members."""
    for family in FAMILIES:
        names = sorted(name for name in sets if bound_set(name).family == family)
        commands = [f"            {_creating(name)} || return 1\n" for name in names]
        commands += [f"            fill {name}\n" for name in names if not follows_host(name)]
        yield f"        {_PROGRAMS[family]}-{backend})\n{''.join(commands)}            ;;\n" if names else ""


def _creating(name: str) -> str:
    """Return the command that creates a set; one that exists for a list may have another size."""
    (line,) = render_creation([name]).splitlines()
    return line if follows_host(name) else f"ipset -terse list {name} >/dev/null 2>&1 || {line}"


_PROGRAMS: Final[Mapping[Family, str]] = {4: "iptables", 6: "ip6tables"}

# A script without own jumps is the same as in earlier releases, so that an upgrade makes no difference.
_OWN_JUMPS: Final = """\
        # Docker did not call DOCKER-USER from FORWARD here, so FORWARD gets a jump of our own.
        case "$1" in {programs})
            "$1" -w 10 -C FORWARD -j DOCKER-USER 2>/dev/null ||
                ensure "$1" FORWARD -i "$interface" -j FILTERS-CONTAINERS || return 1
        esac
"""
# Empty until the root worker fills them: Docker gives out its addresses anew at each start.
_SETS: Final = """\
# create SET TYPE...: create an ipset; one that exists keeps its members.
create() {{
    ipset -exist create "$@" && return 0
    say "the ipset $1 could not be created. Is ipset installed, and the kernel's ip_set there?"
    return 1
}}

{fill}# sets TABLES: create the ipsets that the rules name.
sets() {{
    case "$1" in
{cases}    esac
}}

"""
_FILL: Final = f"""\
# fill SET: give the ipset of a list its last accepted contents. Without them it stays empty.
fill() {{
    file="${{directory%/*}}/{LISTS}/$1{LISTS_ENDING}"
    [ -r "$file" ] || return 0
    ipset -exist restore <"$file" || say "$file could not be loaded: the ipset $1 is empty or as it was."
}}

"""
_STATIC_SETS: Final = """\
# static_sets: create and fill the ipsets of sources, once; one that exists gets its contents in one step.
filled=
static_sets() {
    if [ -z "$filled" ]; then
        ipset -exist restore <"$directory/sets"
        filled=$?
    fi
    [ "$filled" = 0 ] && return 0
    say "$directory/sets could not be loaded. Is ipset installed, and the kernel's ip_set there?"
    return 1
}

"""
_RESTORE: Final = """\
# restore TABLES FILE: load the rules, without the lines that only log where this kernel cannot do that.
restore() {
    "$1-restore" -w 10 -n <"$directory/$2" && return 0
    grep -v -e ' -j NFLOG ' "$directory/$2" | "$1-restore" -w 10 -n || return 1
    say "$directory/$2 is loaded with $1-restore without the lines that log refused packets."
}

"""
_SCRIPT: Final = """\
#!/bin/sh
# Written by dockerfw with each confirmed revision; changes made here are lost.
# Loads dockerfw's own chains and calls them first from INPUT and DOCKER-USER. Run it as often as you like.
set -u
umask 077
PATH=/usr/sbin:/usr/bin:/sbin:/bin

directory={directory}
status=0

say() {{
    echo "dockerfw: $*" >&2
}}

# ensure TABLES CHAIN RULE...: insert a rule on top of a chain unless the chain has it.
ensure() {{
    tables=$1
    chain=$2
    shift 2
    "$tables" -w 10 -C "$chain" "$@" 2>/dev/null || "$tables" -w 10 -I "$chain" 1 "$@"
}}

# anchors TABLES: call our chains; DOCKER-USER is made when Docker has not run yet, and is never flushed.
anchors() {{
    ensure "$1" INPUT -j FILTERS-HOST || return 1
    for interface in {interfaces}; do
        "$1" -w 10 -n -L DOCKER-USER >/dev/null 2>&1 || "$1" -w 10 -N DOCKER-USER || return 1
        ensure "$1" DOCKER-USER -i "$interface" -j FILTERS-CONTAINERS || return 1
{own_jumps}    done
}}

{functions}# close TABLES: our chains refuse everything but loopback and what is established already.
close() {{
    for chain in FILTERS-HOST FILTERS-CONTAINERS; do
        "$1" -w 10 -N "$chain" 2>/dev/null
        "$1" -w 10 -F "$chain" || return 1
        "$1" -w 10 -A "$chain" -i lo -j RETURN || return 1
        "$1" -w 10 -A "$chain" -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN || return 1
        "$1" -w 10 -A "$chain" -j DROP || return 1
    done
    anchors "$1"
}}

# load TABLES FILE: load the rules and the anchors, or close.
load() {{
    if {make_sets}{restoring} && anchors "$1"; then
        return 0
    fi
    status=1
    if close "$1"; then
        say "$directory/$2 could not be loaded with $1-restore (its words are above)."
        say "Everything but loopback and established connections is refused now; apply a revision to open up."
    else
        say "$directory/$2 could not be loaded with $1-restore, and $1 could not close the host either."
        say "THIS HOST IS NOT PROTECTED by dockerfw. Is iptables installed, and the kernel's netfilter there?"
    fi
}}

# Docker sets this policy itself when it starts; until then nothing shall be forwarded.
if ! iptables-{backend} -w 10 -P FORWARD DROP; then
    status=1
    say "the policy of FORWARD could not be set to DROP."
fi
load iptables-{backend} rules.v4
if [ -e /proc/sys/net/ipv6 ]; then
    load ip6tables-{backend} rules.v6
else
    say "this kernel has no IPv6: rules.v6 is not needed."
fi
exit "$status"
"""
