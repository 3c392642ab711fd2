"""Everything that is installed is pinned, what a requirement brings along included."""

from __future__ import annotations

import tomllib
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
FILES = {
    "run": [ROOT / "requirements.txt"],
    "test": [ROOT / "requirements.txt", ROOT / "tests" / "requirements.txt"],
    "font": [ROOT / "scripts" / "font" / "requirements.txt"],
}


def pins(purpose: str) -> dict[str, Requirement]:
    lines = [line.strip() for file in FILES[purpose] for line in file.read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(requirement.name): requirement for requirement in found}


def closure(names: set[str]) -> set[str]:
    """Return these distributions and all that they require here, extras left out."""
    seen: set[str] = set()
    waiting = set(names)
    while waiting:
        name = waiting.pop()
        seen.add(name)
        wanted = [Requirement(text) for text in distribution(name).requires or []]
        here = {
            canonicalize_name(one.name)
            for one in wanted
            if not one.marker or one.marker.evaluate({"extra": ""})
        }
        waiting |= here - seen
    return seen


@pytest.mark.parametrize("purpose", sorted(FILES))
def test_every_requirement_is_pinned(purpose: str) -> None:
    for requirement in pins(purpose).values():
        assert [item.operator for item in requirement.specifier] == ["=="], str(requirement)


@pytest.mark.parametrize("purpose", ["run", "test"])
def test_what_they_bring_along_is_pinned_too(purpose: str) -> None:
    named = pins(purpose)
    here = {name for name, one in named.items() if not one.marker or one.marker.evaluate()}
    assert closure(here) == here


def test_the_installed_versions_are_the_pinned_ones() -> None:
    for name, requirement in pins("test").items():
        if not requirement.marker or requirement.marker.evaluate():
            assert distribution(name).version in requirement.specifier, str(requirement)


def test_the_wheel_requires_what_its_agent_needs_and_nothing_else() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    named = {canonicalize_name(one.name): one for one in map(Requirement, project["project"]["dependencies"])}
    run = pins("run")
    assert {name: one.specifier for name, one in named.items()} == {
        name: run[name].specifier for name in named
    }
    here = {name for name, one in named.items() if not one.marker or one.marker.evaluate()}
    assert closure({"redis", "rq", "cryptography"}) == here
    (build,) = map(Requirement, project["build-system"]["requires"])
    assert build.specifier == pins("test")[build.name].specifier
