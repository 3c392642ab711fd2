"""Hand every address to the rules app; nothing of RQ's own pages is included, because they unpickle."""

from django.urls import include, path

urlpatterns = [path("", include("rules.urls"))]
