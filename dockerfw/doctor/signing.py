"""Check the keys for signed orders and lists: the root worker trusts those that the dashboard signs with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, note, ok, problem, unknown

# Both make a missing pair, and a root worker's missing key from the dashboard's.
RENEW: Final = "/opt/dockerfw/scripts/install --host, or docker compose up -d --force-recreate"
ROOT: Final = 0
GROUP_READS: Final = 0o040


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The file of a key: what is wrong with it, empty for nothing, and the fingerprint of its public key.

    `readable` is false where this process may not read it, and `missing` is true where there is none.
    """

    path: str
    fault: str = ""
    fingerprint: str = ""
    readable: bool = True
    missing: bool = False
    uid: int = ROOT
    mode: int = 0


@dataclass(frozen=True, slots=True)
class PairFacts:
    """Both keys of a pair, None where the process that uses one is not on this host.

    `reported` is the fingerprint of the key that the root worker said that it trusts, empty where it did not.
    """

    signer: KeyFile | None
    key: KeyFile | None
    reported: str = ""

    @property
    def trusted(self) -> str:
        """The fingerprint of the key that the root worker trusts, empty where that is unknown."""
        return self.signer.fingerprint if self.signer is not None else self.reported

    @property
    def signs(self) -> str:
        """The fingerprint of the key that signs, empty where that is unknown."""
        return self.key.fingerprint if self.key is not None else ""


@dataclass(frozen=True, slots=True)
class SigningFacts:
    """The pairs for orders and for lists; `account` is the dashboard's uid, None if unknown."""

    orders: PairFacts
    lists: PairFacts
    account: int | None = None


@dataclass(frozen=True, slots=True)
class _Pair:
    """The words about one pair: who signs what, what fails without it, and the ids of its checks."""

    owner: str
    what: str
    fails: str
    ids: str = "signing."
    # Without feeds, DNS names and countries nobody misses the pair for lists.
    may_miss: bool = False


_ORDERS: Final = _Pair("The dashboard", "orders", "the root worker refuses every order")
_LISTS: Final = _Pair(
    "The clerk",
    "lists",
    "feeds, DNS names and countries stay empty",
    ids="signing.lists-",
    may_miss=True,
)


def judge_signing(facts: SigningFacts) -> Iterator[Finding]:
    """Judge both pairs: each key, that they belong together, and that they are two pairs."""
    for words, pair in ((_ORDERS, facts.orders), (_LISTS, facts.lists)):
        yield _signer(words, pair.signer)
        yield _key(words, pair.key, facts.account)
        yield _pair(words, pair)
    yield _apart(facts)


def _signer(words: _Pair, signer: KeyFile | None) -> Finding:
    check = f"{words.ids}signer"
    if signer is None:
        return unknown(check, "the root worker is not on this host")
    if not signer.readable:
        return unknown(check, "needs root on the host")
    if signer.fault:
        return _faulty(words, check, signer)
    return ok(check, f"The root worker trusts the key {signer.fingerprint} for {words.what}.")


def _key(words: _Pair, key: KeyFile | None, account: int | None) -> Finding:
    check = f"{words.ids}key"
    if key is None:
        return unknown(check, "the dashboard is not on this host")
    if not key.readable:
        return unknown(check, "needs root, or the owner of the key")
    if key.fault:
        return _faulty(words, check, key)
    # In the image only one container has the file, and reads it as a member of its group.
    others_read = key.mode & 0o077 & ~(GROUP_READS if key.uid == ROOT else 0)
    if others_read or (account is not None and key.uid not in (ROOT, account)):
        text = f"Other users can read {key.path} and sign {words.what} as the dashboard."
        return problem(check, text, f"rm {key.path}, then {RENEW}")
    return ok(check, f"Only {words.owner.lower()} can sign {words.what} with {key.path}.")


def _faulty(words: _Pair, check: str, key: KeyFile) -> Finding:
    judge = note if words.may_miss and key.missing else problem
    return judge(check, f"{words.fails[0].upper()}{words.fails[1:]}: {key.fault}.", RENEW)


def _pair(words: _Pair, pair: PairFacts) -> Finding:
    check = f"{words.ids}pair"
    if not pair.trusted or not pair.signs:
        return unknown(check, "one of the two keys cannot be read here")
    if pair.trusted != pair.signs:
        text = (
            f"{words.owner} signs {words.what} with the key {pair.signs}, but the root worker trusts"
            f" {pair.trusted} only: {words.fails}."
        )
        return problem(check, text, RENEW)
    return ok(check, f"The root worker trusts the key that {words.owner.lower()} signs {words.what} with.")


def _apart(facts: SigningFacts) -> Finding:
    check = "signing.two-pairs"
    pairs = (facts.orders, facts.lists)
    orders, lists = ({each for each in (pair.trusted, pair.signs) if each} for pair in pairs)
    if not orders or not lists:
        return unknown(check, "the keys of one pair cannot be read here")
    if orders & lists:
        text = "Lists and orders are signed with the same key, so the clerk could order any rule."
        return problem(
            check, text, f"rm {facts.lists.key.path if facts.lists.key else 'lists.key'}, then {RENEW}"
        )
    return ok(check, "The key for lists orders no rule.")
