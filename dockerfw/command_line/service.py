"""Which service of a Compose installation runs a verb: each container sees only its own part of the host.

compose.yaml names the service of a container in DOCKERFW_SERVICE. Elsewhere the variable is not set, and
every verb may run.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Final

from dockerfw.settings import text_of
from dockerfw.streams import InputError

IN_FIREWALL: Final = ("panic", "release", "reset-sequence", "agent")
IN_TOOLS: Final = ("backup", "restore")
IN_WEB: Final = ("firstadmin", "changepassword", "createsuperuser")
ANYWHERE: Final = ("doctor", "")


def check_service(verb: str, words: Sequence[str], environ: Mapping[str, str] | None = None) -> None:
    """Raise InputError with the right command when another service has to run the verb."""
    service = text_of(os.environ if environ is None else environ, "DOCKERFW_SERVICE")
    if not service or verb in ANYWHERE or service in (services := _services(verb)):
        return
    start = "run --rm" if services[0] == "tools" else "exec"
    called = f"docker compose {start} {services[0]} dockerfw {' '.join(words)}"
    raise InputError(f"the service {service} cannot run {verb}. Use: {called}")


def _services(verb: str) -> tuple[str, ...]:
    if verb in IN_FIREWALL:
        return ("firewall",)
    if verb in IN_TOOLS:
        return ("tools",)
    if verb in IN_WEB:
        return ("web",)
    return ("web", "clerk", "firewall") if verb == "status" else ("web", "clerk")
