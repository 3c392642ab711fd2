"""Owns how the words of a rule fall into matches and a target.

It knows the shape of the language, not its meaning: a module or option that it has never heard of is kept
with its words. What two spellings have in common is canonical.py's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dockerfw.iptables.tokens import Quoted

BUILTIN_OPTIONS = {
    "--source": "-s",
    "--src": "-s",
    "--destination": "-d",
    "--dst": "-d",
    "--protocol": "-p",
    "--proto": "-p",
    "--in-interface": "-i",
    "--out-interface": "-o",
    "--fragment": "-f",
    "--jump": "-j",
    "--goto": "-g",
    "--match": "-m",
}
"""Long names of the options that every rule has, and the short ones that iptables-save prints."""

_GENERAL = frozenset(["-s", "-d", "-p", "-i", "-o", "-f"])
_ATTACHABLE = frozenset(["-s", "-d", "-p", "-i", "-o", "-j", "-g", "-m"])

# These take a text, whose first word may look like an option: iptables-save leaves "-j" without quotes.
_TEXT = frozenset(
    {
        *("--comment", "--log-prefix", "--nflog-prefix", "--ulog-prefix", "--string", "--hex-string"),
        *("--helper", "--name", "--label", "--led-trigger-id", "--hashlimit-name", "--nfacct-name"),
        *("--rateest-name", "--rateest", "--rateest1", "--rateest2", "--path", "--selctx", "--u32"),
        *("--bytecode", "--object-pinned"),
    }
)

# The module that iptables loads by itself for an option that follows `-p` directly.
_PROTOCOL_MODULES = {
    "1": "icmp",
    "6": "tcp",
    "17": "udp",
    "33": "dccp",
    "50": "esp",
    "51": "ah",
    "58": "icmp6",
    "132": "sctp",
    "135": "mh",
    "icmpv6": "icmp6",
    "ipv6-icmp": "icmp6",
    "ipv6-mh": "mh",
    "mobility-header": "mh",
}


@dataclass(frozen=True, slots=True)
class Option:
    """One option with its words; the general options carry the short name that iptables-save prints."""

    name: str
    negated: bool
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Match:
    """The options of one `-m module`; module None stands for -s, -d, -p, -i, -o and -f."""

    module: str | None
    options: tuple[Option, ...]

    def option(self, name: str) -> Option | None:
        """Return the first option of that name, if there is one."""
        return next((option for option in self.options if option.name == name), None)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the packet goes: `-j name`, or `-g name` when `goto`, and the target's own options."""

    name: str
    goto: bool
    options: tuple[Option, ...]


def read_matches(words: Sequence[str]) -> tuple[tuple[Match, ...], Target | None]:
    """Read what follows `-A CHAIN`; any words at all have a reading, so this never raises.

    rule = { [ "!" ] general | "-m" module { option } | ("-j" | "-g") target { option } }
    """
    reader = _Reader(words)
    reader.read()
    return reader.matches(), reader.target()


def rule_problem(words: Sequence[str]) -> tuple[int, str] | None:
    """Say what iptables would refuse in the words that follow `-A CHAIN`: the word's index and a message."""
    reader = _Reader(words)
    reader.read()
    return reader.problem


def is_option(word: str) -> bool:
    """Say whether a word names an option: `-x` or `--name`, outside quotes."""
    return word[:1] == "-" and len(word) > 1 and not word[1].isdigit() and not isinstance(word, Quoted)


