"""The settings of a document, which apply to a whole host: their validation and their JSON."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, cast

from dockerfw.document import fields, sentences
from dockerfw.document.fields import Problems
from dockerfw.document.formats import FORMAT_1
from dockerfw.document.values import ContainersReachHost, Icmp, Refuse, Settings
from dockerfw.iptables.errors import DocumentError

_KEYS: Final = (
    *("external_interfaces", "trusted_interfaces", "refuse", "icmp", "heal_anchors"),
    *("containers_reach_host", "log_refused"),
)
# A key at its default that came later to `dockerfw/1`, which has all of the others.
_LATER_KEYS: Final = ("heal_anchors",)
# Keys that only `dockerfw/2` has.
_NEWER_KEYS: Final = ("containers_reach_host", "log_refused")


def validate_settings(value: object, path: str = "") -> Settings:
    """Validate the settings of a host; errors have the name of the field. Raises DocumentError."""
    problems = Problems()
    settings = read_settings(value, path, problems)
    if problems.errors:
        raise DocumentError(tuple(problems.errors))
    return settings


def settings_to_json_object(settings: Settings) -> dict[str, Any]:
    """Return settings as a JSON object with every key."""
    return {
        "external_interfaces": list(settings.external_interfaces),
        "trusted_interfaces": list(settings.trusted_interfaces),
        "refuse": settings.refuse,
        "icmp": settings.icmp,
        "heal_anchors": settings.heal_anchors,
        "containers_reach_host": settings.containers_reach_host,
        "log_refused": settings.log_refused,
    }


def write_settings(settings: Settings, layout: str) -> dict[str, Any]:
    """Return settings as a JSON object of a format."""
    values, defaults = settings_to_json_object(settings), settings_to_json_object(Settings())
    if layout == FORMAT_1:
        defaults = {key: defaults[key] for key in (*_LATER_KEYS, *_NEWER_KEYS)}
    return fields.without_defaults(values, defaults)


def read_settings(value: object, path: str, problems: Problems, *, earlier: bool = False) -> Settings:
    """Read settings from a JSON object, `earlier` if it is of `dockerfw/1`. Record errors below `path`."""
    if not isinstance(value, Mapping):
        problems.error(path, sentences.not_settings(fields.shown(value)))
        return Settings()
    fields.check_keys(value, _KEYS, path, problems, newer=_NEWER_KEYS if earlier else ())
    default = Settings()
    external = _interfaces(value, "external_interfaces", default.external_interfaces, path, problems)
    trusted = _interfaces(value, "trusted_interfaces", default.trusted_interfaces, path, problems)
    for name in trusted:
        both = next((other for other in external if fields.interfaces_overlap(name, other)), None)
        if both is not None:
            problem = sentences.trusted_and_external(name, both)
            problems.error(fields.join(path, "trusted_interfaces"), problem)
    refuse = fields.read_choice(
        value.get("refuse", default.refuse), ("reject", "drop"), fields.join(path, "refuse"), problems
    )
    icmp = fields.read_choice(
        value.get("icmp", default.icmp), ("accept", "refuse"), fields.join(path, "icmp"), problems
    )
    heal = fields.read_boolean(
        value.get("heal_anchors", default.heal_anchors), fields.join(path, "heal_anchors"), problems
    )
    reach = fields.read_choice(
        value.get("containers_reach_host", default.containers_reach_host),
        ("by-rules", "allow"),
        fields.join(path, "containers_reach_host"),
        problems,
    )
    log = fields.read_boolean(
        value.get("log_refused", default.log_refused), fields.join(path, "log_refused"), problems
    )
    return Settings(
        external_interfaces=external,
        trusted_interfaces=trusted,
        refuse=cast(Refuse, refuse),
        icmp=cast(Icmp, icmp),
        heal_anchors=bool(heal),
        containers_reach_host=cast(ContainersReachHost, reach),
        log_refused=log is not False,
    )


def _interfaces(
    value: Mapping[object, object], key: str, default: tuple[str, ...], path: str, problems: Problems
) -> tuple[str, ...]:
    here = fields.join(path, key)
    names = value.get(key, default)
    if not isinstance(names, list | tuple):
        problems.error(here, sentences.not_a_list(fields.shown(names), "interfaces"))
        return ()
    if len(names) > fields.MAX_INTERFACES:
        problems.error(here, sentences.too_many(len(names), "interfaces", fields.MAX_INTERFACES))
        return ()
    found = [fields.read_interface(name, f"{here}[{index}]", problems) for index, name in enumerate(names)]
    return tuple(sorted({name for name in found if name is not None}))
