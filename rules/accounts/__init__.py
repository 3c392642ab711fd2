"""Accounts, sign-in and the first admin."""
