"""The documents that the lab loads, written the short way."""

from __future__ import annotations

from dockerfw.document.document import FORMAT_1, FORMAT_2
from dockerfw.document.rules import upgrade_rule
from tests.rig.lab import EXTERNAL

_NEWER = {"to", "container", "expires", "sources", "action"}


def document(*rules: dict[str, object], **settings: object) -> dict[str, object]:
    """Make a document whose external interface is the lab's, dockerfw/2 where something needs it."""
    newer = {"containers_reach_host", "log_refused"} & {*settings} or any(_NEWER & {*rule} for rule in rules)
    return {
        "format": FORMAT_2 if newer else FORMAT_1,
        "settings": {"external_interfaces": [EXTERNAL], **settings},
        "rules": [upgrade_rule(rule) if newer else rule for rule in rules],
    }


def by_name(name: str, *ports: int | str, **values: object) -> dict[str, object]:
    """Make a rule that allows TCP ports of the containers with a name."""
    return allow("container", *ports, container=name, **values)


def allow(scope: str, *ports: int | str, **values: object) -> dict[str, object]:
    """Make a rule that allows TCP ports, from anywhere unless `source` is given."""
    return {"scope": scope, "protocol": "tcp", "ports": [str(port) for port in ports], **values}
