"""What scripts/install, scripts/uninstall and the command `dockerfw` are made of, on a host with systemd.

What these put in has its paths and names in `places`, once. Taking out has to work where the code is broken,
so `uninstall` and what it imports need nothing but a Python 3.10.
"""
