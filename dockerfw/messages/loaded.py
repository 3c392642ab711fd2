"""The rules that a host's root worker loaded for its newest revision, as the restore texts that it loaded.

Pages compare the kernel with these rules, and not with what their own release would render for the revision.
It is not part of the snapshot because pages of release 0.1.0 refuse a snapshot with an unknown key.
Unknown keys are skipped, so that another release may add some.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from dockerfw.chains.rendering import Rendering, read_rendering
from dockerfw.iptables.model import Family
from dockerfw.messages.fields import Fields

FORMAT: Final = "dockerfw-loaded/1"
MAX_TEXTS: Final = 10 * 1024 * 1024
"""The most characters that the texts of both families have together; more are not kept."""
MAX_BYTES: Final = MAX_TEXTS + 1024 * 1024
_FAMILIES: Final[tuple[Family, ...]] = (4, 6)


def loaded_key(host: str) -> str:
    """Return the Redis key of the message: one that the Redis users of release 0.1.0 may write and read."""
    return f"dockerfw:progress:{host}:loaded"


def loaded_digest(texts: Mapping[Family, str]) -> str:
    """Return the SHA-256 of the texts of both families, 64 hex digits."""
    digest = hashlib.sha256()
    for family in _FAMILIES:
        text = texts.get(family, "")
        digest.update(f"{family} {len(text)}\n{text}".encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def texts_to_keep(rules: Mapping[Family, Rendering]) -> dict[Family, str]:
    """Return the texts by family, none where they are too large to be kept."""
    texts = {family: rendering.to_text() for family, rendering in rules.items()}
    return texts if sum(map(len, texts.values())) <= MAX_TEXTS else {}


def loaded_texts(fields: Fields) -> dict[Family, str]:
    """Read the texts by family, out of the object that holds them. Raises OrderError."""
    texts = {
        family: fields.text(str(family), longest=MAX_TEXTS) for family in _FAMILIES if fields.has(str(family))
    }
    fields.done()
    return texts


@dataclass(frozen=True, slots=True)
class LoadedRules:
    """The rules loaded for a revision with the document digest `digest`; `sha256` is that of the texts.

    A kernel without IPv6 has no text for family 6.
    """

    host: str
    revision: int
    digest: str
    texts: Mapping[Family, str]
    sha256: str

    @classmethod
    def of(cls, host: str, revision: int, digest: str, rules: Mapping[Family, Rendering]) -> LoadedRules:
        """Return the message for a host's rules; it has no texts where they are too large."""
        texts = texts_to_keep(rules)
        return cls(host, revision, digest, texts, loaded_digest(texts))

    @classmethod
    def from_json(cls, value: object) -> LoadedRules:
        """Read the message; unknown keys are skipped. Raises OrderError."""
        fields = Fields.of_message(value, FORMAT)
        loaded = cls(
            host=fields.host(),
            revision=fields.integer("revision", least=1),
            digest=fields.digest("digest"),
            texts=loaded_texts(fields.object("texts")),
            sha256=fields.digest("sha256"),
        )
        if loaded_digest(loaded.texts) != loaded.sha256:
            fields.fail("sha256", "is not the digest of the texts")
        return loaded

    def to_json(self) -> dict[str, object]:
        """Return the message as a JSON object; `sha256` comes early, for readers of its first bytes."""
        return {
            "format": FORMAT,
            "sha256": self.sha256,
            "host": self.host,
            "revision": self.revision,
            "digest": self.digest,
            "texts": {str(family): text for family, text in self.texts.items()},
        }

    def rules(self) -> dict[Family, Rendering]:
        """Return the rules by family."""
        return {family: read_rendering(text) for family, text in self.texts.items()}
