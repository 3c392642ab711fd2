"""Check the keys for signed orders: the root worker trusts the key that the dashboard signs with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dockerfw.doctor.finding import Finding, ok, problem, unknown

# Both make a missing pair, and a root worker's missing key from the dashboard's.
RENEW: Final = "/opt/dockerfw/scripts/install --host, or docker compose up -d --force-recreate"
ROOT: Final = 0
GROUP_READS: Final = 0o040


@dataclass(frozen=True, slots=True)
class KeyFile:
    """The file of a key: what is wrong with it, empty for nothing, and the fingerprint of its public key.

    `readable` is false where this process may not read it.
    """

    path: str
    fault: str = ""
    fingerprint: str = ""
    readable: bool = True
    uid: int = ROOT
    mode: int = 0


@dataclass(frozen=True, slots=True)
class SigningFacts:
    """Both keys, None where the process that uses one is not on this host.

    `reported` is the fingerprint of the key that the root worker said that it trusts, empty where it did not.
    """

    signer: KeyFile | None
    key: KeyFile | None
    reported: str = ""


def judge_signing(facts: SigningFacts) -> Iterator[Finding]:
    """Judge both keys, and that they belong together."""
    yield _signer(facts.signer)
    yield _key(facts.key)
    yield _pair(facts)


def _signer(signer: KeyFile | None) -> Finding:
    check = "signing.signer"
    if signer is None:
        return unknown(check, "the root worker is not on this host")
    if not signer.readable:
        return unknown(check, "needs root on the host")
    if signer.fault:
        text = f"The root worker refuses every order: {signer.fault}."
        return problem(check, text, RENEW)
    return ok(check, f"The root worker trusts the dashboard's key {signer.fingerprint}.")


def _key(key: KeyFile | None) -> Finding:
    check = "signing.key"
    if key is None:
        return unknown(check, "the dashboard is not on this host")
    if not key.readable:
        return unknown(check, "needs root, or the owner of the key")
    if key.fault:
        text = f"The dashboard cannot sign orders, so the root worker refuses them: {key.fault}."
        return problem(check, text, RENEW)
    # In the image only the pages' container has the file, and reads it as a member of its group.
    if key.mode & 0o077 & ~(GROUP_READS if key.uid == ROOT else 0):
        text = f"Other users can read {key.path} and sign orders as the dashboard."
        return problem(check, text, f"rm {key.path}, then {RENEW}")
    return ok(check, f"Only the web pages can sign orders with {key.path}.")


def _pair(facts: SigningFacts) -> Finding:
    check = "signing.pair"
    trusted = facts.signer.fingerprint if facts.signer is not None else facts.reported
    signs = facts.key.fingerprint if facts.key is not None else ""
    if not trusted or not signs:
        return unknown(check, "one of the two keys cannot be read here")
    if trusted != signs:
        text = f"The dashboard signs with the key {signs}, but the root worker trusts {trusted} only."
        return problem(check, text, RENEW)
    return ok(check, "The root worker trusts the key that the dashboard signs with.")
