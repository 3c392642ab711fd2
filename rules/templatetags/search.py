"""The template tags of what every page has to find things: the palette, and the link to its help."""

from __future__ import annotations

from django import template
from django.template import Context

from rules.docs.page_help import help_url, trouble_url
from rules.models import Host
from rules.search.site_pages import keyed_pages

register = template.Library()


@register.inclusion_tag("search/palette.html")
def palette(host: Host) -> dict[str, object]:
    """Draw the palette and the list of keys, both closed, for the pages of a host."""
    return {"host": host, "keyed_pages": keyed_pages(host.name)}


@register.simple_tag(takes_context=True)
def help_address(context: Context) -> str:
    """Return the address of the section of the documentation that explains this page."""
    match = context["request"].resolver_match
    return help_url(match.url_name if match else "")


@register.simple_tag
def trouble_address(trouble: str) -> str:
    """Return the address of the section of the documentation about what went wrong."""
    return trouble_url(trouble)
