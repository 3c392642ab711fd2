"""The generation number of the active rules: it changes with every change, and only then."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from tests.kernel.generation import generation
from tests.rig.namespace import FAMILIES, Namespace

pytestmark = [
    pytest.mark.kernel,
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can enter a namespace"),
]


def test_changes_raise_the_generation_and_reading_does_not(make_namespace: Callable[..., Namespace]) -> None:
    one, other = make_namespace("one"), make_namespace("other")
    for family in FAMILIES:
        for change in ("-N MINE", "-A MINE -j RETURN", "-I FORWARD -j MINE", "-D FORWARD -j MINE"):
            before, beside = generation(one), generation(other)
            one.iptables(*change.split(), family=family)
            after = generation(one)
            assert (after > before, generation(other)) == (True, beside)
            assert b"MINE" in one.save(family=family)
            assert generation(one) == after
