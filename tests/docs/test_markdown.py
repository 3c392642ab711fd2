"""Markdown of the documentation as HTML: anchors, links, tables without styles, and no HTML of its own."""

from __future__ import annotations

from rules.docs.markdown import anchor_of, render

PAGE = """# The title, `here`

Before the first part.

## A `word` & more

See [the rules](everyday.md#rules), [elsewhere](https://example.org/x) and [a file](../SECURITY.md).

## Twice
<script>alert(1)</script> **strong**

| name | number |
| --- | ---: |
| `a` | 1 |

    dockerfw status <FILE

## Twice

![a picture of it](screenshots/x.png)
"""


def address(link: str) -> str | None:
    return None if link.startswith("..") else f"to:{link}"


def test_headings_have_the_anchors_of_a_forge() -> None:
    page = render(PAGE, address=address)
    assert [(each.level, each.anchor, each.title) for each in page.sections] == [
        (1, "the-title-here", "The title, here"),
        (2, "a-word--more", "A word & more"),
        (2, "twice", "Twice"),
        (2, "twice-1", "Twice"),
    ]
    assert '<h2 id="twice-1">Twice</h2>' in page.html
    assert "<h1" not in page.html
    assert anchor_of("What is `x`?") == "what-is-x"


def test_sections_have_the_words_below_them() -> None:
    first, second, third, fourth = render(PAGE, address=address).sections
    assert first.text == "Before the first part."
    assert second.text == "See the rules, elsewhere and a file."
    assert "name number a 1 dockerfw status <FILE" in third.text
    assert fourth.text == "a picture of it"


def test_links_lead_where_the_address_says() -> None:
    html = render(PAGE, address=address).html
    assert '<a href="to:everyday.md#rules">the rules</a>' in html
    assert '<img src="to:screenshots/x.png" alt="a picture of it" loading="lazy"' in html
    assert "<span>a file</span>" in html
    assert "SECURITY" not in html


def test_html_of_the_page_is_text_and_nothing_has_a_style() -> None:
    html = render(PAGE, address=address).html
    assert "&lt;script&gt;alert(1)&lt;/script&gt; <strong>strong</strong>" in html
    assert "dockerfw status &lt;FILE" in html
    assert "style=" not in html
    assert '<td class="number" role="cell">1</td>' in html
    assert (
        render("# A\n\n[x](javascript:alert(1))\n", address=address).html
        == "<p>[x](javascript:alert(1))</p>\n"
    )
