"""Owns the question when two spellings are the same rule.

Text must never be compared: iptables-save prints `-s 10.1.2.3/8` as `10.0.0.0/8`, leaves out what says
nothing, and puts states in an order of its own. It decides on form only and knows nothing of chains' meaning:
two rules that happen to let the same packets through for deeper reasons are still two rules.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from dockerfw.iptables.extensions import GENERAL, MATCHES, MODULE_ALIASES, TARGETS, Extension
from dockerfw.iptables.matches import Option, Target, implied_module, read_matches
from dockerfw.iptables.model import Family, Rule
from dockerfw.iptables.tokens import join_tokens, split_tokens


def canonical_rule(rule: Rule, family: Family = 4) -> str:
    """Return a text that two rules of one family share when they are spellings of the same rule.

    Table and chain are part of it, the comment too; counters and the line number are not. The text is for
    comparing, not for loading.
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
    return join_tokens([*words[:2], *_arranged_words(spelt, family)])


@dataclass(frozen=True, slots=True)
class _Group:
    """A match (`-m tcp`), the target (`-j LOG`) or the general options (no head), with the options."""

    head: str
    options: list[Option]
    extension: Extension | None

    def owns(self, option: Option) -> bool:
        return self.extension is not None and self.extension.owns(option.name)

    def spell(self, family: Family) -> _Group:
        """Return the group with its options under their printed names, sorted."""
        if self.extension is None:
            return self
        spelt: set[Option] = set()
        for option in self.options:
            name, words = self.extension.spell(option.name, option.values, family)
            if words is not None or option.negated:
                spelt.add(Option(name, option.negated, option.values if words is None else words))
        return _Group(self.head, sorted(spelt, key=_option_words), self.extension)

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
    """Name the match of the rule's protocol; an empty name when there is none."""
    named = next((option for option in general if option.name == "-p" and not option.negated), None)
    return implied_module(named.values[0]) if named and named.values else ""


def _move_strays(groups: list[_Group], protocol: str) -> None:
    """Give each option to the extension it belongs to: getopt does not care behind which `-m` it stands."""
    for group in list(groups):
        if group.extension is None:
            continue
        for option in [option for option in group.options if _is_stray(option, group, groups)]:
            group.options.remove(option)
            _home(option, group, groups, protocol).options.append(option)


def _is_stray(option: Option, group: _Group, groups: Iterable[_Group]) -> bool:
    if group.head == "-m multiport" and option.name in {"--sport", "--dport"}:
        # Short for --sports and --dports, unless a match of the protocol itself claims the name.
        return any(other.owns(option) for other in groups if other.head != group.head)
    return not group.owns(option)


def _home(option: Option, group: _Group, groups: list[_Group], protocol: str) -> _Group:
    owners = [other for other in groups if other is not group and other.owns(option)]
    own = f"-m {protocol}"
    if owners:
        return next((other for other in owners if other.head == own), owners[0])
    implied = _match_group(protocol, [])
    if not implied.owns(option):
        return group
    # iptables loads the protocol's match when it meets the option, so that is the match's place.
    place = next(index for index, other in enumerate(groups) if other is group)
    groups.insert(place if group.head.startswith(("-j ", "-g ")) else place + 1, implied)
    return implied


def _arranged_words(groups: Iterable[_Group], family: Family) -> list[str]:
    """Sort what has no memory between what has some; comments, which say nothing to packets, go last."""
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
        elif group.extension is not None and group.extension.steady:
            run.append(_as_single_port(group, protocol, family))
        else:
            arranged += [*_sorted_run(run), group]
            run = []
    arranged += [*_sorted_run(run), *comments, *target]
    return [word for group in arranged for word in group.words()]


def _as_single_port(group: _Group, protocol: str, family: Family) -> _Group:
    """Write `-m multiport --dports 22` as the protocol's own `--dport 22`."""
    own = _match_group(protocol, [])
    if group.head != "-m multiport" or own.extension is None or len(group.options) != 1:
        return group
    option = group.options[0]
    single = Option(option.name.removesuffix("s"), option.negated, option.values)
    if len(option.values) != 1 or "," in option.values[0] or not own.owns(single):
        return group
    own.options.append(single)
    return own.spell(family)


def _sorted_run(run: Iterable[_Group]) -> list[_Group]:
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
