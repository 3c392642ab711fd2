"""The errors of reading iptables text. A ParseError adds the line, the column and the text around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

QUOTE_NOT_CLOSED: Final = "the double quote that opens here is never closed"
BLANK_AFTER_QUOTE: Final = "a closing double quote must be followed by a blank"
LONE_SURROGATE: Final = "this is half a character (a lone surrogate)"
NUL_BYTE: Final = "rules cannot contain a NUL byte"

LINE_START: Final = "a line must start with #, *, :, -A or [, or be COMMIT"
TABLE_NAME_ONLY: Final = "write * and the name of a table, and nothing else"
CHAIN_FORM: Final = "write a chain as :INPUT ACCEPT [0:0] or :NAME - [0:0]"
CHAIN_OUTSIDE_TABLE: Final = "a chain must be below the line of its table, such as *filter"
RULE_OUTSIDE_TABLE: Final = "a rule must be below the line of its table, such as *filter"
LINE_OUTSIDE_TABLE: Final = "this line must be below the line of its table, such as *filter"
COMMIT_OUTSIDE_TABLE: Final = "COMMIT without a table"
RULE_FORM: Final = "write a rule as [0:0] -A CHAIN ... or -A CHAIN ..."
ONE_BLANK_THEN_OPTION: Final = "after the chain, write one blank and an option (-s, ! -s, ...)"
OPTION_AFTER_CHAIN: Final = "after the chain, write an option (-s, ! -s, ...)"
NO_OPTION_AFTER_NEGATION: Final = "! needs an option after it"
SECOND_TARGET: Final = "a rule has only one -j or -g"
MISSING_COMMAND: Final = "a command such as -A is missing"
NO_SUCH_POLICY: Final = "-P needs a built-in chain and ACCEPT or DROP"
BAD_RENAME: Final = "-E needs a chain that is not built in, and a new name that is not taken"
RENAME_NOT_SUPPORTED: Final = (
    "cannot rename a chain that has rules or is the target of rules: not supported here"
)
ONE_ADDRESS_FOR_REPLACE: Final = "-R takes only one address after -s and -d"


def known_tables(tables: Iterable[str]) -> str:
    """The name of a table is not known."""
    return f"write * and the name of a table: {', '.join(tables)}"


def known_commands(commands: Iterable[str]) -> str:
    """A line of a restore file does not start with a command."""
    return f"a line must start with one of {' '.join(commands)}, :, * or #, or be COMMIT"


def no_commit_at_end(table: str) -> str:
    """The text ends inside a table."""
    return f"table {table} has no COMMIT: the text is cut off"


def no_commit_before(table: str) -> str:
    """A table starts inside another one."""
    return f"table {table} has no COMMIT yet"


def duplicate_table(table: str) -> str:
    """A save has a table twice."""
    return f"table {table} appears twice"


def duplicate_chain(chain: str) -> str:
    """A table of a save has a chain twice."""
    return f"chain {chain} is declared twice"


def chain_not_declared(chain: str) -> str:
    """A rule of a save is in a chain without a `:CHAIN` line."""
    return f"chain {chain} was not declared"


def no_chain(chain: str, table: str) -> str:
    """A command names a chain that does not exist at this line."""
    return f"there is no chain {chain} in table {table} at this line"


def chain_exists(chain: str) -> str:
    """-N names a chain that exists."""
    return f"chain {chain} already exists"


def builtin_chain(chain: str) -> str:
    """-X names a built-in chain."""
    return f"chain {chain} is built in and cannot be removed"


def chain_in_use(chain: str) -> str:
    """-X names a chain with rules, or one that is the target of rules."""
    return f"chain {chain} has rules or is the target of rules, and cannot be removed"


def policy_of_own_chain(chain: str) -> str:
    """A chain that is not built in has a policy."""
    return f"{chain} is not built in, so its policy must be -"


def bad_chain_name(limit: int) -> str:
    """The name of a chain has a form that iptables refuses."""
    return f"a chain name has at most {limit} bytes and starts with neither - nor !"


def missing_chain(command: str) -> str:
    """A command needs the name of a chain."""
    return f"{command} needs the name of a chain after it"


def no_rule_number(chain: str) -> str:
    """A command names the number of a rule that does not exist."""
    return f"{chain} has no rule with this number"


def no_such_rule(chain: str) -> str:
    """-D names a rule that does not exist at this line."""
    return f"{chain} has no such rule at this line"


def too_many_rules(limit: int) -> str:
    """The commands up to this line make too many rules."""
    return f"the lines up to this one make more than {limit} rules"


def stray_word(word: str) -> str:
    """A word that is neither an option nor its value."""
    return f"{word} belongs to no option"


def negation_not_allowed(option: str) -> str:
    """! before -m, -j or -g."""
    return f"! cannot stand before {option}"


def missing_name(option: str) -> str:
    """-m, -j or -g at the end of a rule."""
    return f"{option} needs a name after it"


# Rules that a save does not print

LEGACY_NOT_PRINTED: Final = (
    "iptables-legacy holds rules too, which iptables-nft-save does not print, and packets pass both"
)


def table_not_printed(table: str, *, whole: bool) -> str:
    """Say that iptables-save cannot print a table, or some of its base chains, because nft changed it."""
    what = f"the table {table}" if whole else f"all chains of the table {table}"
    return f"iptables-save cannot print {what}, because a program changed it with nft"


def table_printed_wrongly(table: str, *, certain: bool = True) -> str:
    """Say that iptables-save prints, or may print, rules of a table without some of their conditions."""
    prints = "prints" if certain else "may print"
    return f"iptables-save {prints} rules of nft in the table {table} without their sets or ranges"
