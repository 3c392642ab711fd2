"""Put into words what the feeds, DNS names and countries of a draft stand for, for the pages of groups."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from django.utils import timezone

from dockerfw.chains.group_sets import group_definition
from dockerfw.document.entries import Network
from rules.draft.draft_selectors import base_document, draft_document
from rules.draft.group_selectors import GroupState
from rules.lists.list_selectors import ListState, find_address, list_states, version_size
from rules.models import GroupList, Host, ListVersion
from rules.pages.wording import describe_age

_TONES = {"current": "ok", "waiting": "warn", "failing": "warn", "stale": "warn", "held": "warn"}


def group_states(host: Host) -> Mapping[str, GroupState]:
    """Return the state of each group that is not static, by name, once its list is followed."""
    lists = {state.definition: state for state in list_states(host)}
    found = {name: lists.get(definition) for name, definition in _definitions(host).items()}
    now = timezone.now()
    return {name: _in_words(state, now) for name, state in found.items() if state}


def find_in_lists(host: Host, network: Network) -> Mapping[str, str]:
    """Return the widest network with an address of each group that is a list, "" without one, by name.

    A list without a version is not among them, and none is for a network: only addresses are looked up.
    """
    if network.prefixlen < network.max_prefixlen:
        return {}
    held = {found.definition: found.network for found in find_address(host, str(network[0]))}
    known = {state.definition for state in list_states(host) if state.current}
    groups = (group for group in draft_document(host).groups if group.kind != "static")
    named = {group.name: group_definition(group) for group in groups}
    return {name: held.get(each, "") for name, each in named.items() if each in known}


def list_state_of(host: Host, name: str) -> ListState | None:
    """Return the list of a group, None for a static group or before it is followed."""
    definition = _definitions(host).get(name)
    return next((each for each in list_states(host) if each.definition == definition), None)


def _definitions(host: Host) -> dict[str, str]:
    """Return the definitions of lists by the names of groups: of the draft, and of those removed from it."""
    base, draft = base_document(host), draft_document(host)
    groups = {group.name: group for group in (*(base.groups if base else ()), *draft.groups)}
    return {name: group_definition(group) for name, group in groups.items() if group.kind != "static"}


def list_row(state: ListState) -> GroupList:
    """Return the row of a list that is followed."""
    return GroupList.objects.get(pk=state.key)


def version_get(host: Host, key: int) -> ListVersion | None:
    """Return a version of one of a host's lists, None when there is none."""
    return ListVersion.objects.filter(list__host=host, pk=key).select_related("list").first()


def _in_words(state: ListState, now: datetime) -> GroupState:
    current = state.current
    return GroupState(
        text=_sentence(state, now),
        tone=_TONES[state.state],
        ipv4=current.entries4 if current else 0,
        ipv6=current.entries6 if current else 0,
        is_followed=True,
        size=version_size(current) if current else None,
    )


def _sentence(state: ListState, now: datetime) -> str:
    ago = f"{describe_age((now - state.fetched_at).total_seconds())} ago" if state.fetched_at else ""
    why = f" {state.error}" if state.error else ""
    if state.state == "current":
        fetched = f"Version {state.current.number}, fetched" if state.current else "Fetched"
        return f"{fetched} {ago}.{why}"
    if state.state == "held":
        number = state.held.number if state.held else 0
        return f"Version {number} waits to be accepted.{why}"
    again = _next_try(state, now)
    if state.state == "stale":
        since = f"Not fetched since {ago}." if ago else "Never fetched."
        return f"{since} Its networks may be out of date.{why}{again}"
    if state.state == "failing":
        kept = " The last version stays in use." if state.current else " It has no networks yet."
        return f"Fetching fails.{why}{kept}{again}"
    return "Not fetched yet. Until then it has no networks."


def _next_try(state: ListState, now: datetime) -> str:
    """Return when a list is fetched again, empty when it is not."""
    if state.due_at is None:
        return ""
    seconds = (state.due_at - now).total_seconds()
    return f" The next try is in {describe_age(seconds)}." if seconds >= 1 else " The next try is due now."
