"""The rules that a host's root worker loaded for its newest revision, as restore texts.

Pages compare the kernel with these rules, and not with what their own release would render for the revision.
It is not part of the snapshot because pages of release 0.1.0 refuse a snapshot with an unknown key. Unknown
keys are ignored here, so that later releases can add some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, ClassVar, Final

from dockerfw.chains.rendered_rules import Rendering, read_rendering
from dockerfw.chains.static_sets import UnusableSet, read_sets, write_sets
from dockerfw.iptables.model import FAMILIES, Family
from dockerfw.messages.codec import Absent, Message
from dockerfw.messages.errors import MessageError
from dockerfw.messages.shapes import Digest, Entries, HostName, Positive, Text

MAX_TEXTS: Final = 10 * 1024 * 1024
"""The most characters that the texts of both families have together; more are not kept."""
MAX_BYTES: Final = MAX_TEXTS + 1024 * 1024
TEXTS: Final = Entries(FAMILIES, Text(MAX_TEXTS), some=True)
"""The form of the texts by family; a kernel without IPv6 has none for family 6."""


def loaded_key(host: str) -> str:
    """Return the Redis key of the message: one that the Redis users of release 0.1.0 may write and read."""
    return f"dockerfw:progress:{host}:loaded"


def loaded_digest(texts: Mapping[Family, str]) -> str:
    """Return the SHA-256 of the texts of both families, 64 hex digits."""
    digest = hashlib.sha256()
    for family in FAMILIES:
        text = texts.get(family, "")
        digest.update(f"{family} {len(text)}\n{text}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def texts_to_keep(rules: Mapping[Family, Rendering]) -> dict[Family, str]:
    """Return the texts by family, none where they are too large to be kept."""
    texts = {family: rendering.to_text() for family, rendering in rules.items()}
    return texts if sum(map(len, texts.values())) + len(sets_to_keep(rules)) <= MAX_TEXTS else {}


def sets_to_keep(rules: Mapping[Family, Rendering]) -> str:
    """Return the static sets of both families in one text, to be kept beside the texts of the rules."""
    return write_sets(one for family in sorted(rules) for one in rules[family].sets)


def renderings_of(texts: Mapping[Family, str], sets: str) -> dict[Family, Rendering]:
    """Return the rules by family from the texts that are kept of them. Raises UnusableSet."""
    known = read_sets(sets)
    return {
        family: read_rendering(text).with_sets(one for one in known if one.family == family)
        for family, text in texts.items()
    }


@dataclass(frozen=True, slots=True)
class LoadedRules(Message):
    """The rules loaded for a revision with the document digest `digest`; `sha256` is that of the texts.

    `sha256` comes first, for readers of the first bytes.
    """

    FORMAT: ClassVar = "dockerfw-loaded/1"
    IGNORES_UNKNOWN_KEYS: ClassVar = True

    sha256: Digest
    host: HostName
    revision: Positive
    digest: Digest
    texts: Annotated[Mapping[Family, str], TEXTS]
    # The static sets that the rules match; the name of each is the digest of its contents.
    sets: Annotated[str, Text(MAX_TEXTS), Absent.WHEN_EMPTY] = ""

    @classmethod
    def of(cls, host: str, revision: int, digest: str, rules: Mapping[Family, Rendering]) -> LoadedRules:
        """Return the message for a host's rules; it has no texts where they are too large."""
        texts = texts_to_keep(rules)
        sets = sets_to_keep(rules) if texts else ""
        return cls(loaded_digest(texts), host, revision, digest, texts, sets)

    def check(self) -> None:
        """Raise MessageError when the digest is not that of the texts."""
        if loaded_digest(self.texts) != self.sha256:
            raise MessageError("sha256", "is not the digest of the texts")
        try:
            read_sets(self.sets)
        except UnusableSet as error:
            raise MessageError("sets", str(error)) from None

    def rules(self) -> dict[Family, Rendering]:
        """Return the rules by family."""
        return renderings_of(self.texts, self.sets)
