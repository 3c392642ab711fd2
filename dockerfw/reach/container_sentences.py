"""Sentences about rules for containers by name that allow nothing now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from dockerfw.document.container_labels import LABEL
from dockerfw.document.words import join_words
from dockerfw.iptables.tokens import printable

_FEW: Final = 3

CONTAINERS_UNKNOWN: Final = (
    "This rule allows nothing: the containers of this host are not known. Set DOCKERFW_DOCKER_SOCKET for the"
    " root worker, and check that Docker runs."
)


def no_container(selector: str) -> str:
    """Warn that no running container has the name or label."""
    if selector.startswith(LABEL):
        label = selector.removeprefix(LABEL)
        return f"This rule allows nothing now: no running container has the label {label}."
    return f"This rule allows nothing now: no running container is named {selector}."


def on_host_network(names: Sequence[str]) -> str:
    """Warn that containers use the host's network, where their ports are the host's."""
    return f"This rule allows nothing: {_verb(names, 'uses')} the host's network. Use a rule for the host."


def past_the_host(names: Sequence[str]) -> str:
    """Warn that containers are on no bridge of the host."""
    return (
        f"This rule allows nothing: {_verb(names, 'is')} on no bridge of this host. Packets to macvlan and"
        " ipvlan networks do not pass this host's rules."
    )


def not_published(names: Sequence[str]) -> str:
    """Warn that containers do not publish the ports of a rule."""
    return f"This rule allows nothing now: {_verb(names, 'publishes')} none of these ports."


_PLURALS: Final = {"uses": "use", "is": "are", "publishes": "publish"}


def _verb(names: Sequence[str], verb: str) -> str:
    # Containers choose their names themselves.
    shown = join_words([printable(each) for each in names], most=_FEW)
    return f"{shown} {verb if len(names) == 1 else _PLURALS[verb]}"
