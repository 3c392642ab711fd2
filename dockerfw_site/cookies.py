"""The names of the cookies, which no other installation and no other program uses.

Browsers send a cookie to every port of a host name. So two dashboards on one host name would end each other's
sessions, and another site could set a cookie of the same name.
"""

from __future__ import annotations

from hashlib import sha256


def cookie_name(kind: str, secret_key: str, *, secure: bool) -> str:
    """Return the name of a cookie of this installation.

    Over HTTPS it begins with `__Host-`: browsers then accept it only from this host name itself, over HTTPS
    and for every path (RFC 6265bis, 4.1.3.2).
    """
    own = sha256(f"dockerfw cookies {secret_key}".encode()).hexdigest()[:8]
    return f"{'__Host-' if secure else ''}dockerfw-{own}-{kind}"
