"""The figures for Prometheus at `/metrics`, for whoever knows the token, and for nobody else.

Where a request comes from does not count: behind a proxy all of them may come from loopback.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib.auth.decorators import login_not_required
from django.http import HttpRequest, HttpResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from rules.overview.metrics_selectors import metrics_text

OFF = "Metrics are off. Set DOCKERFW_METRICS_TOKEN to turn them on.\n"
WRONG = "Send the token of DOCKERFW_METRICS_TOKEN as Authorization: Bearer TOKEN.\n"


@login_not_required
@require_safe
@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    """Answer with the figures, 401 without the right token, and 404 while no token is set."""
    token = settings.ENVIRONMENT.metrics_token
    if token is None:
        return HttpResponse(OFF, status=404, content_type="text/plain")
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    if not (scheme.lower() == "bearer" and constant_time_compare(given.strip(), token)):
        response = HttpResponse(WRONG, status=401, content_type="text/plain")
        response["WWW-Authenticate"] = 'Bearer realm="dockerfw"'
        return response
    text, content_type = metrics_text(request.headers.get("Accept", ""))
    return HttpResponse(text, content_type=content_type)
