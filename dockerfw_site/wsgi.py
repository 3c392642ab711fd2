"""The WSGI application for gunicorn. It stores a secret key first, so that sessions survive a restart."""

import os

from django.core.wsgi import get_wsgi_application

from dockerfw_site.environment import ensure_secret_key, read_environment
from dockerfw_site.presence import take_part

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "dockerfw_site.settings")
ensure_secret_key()
take_part(read_environment().data_dir)
application = get_wsgi_application()
