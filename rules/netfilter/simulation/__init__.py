"""A packet's way through the rules, worked out and not sent: one core for one packet and for all sources.

It reads rules as the kernel would and never guesses: what it cannot decide it names. It must not load, send
or read anything.
"""
