"""The expectations of a dockerfw/1 document: their validation, and their shape as JSON.

Owns what one expectation may say. What it means for a ruleset is for expectations.py; documents as a whole
are for document.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from dockerfw.document import fields
from dockerfw.document.fields import Findings
from dockerfw.document.values import Expectation, Target, expectation_order
from dockerfw.iptables.errors import DocumentError
from dockerfw.iptables.protocols import PROTOCOLS_WITH_PORTS

MAX_EXPECTATIONS: Final = 200
MAX_CONTAINER: Final = 128
TARGETS: Final = ("host", "container")

_KEYS: Final = ("source", "protocol", "port", "to", "container", "passes", "comment")
# What Docker takes as a container's name, and Compose's `project/service`.
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9][A-Za-z0-9_.-]*)?", re.ASCII)


def validate_expectation(value: object, path: str = "") -> Expectation:
    """Validate one expectation; errors name the field, below `path` if given. Raises DocumentError."""
    findings = Findings()
    expectation = _expectation(value, path, findings)
    if expectation is None or findings.errors:
        raise DocumentError(tuple(findings.errors))
    return expectation


def read_expectations(value: object, path: str, findings: Findings) -> tuple[Expectation, ...]:
    """Read a document's list of expectations, sorted; one that stands there twice is kept once."""
    if not isinstance(value, list | tuple):
        findings.error(path, f"{fields.shown(value)} is not a list of expectations")
        return ()
    if len(value) > MAX_EXPECTATIONS:
        findings.error(path, f"{len(value)} expectations are too many (at most {MAX_EXPECTATIONS})")
        return ()
    found: dict[Expectation, str] = {}
    for index, item in enumerate(value):
        here = f"{path}[{index}]"
        expectation = _expectation(item, here, findings)
        if expectation is None:
            continue
        if expectation in found:
            findings.note(here, f"the same expectation as {found[expectation]}: it is kept once")
        else:
            found[expectation] = here
    return tuple(sorted(found, key=expectation_order))


def expectation_to_json_object(expectation: Expectation) -> dict[str, Any]:
    """Return an expectation as a JSON object, every key written out."""
    return {
        "source": expectation.source,
        "protocol": expectation.protocol,
        "port": expectation.port,
        "to": expectation.to,
        "container": expectation.container,
        "passes": expectation.passes,
        "comment": expectation.comment,
    }


def _expectation(value: object, path: str, findings: Findings) -> Expectation | None:
    if not isinstance(value, Mapping):
        findings.error(
            path, f"{fields.shown(value)} is not an expectation: an object with source, protocol, port is"
        )
        return None
    before = len(findings.errors)
    fields.known_keys(value, _KEYS, path, findings)

    def at(key: str) -> str:
        return fields.join(path, key)

    if "passes" in value:
        passes = fields.boolean(value["passes"], at("passes"), findings)
    else:
        passes = None
        findings.error(at("passes"), "is missing: say true for what passes, false for what is refused")
    source = fields.source(value.get("source", "any"), at("source"), findings)
    protocol = fields.protocol(value.get("protocol", "tcp"), at("protocol"), findings)
    port = _port(value.get("port"), at("port"), findings)
    to = fields.choice(value.get("to", "host"), TARGETS, at("to"), findings)
    container = _container(value.get("container", ""), at("container"), findings)
    comment = fields.comment(value.get("comment", ""), at("comment"), findings)
    if len(findings.errors) == before:
        _check_together(
            cast(str, source), cast(str, protocol), port, cast(str, to), cast(str, container), path, findings
        )
    if len(findings.errors) > before:
        return None
    return Expectation(
        cast(str, source),
        cast(str, protocol),
        port,
        cast(Target, to),
        cast(str, container),
        cast(bool, passes),
        cast(str, comment),
    )


def _port(value: object, path: str, findings: Findings) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 65535:
        return value
    findings.error(path, f"{fields.shown(value)} is not a port (a number from 1 to 65535)")
    return None


def _container(value: object, path: str, findings: Findings) -> str | None:
    if not isinstance(value, str):
        findings.error(path, f"{fields.shown(value)} is not the name of a container")
        return None
    name = value.strip()
    if len(name) > MAX_CONTAINER:
        findings.error(path, f"{fields.shown(name)} is too long for a name (at most {MAX_CONTAINER})")
        return None
    if name and not _CONTAINER.fullmatch(name):
        allowed = "letters, digits, and _ . - after the first"
        findings.error(path, f"{fields.shown(name)} is not the name of a container ({allowed})")
        return None
    return name


def _check_together(
    source: str, protocol: str, port: int | None, to: str, container: str, path: str, findings: Findings
) -> None:
    if protocol == "any":
        findings.error(
            fields.join(path, "protocol"), "any is too wide for an expectation: name one, such as tcp"
        )
    elif protocol in PROTOCOLS_WITH_PORTS and port is None:
        findings.error(fields.join(path, "port"), f"is missing: an expectation for {protocol} names one port")
    elif protocol not in PROTOCOLS_WITH_PORTS and port is not None:
        findings.error(fields.join(path, "port"), f"{protocol} has no ports")
    if protocol == "ipv6-icmp" and source != "any" and ":" not in source:
        findings.error(
            fields.join(path, "protocol"),
            f'ipv6-icmp never comes from an IPv4 source ({source}): write "icmp"',
        )
    if container and to == "host":
        findings.error(
            fields.join(path, "container"), f"{container} is a container, and this one is about the host"
        )
    if to == "container" and not container and port is None:
        findings.error(
            fields.join(path, "container"), f"is missing: say which container {protocol} should reach"
        )
