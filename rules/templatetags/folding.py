"""The block tag `fold`, which shows the first entries of a list and folds the rest with their number.

    <ul class="diff">{% fold rules as rule most=300 %}<li>{{ rule }}</li>{% endfold %}</ul>

Past `most` only the number of entries is shown, and `beyond` says where they all are, as text or safe HTML.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django import template
from django.template.base import FilterExpression, NodeList, Parser, Token, token_kwargs
from django.template.context import Context
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

register = template.Library()
OPEN = 20
MOST = 300
_FOLDED = '<li class="folded"><details><summary>{} more</summary><ul class="diff">{}</ul></details></li>'
_LEFT_OUT = '<li><span class="sign" aria-hidden="true">&hellip;</span><div class="muted">{} more{}</div></li>'


class FoldNode(template.Node):
    """Renders the block once for each entry, those past the twentieth inside `details`."""

    child_nodelists = ("nodelist",)

    def __init__(
        self, items: FilterExpression, name: str, options: dict[str, FilterExpression], nodelist: NodeList
    ) -> None:
        self.items = items
        self.name = name
        self.options = options
        self.nodelist = nodelist

    def render(self, context: Context) -> SafeString:
        """Return the entries as list items; nothing of a block is escaped twice."""
        items: Sequence[Any] = self.items.resolve(context) or ()
        options = {name: value.resolve(context) for name, value in self.options.items()}
        most, beyond = options.get("most") or MOST, options.get("beyond") or ""
        shown = self._all(context, items[:OPEN])
        rest = items[OPEN:most]
        left_out = format_html(_LEFT_OUT, len(items) - most, beyond) if len(items) > most else ""
        if not rest:
            return mark_safe(shown)  # noqa: S308 - the template has escaped it
        folded = mark_safe(self._all(context, rest) + left_out)  # noqa: S308 - as above
        return mark_safe(shown + format_html(_FOLDED, len(items) - OPEN, folded))  # noqa: S308

    def _all(self, context: Context, items: Sequence[Any]) -> str:
        found = []
        for item in items:
            with context.push(**{self.name: item}):
                found.append(self.nodelist.render(context))
        return "".join(found)


@register.tag
def fold(parser: Parser, token: Token) -> FoldNode:
    """Parse `{% fold LIST as NAME most=N beyond="where" %}...{% endfold %}`."""
    words = token.split_contents()
    if len(words) < 4 or words[2] != "as":
        raise template.TemplateSyntaxError("fold needs: LIST as NAME")
    options = token_kwargs(words[4:], parser)
    nodelist = parser.parse(("endfold",))
    parser.delete_first_token()
    return FoldNode(parser.compile_filter(words[1]), words[3], options, nodelist)
