"""The canonical text of a rule, which is the same for all spellings of the rule.

Rules must not be compared as text: iptables-save prints `-s 10.1.2.3/8` as `10.0.0.0/8`, leaves out options
without effect, and sorts states in its own order. Only the form counts: two rules that match the same packets
for deeper reasons are two rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby

from dockerfw.iptables.extensions import GENERAL, MATCHES, MODULE_ALIASES, ONE_PORT, Extension
from dockerfw.iptables.matches import Option, Target, implied_module, read_matches
from dockerfw.iptables.model import Family, Rule
from dockerfw.iptables.target_extensions import TARGETS
from dockerfw.iptables.tokens import join_tokens, split_tokens


def canonical_rule(rule: Rule, family: Family = 4) -> str:
    """Return a text that is equal for all spellings of the same rule of one family.

    It includes table, chain and comment, but no counters and no line number. Use it to compare rules, not to
    load them.
    """
    return f"{rule.table} {canonical_text(rule.text, family)}"


@lru_cache(maxsize=20_000)
def canonical_text(text: str, family: Family = 4) -> str:
    """Return the canonical form of one `-A CHAIN ...` line without its table. Raises TokenError."""
    words = split_tokens(text)
    matches, target = read_matches(words[2:])
    general = [option for match in matches if match.module is None for option in match.options]
    groups = [_match_group(match.module, match.options) for match in matches if match.module is not None]
    if target is not None:
        groups.append(_target_group(target))
    _move_strays(groups, _protocol(general))
    spelt = [_Group("", general, GENERAL).spell(family), *(group.spell(family) for group in groups)]
    return join_tokens([*words[:2], *_arrange_words(spelt, family)])


@dataclass(frozen=True, slots=True)
class _Group:
    """A match (`-m tcp`), the target (`-j LOG`) or the general options (no head), with its options."""

    head: str
    options: list[Option]
    extension: Extension | None

    def has_option(self, option: Option) -> bool:
        return self.extension is not None and self.extension.has_option(option.name)

    def spell(self, family: Family) -> _Group:
        """Return the group with its options sorted and under their printed names."""
        if self.extension is None:
            return self
        extension = self.extension
        ordered: list[Option] = []
        for _, options in groupby(
            extension.completed(self.options), lambda option: option.name == extension.separator
        ):
            spelt = {found for option in options for found in extension.spell(option, family)}
            ordered += sorted(spelt, key=_option_words)
        return _Group(self.head, ordered, self.extension)

    def words(self) -> list[str]:
        return [*self.head.split(), *(word for option in self.options for word in _option_words(option))]


def _option_words(option: Option) -> list[str]:
    return [*(["!"] if option.negated else []), option.name, *option.values]


def _match_group(module: str, options: Iterable[Option]) -> _Group:
    module = MODULE_ALIASES.get(module, module)
    return _Group(f"-m {module}", list(options), MATCHES.get(module))


def _target_group(target: Target) -> _Group:
    verb = "-g" if target.goto else "-j"
    return _Group(f"{verb} {target.name}", list(target.options), TARGETS.get(target.name))


def _protocol(general: Iterable[Option]) -> str:
    """Return the match of the rule's protocol, or an empty text if it has none."""
    named = next((option for option in general if option.name == "-p" and not option.negated), None)
    return implied_module(named.values[0]) if named and named.values else ""


def _move_strays(groups: list[_Group], protocol: str) -> None:
    """Move each option to the extension it belongs to: getopt accepts it after any `-m`."""
    for group in list(groups):
        if group.extension is None:
            continue
        for option in [option for option in group.options if _is_stray(option, group, groups)]:
            group.options.remove(option)
            _find_home(option, group, groups, protocol).options.append(option)


def _is_stray(option: Option, group: _Group, groups: Iterable[_Group]) -> bool:
    if group.head == "-m multiport" and option.name in ONE_PORT:
        # Short for --sports and --dports, unless a match of the protocol itself has the option.
        return any(other.has_option(option) for other in groups if other.head != group.head)
    return not group.has_option(option)


def _find_home(option: Option, group: _Group, groups: list[_Group], protocol: str) -> _Group:
    owners = [other for other in groups if other is not group and other.has_option(option)]
    own = f"-m {protocol}"
    if owners:
        return next((other for other in owners if other.head == own), owners[0])
    implied = _match_group(protocol, [])
    if not implied.has_option(option):
        return group
    # iptables loads the match of the protocol when it meets the option, so the match belongs here.
    place = next(index for index, other in enumerate(groups) if other is group)
    groups.insert(place if group.head.startswith(("-j ", "-g ")) else place + 1, implied)
    return implied


def _arrange_words(groups: Iterable[_Group], family: Family) -> list[str]:
    """Sort the stateless matches between those with state, and put comments, which match nothing, last."""
    general, *rest = groups
    protocol = _protocol(general.options)
    arranged: list[_Group] = [general]
    run: list[_Group] = []
    comments: list[_Group] = []
    target: list[_Group] = []
    for group in rest:
        if group.head.startswith(("-j ", "-g ")):
            target.append(group)
        elif group.head == "-m comment":
            comments.append(group)
        elif group.extension is not None and group.extension.stateless:
            run.append(_as_single_port(group, protocol, family))
        else:
            arranged += [*_sort_run(run), group]
            run = []
    arranged += [*_sort_run(run), *comments, *target]
    return [word for group in arranged for word in group.words()]


def _as_single_port(group: _Group, protocol: str, family: Family) -> _Group:
    """Return `-m multiport --dports 22` as the protocol's own `--dport 22`."""
    own = _match_group(protocol, [])
    if group.head != "-m multiport" or own.extension is None or len(group.options) != 1:
        return group
    option = group.options[0]
    single = Option(option.name.removesuffix("s"), option.negated, option.values)
    if len(option.values) != 1 or "," in option.values[0] or not own.has_option(single):
        return group
    own.options.append(single)
    return own.spell(family)


def _sort_run(run: Iterable[_Group]) -> list[_Group]:
    joined: dict[str, _Group] = {}
    rest: list[_Group] = []
    for group in run:
        if group.extension is None or not group.extension.joins:
            rest.append(group)
        elif group.options:
            former = joined.get(group.head)
            options = {*group.options, *(former.options if former else [])}
            joined[group.head] = _Group(group.head, sorted(options, key=_option_words), group.extension)
    return sorted([*joined.values(), *rest], key=_Group.words)
