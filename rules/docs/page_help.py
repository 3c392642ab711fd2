"""Which section of the documentation explains each page, and each kind of trouble that a page shows."""

from __future__ import annotations

from typing import Final

from rules.docs.doc_selectors import doc_url

# By the name of the page's address: the page of the documentation, and the section in it.
PAGE_HELP: Final = {
    "dashboard": "everyday#the-dashboard",
    "host-list": "everyday#several-hosts",
    "charts": "everyday#over-time",
    "rule-list": "everyday#rules",
    "rule-new": "everyday#rules",
    "rule-edit": "everyday#rules",
    "rule-bulk": "everyday#rules",
    "group-list": "everyday#groups",
    "group": "everyday#groups",
    "group-new": "everyday#groups",
    "group-edit": "everyday#groups",
    "group-list-page": "lists#what-a-list-may-do",
    "expectation-list": "everyday#expectations",
    "expectation-new": "everyday#expectations",
    "expectation-edit": "everyday#expectations",
    "start": "first-hour#2-answer-the-five-questions",
    "start-step": "first-hour#2-answer-the-five-questions",
    "settings": "first-hour#2-answer-the-five-questions",
    "import": "first-hour#if-you-have-rules-already",
    "adopt": "first-hour#if-you-have-rules-already",
    "review": "everyday#review",
    "apply": "everyday#keep-or-roll-back",
    "apply-waiting": "everyday#keep-or-roll-back",
    "apply-keep": "everyday#keep-or-roll-back",
    "history": "everyday#history",
    "compare": "everyday#history",
    "revision": "everyday#history",
    "rollback": "everyday#history",
    "exposure": "everyday#who-can-reach-what",
    "trace": "everyday#who-can-reach-what",
    "refused": "everyday#refused-packets",
    "live": "everyday#the-rules-in-the-kernel",
    "search": "everyday#search-and-keys",
    "audit": "everyday#history",
    "audit-event": "everyday#history",
    "docs": "everyday#search-and-keys",
    "doc-page": "everyday#search-and-keys",
    "password": "troubleshooting#forgotten-password-or-no-admin-left",
}

# By what went wrong: a fact of the page, or the step at which an apply failed.
TROUBLE_HELP: Final = {
    "no-report": "troubleshooting#the-dashboard-shows-nothing-from-the-kernel",
    "drift": "everyday#changes-made-outside-dockerfw",
    "sets": "troubleshooting#apply-is-refused-because-ipsets-cannot-be-created",
    "rehearse": "troubleshooting#the-rehearsal-failed",
    "load-ipv4": "troubleshooting#the-load-failed-or-the-kernel-holds-something-else",
    "load-ipv6": "troubleshooting#the-load-failed-or-the-kernel-holds-something-else",
    "read-back": "troubleshooting#the-load-failed-or-the-kernel-holds-something-else",
    "keep": "troubleshooting#keep-is-refused",
}


def help_url(view: str) -> str:
    """Return the address of the section that explains a page; the index for pages that have none."""
    return doc_url(*PAGE_HELP.get(view, "").split("#"))


def trouble_url(trouble: str) -> str:
    """Return the address of the section about a kind of trouble; all of them by symptom where none fits."""
    return doc_url(*TROUBLE_HELP.get(trouble, "troubleshooting").split("#"))
