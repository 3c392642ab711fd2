"""The fields that only rules have: sources, limit, times, container, and words for people.

Like in fields.py, each function records errors and notes under its path, and returns the canonical value or
None.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from dockerfw.document import fields, sentences
from dockerfw.document.fields import Problems
from dockerfw.iptables.model import Family

MAX_SOURCES: Final = 10_000
MAX_WORD: Final = 100
MAX_TAGS: Final = 10
MAX_TAG: Final = 32
MAX_RATE: Final = 10_000
MAX_GROUP_NAME: Final = 40
LATEST: Final = "2038-01-19T03:14:07Z"
"""The last second that the kernel's match on times can tell."""

LIMIT_UNITS: Final = ("second", "minute", "hour")
_GROUP = re.compile(r"@([a-z0-9][a-z0-9._-]*)", re.ASCII)
_LIMIT = re.compile(r"([0-9]{1,9})\s*(?:/|per|a|an)\s*(s|sec|second|m|min|minute|h|hour)", re.ASCII)
_TAG = re.compile(r"[a-z0-9][a-z0-9._-]*", re.ASCII)
_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
_LABEL = r"label:[A-Za-z0-9][A-Za-z0-9_./-]*(=[A-Za-z0-9_.:,/@+=-]+)?"
_CONTAINER = re.compile(rf"{_NAME}(/{_NAME})?|{_LABEL}", re.ASCII)
MAX_CONTAINER: Final = 128


def group_of(source: str) -> str:
    """Return the name of the group that a source names, empty for an address or a network."""
    return source[1:] if source.startswith("@") else ""


def is_group_name(text: str) -> bool:
    """Return True if a text can be the name of a group."""
    return len(text) <= MAX_GROUP_NAME and _GROUP.fullmatch(f"@{text}") is not None


def read_sources(value: object, path: str, problems: Problems) -> tuple[str, ...] | None:
    """Read a list of addresses, networks and groups, sorted; an empty one, or only `any`, is anyone."""
    if not isinstance(value, list | tuple):
        problems.error(path, sentences.not_a_list_of_sources(fields.shown(value)))
        return None
    if len(value) > MAX_SOURCES:
        problems.error(path, sentences.too_many(len(value), "sources", MAX_SOURCES))
        return None
    before = len(problems.errors)
    found: dict[str, int] = {}
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        source = _source(item, here, problems)
        if source == "any" and len(value) > 1:
            problems.error(here, sentences.ANY_AMONG_SOURCES)
        elif source in found:
            problems.note(here, sentences.duplicate_source(source))
        elif source is not None and source != "any":
            found[source] = index
    return None if len(problems.errors) > before else tuple(sorted(found, key=source_order))


def _source(value: object, path: str, problems: Problems) -> str | None:
    if not isinstance(value, str) or not value.strip().startswith("@"):
        return fields.read_source(value, path, problems)
    text = value.strip().lower()
    if not is_group_name(text[1:]):
        problems.error(path, sentences.not_a_group_name(fields.shown(value)))
        return None
    return text


# As large as the largest document: a smaller cache would have no hits when a large document is sorted again.
@lru_cache(maxsize=200_000)
def source_order(source: str) -> tuple[int, int, int, str]:
    """Return the sort key of a source: addresses by family, groups after them."""
    if group_of(source):
        return (9, 0, 0, source)
    if ":" not in source:
        # Many times as fast as ipaddress, which counts for lists of 100,000 networks.
        address, _, length = source.partition("/")
        first, second, third, fourth = map(int, address.split("."))
        return (4, (first << 24) + (second << 16) + (third << 8) + fourth, int(length or 32), "")
    network = ipaddress.ip_network(source)
    return (network.version, int(network.network_address), network.prefixlen, "")


def read_limit(value: object, path: str, problems: Problems) -> str | None:
    """Read a limit such as `6/minute`, or an empty text; the unit is written in full."""
    if value == "":
        return ""
    found = _LIMIT.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    if found is None:
        problems.error(path, sentences.not_a_limit(fields.shown(value)))
        return None
    number = int(found[1])
    if not 1 <= number <= MAX_RATE:
        problems.error(path, sentences.limit_out_of_range(number, MAX_RATE))
        return None
    unit = next(unit for unit in LIMIT_UNITS if unit.startswith(found[2]))
    return f"{number}/{unit}"


def read_time(value: object, path: str, problems: Problems) -> str | None:
    """Read a time with its offset, or an empty text; canonical is UTC to the second, with a Z."""
    if value == "":
        return ""
    try:
        found = datetime.fromisoformat(value.strip()) if isinstance(value, str) else None
    except ValueError:
        found = None
    if found is None:
        problems.error(path, sentences.not_a_time(fields.shown(value)))
        return None
    if found.tzinfo is None:
        problems.error(path, sentences.time_without_zone(fields.shown(value)))
        return None
    try:
        moment = found.astimezone(UTC).replace(microsecond=0)
    except OverflowError:
        problems.error(path, sentences.time_out_of_range(fields.shown(value), LATEST))
        return None
    text = f"{moment:%Y-%m-%dT%H:%M:%SZ}"
    if moment.year < 1971 or text > LATEST:
        problems.error(path, sentences.time_out_of_range(fields.shown(value), LATEST))
        return None
    return text


def read_container(value: object, path: str, problems: Problems) -> str | None:
    """Read a container's name, Compose's `project/service`, `label:key=value`, or an empty text."""
    if value == "":
        return ""
    text = value.strip().removeprefix("/") if isinstance(value, str) else ""
    if not _CONTAINER.fullmatch(text):
        problems.error(path, sentences.not_a_container_selector(fields.shown(value)))
        return None
    if len(text) > MAX_CONTAINER:
        problems.error(path, sentences.container_too_long(fields.shown(text), MAX_CONTAINER))
        return None
    return text


def read_word(value: object, path: str, problems: Problems) -> str | None:
    """Read the owner or the ticket of a rule: one line of text, at most 100 characters."""
    text = fields.read_comment(value, path, problems)
    if text is not None and len(text) > MAX_WORD:
        problems.error(path, sentences.text_too_long(len(text), MAX_WORD))
        return None
    return text


def read_tags(value: object, path: str, problems: Problems) -> tuple[str, ...] | None:
    """Read a list of tags: lower-case letters, digits and . _ -; sorted, each once."""
    if not isinstance(value, list | tuple):
        problems.error(path, sentences.not_a_list(fields.shown(value), "tags"))
        return None
    if len(value) > MAX_TAGS:
        problems.error(path, sentences.too_many(len(value), "tags", MAX_TAGS))
        return None
    before = len(problems.errors)
    tags: set[str] = set()
    for index, item in enumerate(value):
        text = item.strip().lower() if isinstance(item, str) else ""
        if len(text) > MAX_TAG or not _TAG.fullmatch(text):
            problems.error(f"{path}[{index}]", sentences.not_a_tag(fields.shown(item), MAX_TAG))
        tags.add(text)
    return None if len(problems.errors) > before else tuple(sorted(tags))


def families_of(sources: Sequence[str]) -> tuple[Family, ...]:
    """Return the IP versions of a rule's addresses and networks; groups may have both."""
    found: set[Family] = {6 if ":" in source else 4 for source in sources if not group_of(source)}
    return tuple(sorted(found))
