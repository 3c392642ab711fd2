"""Static sets: their names, the texts that create and fill them, and what is read back."""

from __future__ import annotations

import pytest

from dockerfw.chains.static_sets import (
    Element,
    SetContents,
    StaticSet,
    UnusableSet,
    carry_counters,
    comment_of,
    creation_text,
    filling_text,
    find_difference,
    fits,
    hits_by_rule,
    is_intact,
    is_static_name,
    owners_of,
    read_contents,
    read_sets,
    static_sets_named,
    temporary_name,
    write_sets,
)

OFFICE = StaticSet(4, {"203.0.113.0/24": ("k3f9", "ab12"), "198.51.100.7": ("k3f9",)})
OFFICE_6 = StaticSet(6, {"2001:db8::/32": ("k3f9",), "::102:300/120": ("k3f9",)})
SAVE = f"""create {OFFICE.name} hash:net family inet hashsize 64 maxelem 2 counters comment bucketsize 12
add {OFFICE.name} 203.0.113.0/24 packets 4 bytes 400 comment "k3f9 ab12"
add {OFFICE.name} 198.51.100.7 packets 1 bytes 60 comment "k3f9"
create {OFFICE_6.name} hash:net family inet6 hashsize 64 maxelem 2 counters comment
add {OFFICE_6.name} ::1.2.3.0/120 packets 0 bytes 0 comment "k3f9"
add {OFFICE_6.name} 2001:db8::/32 packets 0 bytes 0 comment "k3f9"
"""


def test_the_name_is_the_content() -> None:
    other_order = StaticSet(4, dict(sorted(OFFICE.members.items())))
    assert OFFICE.name == other_order.name
    assert (len(OFFICE.name), is_static_name(OFFICE.name)) == (31, True)
    assert temporary_name(OFFICE.name) == OFFICE.name.replace("-s", "-t")
    assert (
        len({OFFICE.name, StaticSet(4, {**OFFICE.members, "192.0.2.1": ("k3f9",)}).name, OFFICE_6.name}) == 3
    )
    assert static_sets_named(f"-A X -m set --match-set {OFFICE.name} src -j RETURN") == (OFFICE.name,)


def test_a_comment_is_cut_at_whole_ids() -> None:
    ids = tuple(f"id{number:04}" for number in range(60))
    comment = comment_of(ids)
    assert (len(comment), comment.split()) == (251, list(ids[:36]))
    assert comment_of(["x" * 255, "y"]) == "x" * 255
    assert StaticSet(4, {"192.0.2.1": ids}).name == StaticSet(4, {"192.0.2.1": ids[:36]}).name


def test_texts_that_create_and_fill() -> None:
    one = StaticSet(4, {"192.0.2.1": ("k3f9",)})
    assert creation_text([one]) == (
        f"create {one.name} hash:net family inet hashsize 64 maxelem 1 counters comment\n"
        f'add {one.name} 192.0.2.1 comment "k3f9"\n'
    )
    new = temporary_name(one.name)
    assert filling_text([one], {one.name: {"192.0.2.1": (3, 180)}}).splitlines() == [
        f"create {new} hash:net family inet hashsize 64 maxelem 1 counters comment",
        f"flush {new}",
        f'add {new} 192.0.2.1 packets 3 bytes 180 comment "k3f9"',
        f"create {one.name} hash:net family inet hashsize 64 maxelem 1 counters comment",
        f"swap {new} {one.name}",
        f"destroy {new}",
    ]


@pytest.mark.parametrize(
    "members",
    [
        {"192.0.2.1\ndestroy f2b": ("k3f9",)},
        {"0.0.0.0/0": ("k3f9",)},
        {"192.0.2.1": ('x"\nflush f2b',)},
        {"192.0.2.1": ("Ä",)},
    ],
)
def test_what_is_no_member_never_becomes_a_text(members: dict[str, tuple[str, ...]]) -> None:
    for text in (creation_text, filling_text):
        with pytest.raises(UnusableSet):
            text([StaticSet(4, members)])
    with pytest.raises(UnusableSet):
        temporary_name("f2b-sshd")


