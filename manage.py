#!/usr/bin/env python3
"""Run Django's management commands; `manage.py firewall --help` lists dockerfw's own verbs."""

import os
import sys


def main() -> int:
    """Run Django's command line and return the exit status."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
    from django.core.management import execute_from_command_line

    from dockerfw.settings import SettingError

    try:
        execute_from_command_line(sys.argv)
    except SettingError as error:
        print(f"dockerfw: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
