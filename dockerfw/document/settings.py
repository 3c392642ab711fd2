"""The settings of a dockerfw/1 document: their validation, and their shape as JSON.

Owns what holds for a whole host. Documents as a whole are for document.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from dockerfw.document import fields
from dockerfw.document.fields import Findings
from dockerfw.document.values import Icmp, Refuse, Settings
from dockerfw.iptables.errors import DocumentError

_KEYS: Final = ("external_interfaces", "trusted_interfaces", "refuse", "icmp", "heal_anchors")


def validate_settings(value: object, path: str = "") -> Settings:
    """Validate the settings of a host; paths of errors are the field's name. Raises DocumentError."""
    findings = Findings()
    settings = read_settings(value, path, findings)
    if findings.errors:
        raise DocumentError(tuple(findings.errors))
    return settings


def settings_to_json_object(settings: Settings) -> dict[str, Any]:
    """Return settings as a JSON object, every key written out."""
    return {
        "external_interfaces": list(settings.external_interfaces),
        "trusted_interfaces": list(settings.trusted_interfaces),
        "refuse": settings.refuse,
        "icmp": settings.icmp,
        "heal_anchors": settings.heal_anchors,
    }


def read_settings(value: object, path: str, findings: Findings) -> Settings:
    """Read settings out of JSON; what is wrong is recorded below `path`."""
    if not isinstance(value, Mapping):
        findings.error(path, f"{fields.shown(value)} is not an object of settings")
        return Settings()
    fields.known_keys(value, _KEYS, path, findings)
    default = Settings()
    external = _interfaces(value, "external_interfaces", default.external_interfaces, path, findings)
    trusted = _interfaces(value, "trusted_interfaces", default.trusted_interfaces, path, findings)
    for name in trusted:
        both = next((other for other in external if fields.interfaces_overlap(name, other)), None)
        if both is not None:
            how = "is external too" if both == name else f"is also covered by the external {both}"
            findings.error(
                fields.join(path, "trusted_interfaces"), f"{name} {how}: it can only be one of the two"
            )
    refuse = fields.choice(
        value.get("refuse", default.refuse), ("reject", "drop"), fields.join(path, "refuse"), findings
    )
    icmp = fields.choice(
        value.get("icmp", default.icmp), ("accept", "refuse"), fields.join(path, "icmp"), findings
    )
    heal = fields.boolean(
        value.get("heal_anchors", default.heal_anchors), fields.join(path, "heal_anchors"), findings
    )
    return Settings(external, trusted, cast(Refuse, refuse), cast(Icmp, icmp), bool(heal))


def _interfaces(
    value: Mapping[object, object], key: str, default: tuple[str, ...], path: str, findings: Findings
) -> tuple[str, ...]:
    here = fields.join(path, key)
    names = value.get(key, default)
    if not isinstance(names, list | tuple):
        findings.error(here, f"{fields.shown(names)} is not a list of interfaces")
        return ()
    if len(names) > fields.MAX_INTERFACES:
        findings.error(here, f"{len(names)} interfaces are too many (at most {fields.MAX_INTERFACES})")
        return ()
    found = [fields.interface(name, f"{here}[{index}]", findings) for index, name in enumerate(names)]
    return tuple(sorted({name for name in found if name is not None}))
