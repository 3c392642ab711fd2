"""The expectations of a document: their validation and their JSON.

reach/expectations.py decides whether they hold.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from dockerfw.document import fields, sentences
from dockerfw.document.fields import Problems
from dockerfw.document.values import Destination, Expectation, expectation_order
from dockerfw.iptables.errors import DocumentError
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS

MAX_EXPECTATIONS: Final = 200
MAX_CONTAINER: Final = 128
TARGETS: Final = ("host", "container")

_KEYS: Final = ("source", "protocol", "port", "to", "container", "passes", "comment")
# A key at its default is left out in `dockerfw/2`; `passes` has none.
EXPECTATION_DEFAULTS: Final[Mapping[str, Any]] = {
    "source": "any",
    "protocol": "tcp",
    "port": None,
    "to": "host",
    "container": "",
    "comment": "",
}
# A container's name as Docker allows it, or Compose's `project/service`.
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?", re.ASCII)


def validate_expectation(value: object, path: str = "") -> Expectation:
    """Validate one expectation; errors name the field, below `path` if given. Raises DocumentError."""
    problems = Problems()
    expectation = _expectation(value, path, problems)
    if expectation is None or problems.errors:
        raise DocumentError(tuple(problems.errors))
    return expectation


def read_expectations(value: object, path: str, problems: Problems) -> tuple[Expectation, ...]:
    """Read the list of expectations, sorted and without duplicates."""
    if not isinstance(value, list | tuple):
        problems.error(path, sentences.not_a_list(fields.shown(value), "expectations"))
        return ()
    if len(value) > MAX_EXPECTATIONS:
        problems.error(path, sentences.too_many(len(value), "expectations", MAX_EXPECTATIONS))
        return ()
    found: dict[Expectation, str] = {}
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        expectation = _expectation(item, here, problems)
        if expectation is None:
            continue
        if expectation in found:
            problems.note(here, sentences.duplicate_expectation(found[expectation]))
        else:
            found[expectation] = here
    return tuple(sorted(found, key=expectation_order))


def expectation_to_json_object(expectation: Expectation) -> dict[str, Any]:
    """Return an expectation as a JSON object with every key."""
    return {
        "source": expectation.source,
        "protocol": expectation.protocol,
        "port": expectation.port,
        "to": expectation.to,
        "container": expectation.container,
        "passes": expectation.passes,
        "comment": expectation.comment,
    }


def _expectation(value: object, path: str, problems: Problems) -> Expectation | None:
    if not isinstance(value, Mapping):
        problems.error(path, sentences.not_an_expectation(fields.shown(value)))
        return None
    before = len(problems.errors)
    fields.check_keys(value, _KEYS, path, problems)

    def at(key: str) -> str:
        return fields.join(path, key)

    if "passes" in value:
        passes = fields.read_boolean(value["passes"], at("passes"), problems)
    else:
        passes = None
        problems.error(at("passes"), sentences.MISSING_PASSES)
    source = fields.read_source(value.get("source", "any"), at("source"), problems)
    protocol = fields.read_protocol(value.get("protocol", "tcp"), at("protocol"), problems)
    port = _port(value.get("port"), at("port"), problems)
    to = fields.read_choice(value.get("to", "host"), TARGETS, at("to"), problems)
    container = _container(value.get("container", ""), at("container"), problems)
    comment = fields.read_comment(value.get("comment", ""), at("comment"), problems)
    if len(problems.errors) == before:
        _check_combination(
            cast(str, source), cast(str, protocol), port, cast(str, to), cast(str, container), path, problems
        )
    if len(problems.errors) > before:
        return None
    return Expectation(
        cast(str, source),
        cast(str, protocol),
        port,
        cast(Destination, to),
        cast(str, container),
        cast(bool, passes),
        cast(str, comment),
    )


def _port(value: object, path: str, problems: Problems) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    problems.error(path, sentences.not_a_port(fields.shown(value)))
    return None


def _container(value: object, path: str, problems: Problems) -> str | None:
    if not isinstance(value, str):
        problems.error(path, sentences.not_a_container(fields.shown(value)))
        return None
    name = value.strip()
    if len(name) > MAX_CONTAINER:
        problems.error(path, sentences.container_too_long(fields.shown(name), MAX_CONTAINER))
        return None
    if name and not _CONTAINER.fullmatch(name):
        problems.error(path, sentences.not_a_container(fields.shown(name)))
        return None
    return name


def _check_combination(
    source: str, protocol: str, port: int | None, to: str, container: str, path: str, problems: Problems
) -> None:
    if protocol == "any":
        problems.error(fields.join(path, "protocol"), sentences.ANY_TOO_WIDE)
    elif protocol in PROTOCOLS_WITH_PORTS and port is None:
        problems.error(fields.join(path, "port"), sentences.missing_port(protocol))
    elif protocol not in PROTOCOLS_WITH_PORTS and port is not None:
        problems.error(fields.join(path, "port"), sentences.no_ports(protocol))
    if protocol == "ipv6-icmp" and source != "any" and ":" not in source:
        problems.error(fields.join(path, "protocol"), sentences.icmpv6_from_ipv4(source))
    if container and to == "host":
        problems.error(fields.join(path, "container"), sentences.container_on_host(container))
    if to == "container" and not container and port is None:
        problems.error(fields.join(path, "container"), sentences.missing_container(protocol))
