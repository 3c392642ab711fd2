"""The documents that the lab loads, written the short way."""

from __future__ import annotations

from tests.rig.lab import EXTERNAL


def document(*rules: dict[str, object], **settings: object) -> dict[str, object]:
    """Make a dockerfw/1 document whose external interface is the lab's."""
    return {
        "format": "dockerfw/1",
        "settings": {"external_interfaces": [EXTERNAL], **settings},
        "rules": list(rules),
    }


def allow(scope: str, *ports: int | str, **values: object) -> dict[str, object]:
    """Make a rule that allows TCP ports, from anywhere unless `source` is given."""
    return {"scope": scope, "protocol": "tcp", "ports": [str(port) for port in ports], **values}
