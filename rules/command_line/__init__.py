"""The verbs of `manage.py firewall`, a module for each kind; the command itself only reads arguments."""
