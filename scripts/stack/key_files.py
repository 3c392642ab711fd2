"""The names of the files with the keys for signing orders, also those about lists.

It needs nothing but Python's own library.
"""

from __future__ import annotations

SIGNING_KEY = "signing.key"
SIGNER = "signer.pub"
LISTS_KEY = "lists.key"
LISTS_SIGNER = "lists.pub"
