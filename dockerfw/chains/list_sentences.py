"""Sentences about lists: what feeds, DNS names and countries stand for."""

from __future__ import annotations

from typing import Final

NOT_A_LIST: Final = "The answer is a web page and not a list of networks. Check the address of the list."
BINARY: Final = "The answer is not text. A list has one network in each line."
EMPTY: Final = "The answer has no networks."
TOO_LARGE: Final = "The list has more than {most} bytes."
TOO_MANY: Final = "The list has more than {most} entries."
NO_ENTRY: Final = (
    "Line {line}, {text!r}, is not a network. A line is an address, a network such as 192.0.2.0/24, or a "
    "range such as 192.0.2.1 - 192.0.2.9."
)

TOO_WIDE: Final = (
    "The list has an IPv{family} network with a prefix of /{found}. An allowance takes no prefix shorter "
    "than /{least}."
)
TOO_MUCH: Final = (
    "The list covers more than half of all IPv{family} addresses. An allowance takes no such feed."
)
TOO_MANY_NAMED: Final = (
    "It has {count} IPv{family} addresses, and DNS names of this number have at most {most}."
)
MISUSED: Final = "This host does not use the list of @{name}: {why}"
EVERYTHING: Final = "The list covers every IPv{family} address."
HALF: Final = "The list covers more than half of all IPv{family} addresses. Accept it to use it."
GROWN: Final = (
    "The IPv{family} addresses grew from {before} to {after}, more than {percent} %. Accept the version to "
    "use it. Until then the former one stays in use."
)
SHRUNK: Final = (
    "The IPv{family} addresses shrank from {before} to {after}, more than {percent} %. The former version "
    "stays in use. Accept the new one if that is right."
)
GONE: Final = "The new version has no networks. The former version stays in use."
