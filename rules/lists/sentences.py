"""Sentences about feeds, DNS names and countries."""

from __future__ import annotations

from typing import Final

NO_REPLY: Final = "{name} ({kind}) was not resolved: {why}."
TOO_MANY_ADDRESSES: Final = "{name} has {count} addresses. At most {most} are used."

NO_COUNTRY_FILE: Final = (
    "No file with the networks of countries is set. Set DOCKERFW_COUNTRY_FILE to a file in MaxMind's format."
)
COUNTRY_FILE_UNREADABLE: Final = "The file {path} with the networks of countries cannot be used: {why}."
NO_COUNTRY: Final = "{codes} has no networks in {path}."

CUT_OFF: Final = "Fetching was not done within {seconds:.0f} seconds and was stopped."
NOT_HELD: Final = "Version {number} of {name} is not held any more. Reload the page."
FAULTY: Final = "Version {number} of {name} cannot be accepted: {why}"
NOT_AN_ADDRESS: Final = "{text!r} is not an address such as 192.0.2.1 or 2001:db8::1."

HELD_BACK: Final = "The new version is held back from the host: {why}"
CANNOT_JUDGE: Final = "what it would change is unknown. {why}"
BREAKS_EXPECTATION: Final = "with it an expectation fails ({expectation}): {why}."
LOCKS_OUT: Final = "with it {address}, from which an admin works now, no longer reaches port {port}."
NO_SNAPSHOT: Final = (
    "The host's own addresses are unknown, and a block must not cover them. The root worker has not reported."
)
