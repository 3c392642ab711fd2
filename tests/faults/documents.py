"""What the fault runs order: rules of which one needs bound sets, so that these are there in every fault."""

from __future__ import annotations

from typing import Any

from tests.rig import host_states


def document(*ports: str) -> dict[str, Any]:
    """Return a document that opens these ports, the first one as a published port too."""
    value = host_states.document(*ports)
    value["rules"].append({"scope": "container", "protocol": "tcp", "ports": [ports[0]]})
    return value
