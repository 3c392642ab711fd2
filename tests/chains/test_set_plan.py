"""The plan of static sets: what a load creates, replaces, refills and leaves unused."""

from __future__ import annotations

import pytest

from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.set_plan import SetChange, plan_sets
from dockerfw.chains.static_sets import SetState, StaticSet
from dockerfw.iptables.model import Ruleset
from dockerfw.iptables.parse import parse_save

FORMER = StaticSet(4, {"192.0.2.1": ("k3f9",), "198.51.100.0/24": ("k3f9",)})
LATER = StaticSet(4, {"192.0.2.1": ("k3f9",), "203.0.113.0/24": ("k3f9",)})
OTHER = StaticSet(4, {"192.0.2.9": ("ab12",)})


def line(one: StaticSet, port: int = 22) -> str:
    return f"-p tcp -m tcp --dport {port} -m set --match-set {one.name} src -j RETURN"


def wanted(*lines: tuple[StaticSet, int]) -> Rendering:
    texts = tuple(line(*each) for each in lines)
    return Rendering({"FILTERS": texts}, {}, tuple(one for one, _ in lines))


def live(*lines: tuple[StaticSet, int]) -> Ruleset:
    rules = "".join(f"-A FILTERS {line(*each)}\n" for each in lines)
    return parse_save(f"*filter\n:FILTERS - [0:0]\n{rules}COMMIT\n")


def test_nothing_changes() -> None:
    states = {FORMER.name: SetState(FORMER.name, 2)}
    assert plan_sets(wanted((FORMER, 22)), 4, live((FORMER, 22)), states=states) == ()
    assert plan_sets(wanted((FORMER, 80)), 4, live((FORMER, 22))) == ()
    assert plan_sets(wanted(), 4, parse_save("")) == ()


def test_a_list_grows_and_shrinks() -> None:
    (change,) = plan_sets(wanted((LATER, 22)), 4, live((FORMER, 22)), known=[FORMER, OTHER])
    assert change == SetChange(
        4, "changed", LATER.name, 2, FORMER.name, ("203.0.113.0/24 k3f9",), ("198.51.100.0/24 k3f9",)
    )
    assert change.sentence == (
        f"source list {LATER.name} in place of {FORMER.name}: 2 networks, 1 added, 1 removed"
    )
    (change,) = plan_sets(wanted((LATER, 22)), 4, live((FORMER, 22)))
    assert (change.added, change.removed) == (None, None)
    assert change.sentence == f"source list {LATER.name} in place of {FORMER.name}: 2 networks"


def test_lists_come_and_go() -> None:
    new, gone = plan_sets(
        wanted((FORMER, 22), (LATER, 80)), 4, live((FORMER, 22), (OTHER, 443)), known=[OTHER]
    )
    assert (new.kind, new.name, new.sign, len(new.added or ())) == ("new", LATER.name, "+", 2)
    assert (gone.kind, gone.name, gone.sign) == ("gone", OTHER.name, "-")
    assert gone.removed == ("192.0.2.9 ab12",)


@pytest.mark.parametrize(
    ("state", "added", "removed"),
    [
        (SetState(FORMER.name, 1, False, 1, 0, ("-192.0.2.1 k3f9",)), ("192.0.2.1 k3f9",), ()),
        (SetState(FORMER.name, 1, False, 100, 0, ("-192.0.2.1 k3f9",)), None, None),
        (SetState(FORMER.name, 1, False), None, None),
    ],
)
def test_a_list_that_another_program_changed_is_filled_again(
    state: SetState, added: tuple[str, ...] | None, removed: tuple[str, ...] | None
) -> None:
    (change,) = plan_sets(wanted((FORMER, 22)), 4, live((FORMER, 22)), states={FORMER.name: state})
    assert change == SetChange(4, "refilled", FORMER.name, 2, added=added, removed=removed)
    assert "is filled again: 2 networks" in change.sentence