class _Reader:
    """Walks over the words once; `problem` is the first thing that iptables would refuse."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = words
        self.position = 0
        self.problem: tuple[int, str] | None = None
        self.general: list[Option] = []
        self.implied: list[Option] = []
        self.groups: list[tuple[str, list[Option]]] = []
        self.verdict: tuple[str, bool, list[Option]] | None = None
        self.current = self.implied

    def read(self) -> None:
        while self.position < len(self.words):
            word = self.words[self.position]
            negated = word == "!" and self._negation_ahead()
            if negated:
                self.position += 1
                word = self.words[self.position]
            if is_option(word):
                self._read_option(word, negated)
            else:
                self._complain(self.position, f"{word} belongs to no option")
                self.current.append(Option("", negated, (word,)))
                self.position += 1

    def matches(self) -> tuple[Match, ...]:
        found: list[Match] = []
        if self.general:
            found.append(Match(None, tuple(self.general)))
        if self.implied:
            found.append(Match(self._implied_module(), tuple(self.implied)))
        found.extend(Match(module, tuple(options)) for module, options in self.groups)
        return tuple(found)

    def target(self) -> Target | None:
        if self.verdict is None:
            return None
        name, goto, options = self.verdict
        return Target(name, goto, tuple(options))

    def _read_option(self, word: str, negated: bool) -> None:
        """option = name { word } | name "!" { word } | name "=" word | "-x" word-without-a-blank"""
        start = self.position
        self.position += 1
        name, attached = split_attached(word)
        if name in {"-m", "-j", "-g"}:
            value = attached if attached is not None else self._word_after(start, name)
            self._open(start, name, value, negated)
            return
        if attached is not None:
            values: tuple[str, ...] = (attached,)
        else:
            negated = self._old_negation() or negated
            values = self._values(name)
        option = Option(name, negated, values)
        (self.general if name in _GENERAL else self.current).append(option)

    def _open(self, start: int, name: str, value: str, negated: bool) -> None:
        if negated:
            self._complain(start, f"! cannot stand before {name}")
        if name == "-m":
            self.current = []
            self.groups.append((value, self.current))
            return
        if self.verdict is not None:
            self._complain(start, "a rule has only one -j or -g")
        self.current = []
        self.verdict = (value, name == "-g", self.current)

    def _word_after(self, start: int, name: str) -> str:
        if self.position == len(self.words):
            self._complain(start, f"{name} needs a name after it")
            return ""
        self.position += 1
        return self.words[self.position - 1]

    def _values(self, name: str) -> tuple[str, ...]:
        start = self.position
        if name in _TEXT:
            self.position = min(start + 1, len(self.words))
        while self.position < len(self.words):
            word = self.words[self.position]
            if is_option(word) or (word == "!" and self._negation_ahead()):
                break
            self.position += 1
        return tuple(self.words[start : self.position])

    def _negation_ahead(self) -> bool:
        """Say whether the `!` that stands here has an option behind it; alone at the end it is a mistake."""
        if isinstance(self.words[self.position], Quoted):
            return False
        if self.position + 1 == len(self.words):
            self._complain(self.position, "! needs an option after it")
            return False
        return is_option(self.words[self.position + 1])

    def _old_negation(self) -> bool:
        """Step over the `!` of the old `-s ! address`."""
        if self.position + 1 >= len(self.words) or self.words[self.position] != "!":
            return False
        if isinstance(self.words[self.position], Quoted) or is_option(self.words[self.position + 1]):
            return False
        self.position += 1
        return True

    def _implied_module(self) -> str | None:
        protocol = next((option for option in reversed(self.general) if option.name == "-p"), None)
        return implied_module(protocol.values[0]) if protocol and protocol.values else None

    def _complain(self, index: int, message: str) -> None:
        if self.problem is None:
            self.problem = (index, message)


def implied_module(protocol: str) -> str:
    """Name the match that iptables loads by itself for the options of a protocol, by its name or number."""
    return _PROTOCOL_MODULES.get(protocol.lower(), protocol.lower())


def split_attached(word: str) -> tuple[str, str | None]:
    """Split `--name=value` and `-xvalue` into the option's printed name and its value."""
    if len(word) == 2:
        return word, None
    if word[:2] == "--":
        name, equals, value = word.partition("=")
        return BUILTIN_OPTIONS.get(name, name), value if equals else None
    if word[:2] in _ATTACHABLE:
        return word[:2], word[2:]
    return word, None