def test_a_save_is_read_and_compared_by_content() -> None:
    held = read_contents(SAVE)
    assert held[OFFICE.name].elements["203.0.113.0/24"] == Element("k3f9 ab12", 4, 400)
    for one in (OFFICE, OFFICE_6):
        assert not find_difference(one, held[one.name])
        assert is_intact(one.name, held[one.name])
        assert fits(one, held[one.name])
    assert not fits(OFFICE, held[OFFICE_6.name])
    lacking = read_contents(SAVE.replace("add ", "# ", 1))[OFFICE.name]
    assert find_difference(OFFICE, lacking).lost == ("203.0.113.0/24 k3f9 ab12",)
    assert not is_intact(OFFICE.name, lacking)
    for edit in ('comment "k3f9"', 'comment "zz99"'), ("198.51.100.7", "198.51.100.7 nomatch"):
        edited = read_contents(SAVE.replace(*edit))[OFFICE.name]
        difference = find_difference(OFFICE, edited)
        assert (len(difference.lost), len(difference.added)) == (1, 1), difference
        assert not is_intact(OFFICE.name, edited)
    assert find_difference(OFFICE, None).lost == ("198.51.100.7 k3f9", "203.0.113.0/24 k3f9 ab12")


def test_hits_are_the_sum_over_elements_by_rule() -> None:
    assert hits_by_rule(read_contents(SAVE).values()) == {"k3f9": (5, 460), "ab12": (4, 400)}


def test_counters_go_to_the_same_network_and_rule() -> None:
    new = StaticSet(4, {"203.0.113.0/24": ("ab12",), "198.51.100.7": ("other",), "192.0.2.1": ("k3f9",)})
    assert carry_counters([new], read_contents(SAVE)) == {new.name: {"203.0.113.0/24": (4, 400)}}
    quiet = {"x": SetContents("hash:net", "", {"192.0.2.1": Element("k3f9")})}
    assert carry_counters([new], quiet) == {}
    alone = {"x": SetContents("hash:net", "", {"192.0.2.1": Element("", 7, 420)})}
    assert carry_counters([new], alone) == {new.name: {}}
    assert carry_counters([new], alone, {"x": "k3f9"}) == {new.name: {"192.0.2.1": (7, 420)}}


def test_the_owner_of_a_set_without_ids_is_on_its_only_line() -> None:
    line = '-A FILTERS -p tcp -m set --match-set {name} src -m comment --comment "dockerfw:{id}" -j RETURN\n'
    lines = [line.format(name=OFFICE.name, id="k3f9"), line.format(name=OFFICE_6.name, id="ab12")]
    assert owners_of(lines) == {OFFICE.name: "k3f9", OFFICE_6.name: "ab12"}
    assert owners_of([*lines, lines[0]]) == {OFFICE_6.name: "ab12"}


def test_the_compact_text_keeps_sets_and_notices_damage() -> None:
    text = write_sets([OFFICE, OFFICE_6])
    assert read_sets(text) == (OFFICE, OFFICE_6)
    assert read_sets("") == ()
    for wrong in (text.replace("198.51.100.7", "198.51.100.8"), "192.0.2.1 k3f9\n", "dockerfw4-s0\n", "x"):
        with pytest.raises(UnusableSet):
            read_sets(wrong)


def test_counters_are_carried_over_once() -> None:
    held = {
        name: SetContents("hash:net", "", {"203.0.113.0/24": Element("a1c2", packets, packets * 60)})
        for name, packets in (("one", 5), ("two", 100))
    }
    new = [
        StaticSet(4, {"203.0.113.0/24": ("a1c2",), f"198.51.100.{number}": ("b2d3",)}) for number in range(3)
    ]
    carried = carry_counters(new, held)
    assert [each["203.0.113.0/24"] for each in carried.values() if each] == [(100, 6000), (5, 300)]
