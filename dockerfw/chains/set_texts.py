"""The text for `ipset restore` that goes before the rules of a rendering."""

from __future__ import annotations

from dockerfw.chains.bound_sets import bound_sets_of, render_creation
from dockerfw.chains.rendered_rules import Rendering
from dockerfw.chains.static_sets import creation_text


def render_sets(rendering: Rendering) -> str:
    """Return the text that creates all sets which the rules match: static ones filled, bound ones empty.

    It is for a host that has none of them. Raises UnknownSet.
    """
    return render_creation(bound_sets_of([rendering.to_text()])) + creation_text(rendering.sets)
