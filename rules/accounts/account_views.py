"""Sign-in, sign-out, password change, and the setup link of the first admin."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode, urlsplit

from django.contrib import messages
from django.contrib.auth import login
from django.contrib.auth.decorators import login_not_required
from django.contrib.auth.views import LoginView, LogoutView, PasswordChangeView
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse, reverse_lazy
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters, sensitive_variables
from django.views.decorators.http import require_http_methods
from django_htmx.http import HttpResponseClientRedirect

from dockerfw_site.proxies import client_address
from rules.accounts.account_forms import SetupForm, SignInForm
from rules.accounts.setup_services import first_admin_create, first_admin_link_is_open
from rules.audit.actors import actor_of
from rules.audit.audit_services import audit_record
from rules.pages.errors import Invalid, NotFound
from rules.pages.forms import place_errors
from rules.pages.frame import page_context
from rules.pages.host_selectors import host_default

# Parts that pages poll beside a form.
POLLS = ("state-banner", "state-pill", "window-banner", "apply-waiting")


@method_decorator([login_not_required, sensitive_post_parameters(), never_cache], name="dispatch")
class SignIn(LoginView):
    """The sign-in page."""

    template_name = "accounts/sign_in.html"
    form_class = SignInForm
    redirect_authenticated_user = True

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Redirect the whole page when htmx asks for a piece of it after the session has ended."""
        if (
            request.method == "GET"
            and request.headers.get("HX-Request") == "true"
            and not request.user.is_authenticated
        ):
            if request.headers.get("HX-Target") in POLLS:
                # Leaving the page would lose what is typed there.
                return HttpResponse(status=204)
            back = urlsplit(request.headers.get("HX-Current-URL", ""))
            path = f"{back.path}?{back.query}" if back.query else back.path
            return HttpResponseClientRedirect(
                f"{reverse('rules:sign-in')}?{urlencode({'next': path or '/'})}"
            )
        return super().dispatch(request, *args, **kwargs)


class SignOut(LogoutView):
    """Sign out, by POST only."""

    http_method_names = ["post", "options"]


class ChangePassword(PasswordChangeView):
    """Change one's own password, which ends the account's other sessions."""

    template_name = "accounts/password.html"
    success_url = reverse_lazy("rules:home")

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """Add the context of the frame."""
        return {**super().get_context_data(**kwargs), **page_context(None, section="account")}

    def form_valid(self, form: Any) -> HttpResponse:
        """Change the password, audit it and confirm it."""
        response = super().form_valid(form)
        audit_record(actor=actor_of(self.request), verb="password-change")
        messages.info(self.request, "The password was changed. Your other sessions have ended.")
        return response


@login_not_required
@never_cache
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters()
@sensitive_variables()
def setup(request: HttpRequest, token: str) -> HttpResponse:
    """Create the account of the first admin by the setup link, sign it in, and begin the guide."""
    if not first_admin_link_is_open(token):
        return _dead_link(request)
    form = SetupForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            user = first_admin_create(
                token=token,
                username=form.cleaned_data["username"],
                password=form.cleaned_data["password1"],
                address=client_address(request),
            )
        except Invalid as error:
            place_errors(form, error.errors, {"password": "password1"})
        except NotFound:
            return _dead_link(request)
        else:
            login(request, user)
            return redirect("rules:start", host_default().name)
    return render(request, "accounts/setup.html", {"form": form})


def _dead_link(request: HttpRequest) -> HttpResponse:
    reason = (
        "The link was used already, is older than one day, or was never valid. "
        "If there is no account yet, restart dockerfw to print a new one."
    )
    return render(request, "accounts/setup.html", {"reason": reason}, status=410)
