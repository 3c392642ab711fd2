"""For the doctor's tests: namespaces, state directories and a Redis of the test's own."""

from __future__ import annotations
