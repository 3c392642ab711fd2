"""The templates as files: short lines, and one folder for each folder of rules/."""

from __future__ import annotations

from django.conf import settings

LONGEST = 160
TEMPLATES = settings.BASE_DIR / "templates"
# Django finds these by their names.
AT_THE_TOP = {"400.html", "403.html", "403_csrf.html", "404.html", "413.html", "500.html", "507.html"}


def test_no_line_is_longer_than_160_characters() -> None:
    long = [
        f"{path.relative_to(TEMPLATES)}:{number}"
        for path in sorted(TEMPLATES.rglob("*.html"))
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > LONGEST
    ]
    assert not long, "these lines are too long: move their logic into a view or a tag, or use an include"


def test_each_folder_belongs_to_a_folder_of_rules() -> None:
    for path in TEMPLATES.iterdir():
        if path.is_dir():
            assert (settings.BASE_DIR / "rules" / path.name).is_dir(), path.name
        else:
            assert path.name in AT_THE_TOP, path.name
