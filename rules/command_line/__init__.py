"""The verbs of `manage.py firewall`."""
