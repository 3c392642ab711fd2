"""Documents that differ only in what is for people are compiled once."""

from __future__ import annotations

import random
from dataclasses import fields, replace
from typing import Any
from unittest.mock import Mock

import pytest

from dockerfw.chains import render
from dockerfw.chains.compiled import compile_rules
from dockerfw.chains.names import Label, label_of
from dockerfw.document.document import Document, DocumentRule, digest
from tests.rig.compiled_documents import random_document

FOR_PEOPLE: dict[str, Any] = {"comment": "new", "owner": "alice", "ticket": "NET-7", "tags": ("web",)}


@pytest.mark.parametrize("seed", range(4))
def test_what_is_for_people_compiles_nothing_again(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    compiled = Mock(side_effect=compile_rules)
    monkeypatch.setattr(render, "compile_rules", compiled)
    render._compile.cache_clear()
    wanted = random_document(random.Random(seed), 60)
    other = replace(wanted, rules=tuple(replace(rule, **FOR_PEOPLE) for rule in wanted.rules))
    assert digest(other) != digest(wanted)
    renderings = [render.render_rules(each, 4, 3) for each in (wanted, other)]
    assert compiled.call_count == 1
    render._compile.cache_clear()
    assert render.render_rules(other, 4, 3) == renderings[1]
    for each, rendering in zip((wanted, other), renderings, strict=True):
        lines = [line for chain in rendering.chains.values() for line in chain]
        assert {found for line in lines if (found := label_of(line))} == {Label(3, digest(each)[:12])}


@pytest.mark.parametrize("name", [each.name for each in fields(DocumentRule) if each.name != "enabled"])
def test_every_other_field_is_compiled(name: str) -> None:
    one = DocumentRule("r1", "host", ("192.0.2.0/24",), "tcp", ("22",))
    value = getattr(one, name)
    changed: dict[str, Any] = {name: (*value, "x") if isinstance(value, tuple) else f"{value}x"}
    other = replace(one, **changed)
    first, second = (render._KernelRules.of(Document(rules=(each,))) for each in (one, other))
    assert (first == second) == (name in FOR_PEOPLE)
