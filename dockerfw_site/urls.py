"""The URLs of the site, all in the rules app. RQ's own pages are not included, because they unpickle."""

from django.urls import include, path

handler500 = "dockerfw_site.errors.server_error"

urlpatterns = [path("", include("rules.urls"))]
