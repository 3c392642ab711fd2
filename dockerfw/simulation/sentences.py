"""The sentences that a simulation shows: what rules ask, what they do, and why a verdict is unknown.

They are parts of a sentence: no capital at the start, no full stop.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

EVERY_PACKET_MATCHES: Final = "every packet matches"
NO_MATCH: Final = "the rule does not match"
LIMIT_NOT_REACHED: Final = "the limit is not reached"
NO_CONNECTION_ALLOWED: Final = "no connection is within the limit"
SOURCE_LISTED: Final = "the source is put on a list"
TIME_OF_DAY: Final = "the time of day (UTC)"
DAY_OF_WEEK: Final = "the day of the week (UTC)"
DAY_OF_MONTH: Final = "the day of the month (UTC)"
NO_EXTENSION_HEADER: Final = "the packet has no extension header"
HOST_ITSELF: Final = "the host itself"
HOST_IF_JOINED: Final = "the host itself, if it is in this multicast group"
UNKNOWN_INTERFACE: Final = "an unknown interface"
UNKNOWN_OWN_ADDRESS: Final = "one of the host's addresses"

ACCEPTED: Final = "accepted"
DROPPED: Final = "dropped"
RETURNED: Final = "returned to the calling chain"
COUNTED: Final = "counted, continues"


def condition_holds(subject: str, value: str) -> str:
    """`source port is 22`"""
    return f"{subject} is {value}"


def condition_fails(subject: str, value: str) -> str:
    """`source port is not 22`"""
    return f"{subject} is not {value}"


def time_not_before(moment: str) -> str:
    """`the time is 2027-01-31 18:00:00 UTC or later`"""
    return f"the time is {moment} or later"


def time_before(moment: str) -> str:
    """`the time is before 2027-01-31 18:00:00 UTC`"""
    return f"the time is before {moment}"


def time_not_after(moment: str) -> str:
    """`the time is 2027-01-31 18:00:00 UTC or earlier`"""
    return f"the time is {moment} or earlier"


def time_after(moment: str) -> str:
    """`the time is after 2027-01-31 18:00:00 UTC`"""
    return f"the time is after {moment}"


def daily_times(first: str, last: str) -> str:
    """`08:00:00 to 17:30:00`"""
    return f"{first} to {last}"


def limit_not_reached(count: int, unit: str, counted: str, first: int | None) -> str:
    """`the limit is not reached: at most 6 a minute from each source, the first 6 at once`"""
    at_once = f", the first {first:,} at once" if first is not None and first > 1 else ""
    return f"{LIMIT_NOT_REACHED}: at most {count:,} {_A_UNIT.get(unit, unit)}{counted}{at_once}"


_A_UNIT: Final = {"second": "a second", "minute": "a minute", "hour": "an hour", "day": "a day"}


def network_length(bits: str) -> str:
    """` /64`, or nothing for single addresses."""
    return f" /{bits}" if bits and bits != "all" else ""


def counted_for(modes: Collection[str], source: str, destination: str) -> str:
    """` from each source /64 to each port`: what has a limit of its own; nothing if all packets share one."""
    words = (
        ("srcip", f" from each source{source}"),
        ("srcport", " from each source port"),
        ("dstip", f" to each destination{destination}"),
        ("dstport", " to each port"),
    )
    return "".join(text for mode, text in words if mode in modes)


def option_matches(option: str) -> str:
    """`-m recent --rcheck matches`"""
    return f"{option} matches"


def option_does_not_match(option: str) -> str:
    """`-m recent --rcheck does not match`"""
    return f"{option} does not match"


def rule_place(number: int, chain: str, table: str) -> str:
    """`rule 2 of INPUT in filter`"""
    return f"rule {number} of {chain} in {table}"


def at_place(place: str, reason: str) -> str:
    """`rule 2 of INPUT in filter: cannot tell ...`"""
    return f"{place}: {reason}"


def rule_effect(conditions: str, action: str) -> str:
    """`destination port is 22: accepted`"""
    return f"{conditions or EVERY_PACKET_MATCHES}: {action}"


def none_of_rules_matches(count: int) -> str:
    """`none of these 1,200 rules matches`"""
    return f"none of these {count:,} rules matches"


def policy_decides(policy: str) -> str:
    """`no rule decided, the policy is DROP`"""
    return f"no rule decided, the policy is {policy}"


def unknown_policy(policy: str, chain: str, table: str) -> str:
    """`the policy QUEUE of INPUT in filter is not supported`"""
    return f"the policy {policy} of {chain} in {table} is not supported"


def cannot_tell_whether(condition: str) -> str:
    """`cannot tell whether source port is 9`"""
    return f"cannot tell whether {condition}"


def cannot_tell_effect(target: str) -> str:
    """`cannot tell what -j NFQUEUE does`"""
    return f"cannot tell what {target} does"


def cannot_tell_translation(target: str) -> str:
    """`cannot tell which address or port -j DNAT --to-destination 10.0.0.1-10.0.0.9 chooses`"""
    return f"cannot tell which address or port {target} chooses"


def and_behind(reason: str, reason_behind: str) -> str:
    """An undecided rule, and the reason why the verdict after it is unknown."""
    return f"{reason}; {reason_behind}"


def if_packet_arrives(effect: str) -> str:
    """An effect of a rule that an earlier undecided rule may keep the packet from."""
    return f"{effect}, if the packet gets here"


def endless_jumps(chain: str, table: str) -> str:
    """`the jumps to LOOP in filter never end`"""
    return f"the jumps to {chain} in {table} never end"


def too_many_paths(chain: str, table: str) -> str:
    """`too many paths lead through INPUT in filter`"""
    return f"too many paths lead through {chain} in {table}"


def no_single_route(destination: str) -> str:
    """`no single route to 10.1.2.3 port 22 is known`"""
    return f"no single route {destination} is known"


def if_joined(destination: str) -> str:
    """`the packet goes to 239.1.2.3 port 5000: it is unknown whether the host is in this multicast group`"""
    return f"the packet goes {destination}: it is unknown whether the host is in this multicast group"


def destination(address: str, port: int | None, *, has_ports: bool) -> str:
    """`to 10.1.2.3 port 22`"""
    return f"to {address}" + (f" port {port or 'unknown'}" if has_ports else "")


def routed(destination: str, route: str) -> str:
    """`to 10.1.2.3 port 22: the host itself`"""
    return f"{destination}: {route}"


def leaves_by(interface: str | None) -> str:
    """`by eth0`"""
    return f"by {interface or UNKNOWN_INTERFACE}"


def translated(effect: str, destination: str) -> str:
    """`destination port is 80: -j DNAT ...: to 10.1.2.3 port 8080`"""
    return f"{effect}: {destination}"


def continues_in(chain: str) -> str:
    """`continues in DOCKER`"""
    return f"continues in {chain}"


def continues_after(target: str) -> str:
    """`LOG, continues`"""
    return f"{target}, continues"


def rejected_with(answer: str) -> str:
    """`rejected with tcp-reset`"""
    return f"rejected with {answer}"


def wrong_family(family: int, subject: str) -> str:
    """`the rules are for IPv4, the packet is not`"""
    return f"the rules are for IPv{family}, the {subject} is not"
