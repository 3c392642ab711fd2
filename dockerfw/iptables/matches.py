"""A reader that splits the words of a rule into matches and a target.

It knows the form of the language, not its meaning: it keeps unknown modules and options with their words.
canonical.py compares spellings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dockerfw.iptables import sentences
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
    "--set-counters": "-c",
}
"""Long names of the options that every rule has, and the short ones that iptables-save prints."""

_GENERAL = frozenset(["-s", "-d", "-p", "-i", "-o", "-f", "-c"])
_ATTACHABLE = frozenset(["-s", "-d", "-p", "-i", "-o", "-j", "-g", "-m"])

# The value of these is text whose first word can look like an option: iptables-save prints "-j" unquoted.
_TEXT = frozenset(
    {
        *("--comment", "--log-prefix", "--nflog-prefix", "--ulog-prefix", "--string", "--hex-string"),
        *("--helper", "--name", "--label", "--led-trigger-id", "--hashlimit-name", "--nfacct-name"),
        *("--rateest-name", "--rateest", "--rateest1", "--rateest2", "--path", "--selctx", "--u32"),
        *("--bytecode", "--object-pinned"),
    }
)

# The module that iptables loads for an option directly after `-p`.
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
    """The options of one `-m module`; module None stands for the general options, such as -s."""

    module: str | None
    options: tuple[Option, ...]

    def option(self, name: str) -> Option | None:
        """Return the first option with this name, or None."""
        return next((option for option in self.options if option.name == name), None)


@dataclass(frozen=True, slots=True)
class Target:
    """Where the packet goes: `-j name`, or `-g name` if `goto`, and the options of the target."""

    name: str
    goto: bool
    options: tuple[Option, ...]


def read_matches(words: Sequence[str]) -> tuple[tuple[Match, ...], Target | None]:
    """Read the words after `-A CHAIN`. Any words have a reading, so this never raises.

    rule = { [ "!" ] general | "-m" module { option } | ("-j" | "-g") target { option } }
    """
    reader = _Reader(words)
    reader.read()
    return reader.matches(), reader.target()


def rule_problem(words: Sequence[str]) -> tuple[int, str] | None:
    """Return the first error in the words after `-A CHAIN` as word index and message, or None."""
    reader = _Reader(words)
    reader.read()
    return reader.problem


def is_option(word: str) -> bool:
    """Return True if a word is an option: `-x` or `--name`, outside quotes."""
    return word[:1] == "-" and len(word) > 1 and not word[1].isdigit() and not isinstance(word, Quoted)


class _Reader:
    """Reads the words once; `problem` is the first error that iptables would report."""

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
                self._record_problem(self.position, sentences.stray_word(word))
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
        if name == "-p" and word.startswith("--proto") and not word.startswith("--protocol"):
            # The match policy has an option of this name.
            name = "--proto" if any(module == "policy" for module, _ in self.groups) else name
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
            self._record_problem(start, sentences.negation_not_allowed(name))
        if name == "-m":
            self.current = []
            self.groups.append((value, self.current))
            return
        if self.verdict is not None:
            self._record_problem(start, sentences.SECOND_TARGET)
        self.current = []
        self.verdict = (value, name == "-g", self.current)

    def _word_after(self, start: int, name: str) -> str:
        if self.position == len(self.words):
            self._record_problem(start, sentences.missing_name(name))
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
        """Return True if an option follows the `!` here; a `!` at the end of the rule is an error."""
        if isinstance(self.words[self.position], Quoted):
            return False
        if self.position + 1 == len(self.words):
            self._record_problem(self.position, sentences.NO_OPTION_AFTER_NEGATION)
            return False
        return is_option(self.words[self.position + 1])

    def _old_negation(self) -> bool:
        """Skip the `!` of the old form `-s ! address`, and return True if there was one."""
        if self.position + 1 >= len(self.words) or self.words[self.position] != "!":
            return False
        if isinstance(self.words[self.position], Quoted) or is_option(self.words[self.position + 1]):
            return False
        self.position += 1
        return True

    def _implied_module(self) -> str | None:
        protocol = next((option for option in reversed(self.general) if option.name == "-p"), None)
        return implied_module(protocol.values[0]) if protocol and protocol.values else None

    def _record_problem(self, index: int, message: str) -> None:
        if self.problem is None:
            self.problem = (index, message)


def implied_module(protocol: str) -> str:
    """Return the match that iptables loads for a protocol, given by name or number."""
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
