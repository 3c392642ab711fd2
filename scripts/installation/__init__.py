"""The programs behind scripts/install and scripts/uninstall, for a host with systemd.

`places` has all paths and names of an installation. Removing must work even if the installed code is broken,
so `uninstall` and the modules that it imports need only Python 3.10.
"""
