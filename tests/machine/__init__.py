"""A whole Debian with a systemd of its own, which is installed to, booted again and switched off.

Owns what scripts/reboots is made of: the tree of files, the machine, and the story that is played in it.
The machine is a container of systemd-nspawn: real systemd as its process 1, files and a network of its own,
and this machine's kernel. Whatever it does to its rules, it does in its own network namespace.
"""
