"""Hand every address to the rules app; nothing of RQ's own pages is included, because they unpickle."""

from django.urls import include, path

handler500 = "dockerfw_site.errors.server_error"

urlpatterns = [path("", include("rules.urls"))]
