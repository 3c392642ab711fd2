"""The form of one rule: new, edited, or in conflict with another edit. The services validate and lock."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address, ip_interface
from urllib.parse import urlencode

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import escape
from django.views.decorators.http import require_http_methods, require_safe

from dockerfw.document import fields
from dockerfw.document.catalogue import SERVICES
from dockerfw.document.document import rule_to_json_object
from dockerfw.document.fields import Problems
from dockerfw.document.rule_fields import group_of, read_container, read_sources
from dockerfw.document.words import cidr_echo, describe_rule
from dockerfw_site.proxies import client_address
from rules.audit.actors import actor_of
from rules.draft.conflict_forms import EditConflict, kept_words, merge_edits, merged_data, opened_text
from rules.draft.draft_selectors import rule_document, rule_values
from rules.draft.draft_services import rule_validated
from rules.draft.rule_forms import (
    ACTIONS,
    PORT_KINDS,
    PROTOCOLS,
    SCOPES,
    RuleForm,
    rule_initial,
    split_ports,
    split_sources,
)
from rules.draft.rule_selectors import rule_get, rule_page
from rules.draft.rule_services import rule_create, rule_update
from rules.draft.service_selectors import choices_here, find_choice, service_choices
from rules.draft.suggestion_selectors import suggestions_of
from rules.draft.warning_views import read_typed_rule, warning_context
from rules.models import Host, Rule
from rules.pages.errors import Conflict, Invalid
from rules.pages.forms import place_errors
from rules.pages.frame import render_page
from rules.pages.requests import back_asked, host_or_404, text_asked
from rules.pages.wording import rule_pairs
from rules.seen.snapshot_selectors import SnapshotView, latest_snapshot, observe_request

NO_SUCH_SERVICE = (
    "No service, port or container of this name. Use a port such as 8443/tcp, or fill in the fields below."
)


@require_http_methods(["GET", "HEAD", "POST"])
def rule_new(request: HttpRequest, host_name: str) -> HttpResponseBase:
    """Add a rule.

    `?copy=KEY` starts with a copy of another rule, `?service=NAME` with a service of the catalogue, and form
    fields (`?ports=8080&scope=container`) with these values, as links from other pages do.
    """
    host = host_or_404(host_name)
    if request.method != "POST":
        return _form_page(request, host, RuleForm(initial=_first_values(request, host)), heading="New rule")
    if "fill" in request.POST:
        return _filled_page(request, host, heading="New rule")
    form = RuleForm(request.POST)
    if form.is_valid():
        try:
            rule = rule_create(host=host, actor=actor_of(request), values=form.document_values())
        except Invalid as error:
            place_errors(form, error.errors, form.fields_of_errors())
        else:
            return _redirect_saved(request, host, _page_of(host, rule), rule, "Added to the draft")
    return _form_page(request, host, form, heading="New rule", status=422)


@require_http_methods(["GET", "HEAD", "POST"])
def rule_edit(request: HttpRequest, host_name: str, key: str) -> HttpResponseBase:
    """Edit a rule; a conflicting edit shows both versions and keeps what was typed."""
    host = host_or_404(host_name)
    rule = rule_get(host, key)
    if request.method != "POST":
        if rule is None:
            messages.warning(request, "That rule is no longer in the draft.")
            return redirect(_back(request, host))
        initial = {**rule_initial(rule_document(rule)), "version": rule.version}
        opened = opened_text(rule_values(rule))
        return _form_page(
            request, host, RuleForm(initial=initial), heading="Edit rule", key=key, opened=opened
        )
    if "fill" in request.POST:
        return _filled_page(request, host, heading="Edit rule", key=key)
    form = RuleForm(request.POST)
    if not form.is_valid():
        return _form_page(request, host, form, heading="Edit rule", key=key, status=422)
    try:
        rule = rule_update(
            host=host,
            actor=actor_of(request),
            key=key,
            version=form.cleaned_data["version"] or 0,
            values=form.document_values(),
        )
    except Invalid as error:
        place_errors(form, error.errors, form.fields_of_errors())
        return _form_page(request, host, form, heading="Edit rule", key=key, status=422)
    except Conflict as error:
        return _resolve_conflict(request, host, form, key, error)
    return _redirect_saved(request, host, _back(request, host), rule, "Saved to the draft")


@require_safe
def source_echo(request: HttpRequest, host_name: str) -> HttpResponse:
    """Answer what addresses and networks cover, while they are typed."""
    host_or_404(host_name)
    return HttpResponse(escape(echo_text(request.GET.get("sources", ""))))


def echo_text(text: str) -> str:
    """Return what the sources of a rule cover, or a hint while one of them is not valid."""
    sources = split_sources(text)
    if not sources:
        return "Any source, IPv4 and IPv6."
    problems = Problems()
    canonical = read_sources(sources, "", problems)
    if canonical is None:
        return "Not a valid address, network or group yet."
    if len(canonical) > 1:
        return f"{len(canonical)} sources."
    return f"The group {canonical[0]}." if group_of(canonical[0]) else cidr_echo(sources[0])


def _first_values(request: HttpRequest, host: Host) -> dict[str, object]:
    values: dict[str, object] = {
        "action": "allow",
        "protocol": "tcp",
        "scope": "both",
        "port_kind": "published",
        "enabled": True,
    }
    original = rule_get(host, text_asked(request, "copy"))
    if original is not None:
        values = rule_initial(rule_document(original))
    wanted = text_asked(request, "service")
    for service in SERVICES:
        if service.name == wanted:
            values |= {
                "protocol": service.protocol,
                "ports": ", ".join(service.ports),
                "every_port": False,
                "comment": service.name,
            }
    return values | read_link_values(request.GET)


def read_link_values(asked: Mapping[str, str]) -> dict[str, object]:
    """Return the form's fields from a URL's query; invalid values are left out."""
    problems = Problems()
    values: dict[str, object] = {}
    for name, choices in (("action", ACTIONS), ("scope", SCOPES), ("port_kind", PORT_KINDS)):
        if asked.get(name) in dict(choices):
            values[name] = asked[name]
    ports = [fields.read_port(text, "", problems) for text in split_ports(asked.get("ports", "")[:200])]
    if all(ports) and ports:
        values["ports"] = ", ".join(str(text) for text in ports)
    asked_sources = split_sources((asked.get("sources") or asked.get("source", ""))[:2000])
    sources = read_sources(asked_sources, "", problems) if asked_sources else None
    if sources is not None:
        values["sources"] = ", ".join(sources)
    to = fields.read_source(asked.get("to", "")[:200], "", problems)
    if to and to != "any":
        values["to"] = to
    container = read_container(asked.get("container", "")[:200], "", problems)
    if container:
        values |= {"container": container, "scope": "container"}
    comment = fields.read_comment(asked.get("comment", "")[: fields.MAX_COMMENT], "", problems)
    if comment:
        values["comment"] = comment
    protocol = fields.read_protocol(asked.get("protocol", "")[:64], "", problems)
    if protocol:
        known = protocol in dict(PROTOCOLS)
        values |= {
            "protocol": protocol if known else "other",
            "protocol_other": "" if known else protocol,
        }
    return values


def _redirect_saved(
    request: HttpRequest, host: Host, back: str, rule: Rule, what: str, kept: str = ""
) -> HttpResponse:
    """Lead back to the rule's line of the table, or on to another new rule where that was asked for."""
    messages.info(request, f"{what}: {describe_rule(rule_document(rule))}.{kept}")
    if "another" in request.POST:
        # The rule in the address keeps what was typed for it apart from what will be typed next.
        place = urlencode({"back": _back(request, host), "after": rule.key})
        return redirect(f"{reverse('rules:rule-new', args=[host.name])}?{place}")
    return redirect(f"{back}#rule-{rule.key}")


def _back(request: HttpRequest, host: Host) -> str:
    """Return the address of the table that led to the form, with its search and page."""
    return back_asked(request, reverse("rules:rule-list", args=[host.name]))


def _page_of(host: Host, rule: Rule) -> str:
    """Return the address of the page of the table that shows a new rule."""
    number = rule_page(host, rule.key)
    return reverse("rules:rule-list", args=[host.name]) + (f"?page={number}" if number > 1 else "")


def _resolve_conflict(
    request: HttpRequest, host: Host, form: RuleForm, key: str, error: Conflict
) -> HttpResponse:
    """Save both edits where no field was changed by both; else show them side by side."""
    theirs, mine = error.current, _canonical(form)
    if not isinstance(theirs, Rule):
        again = RuleForm({**request.POST.dict(), "version": ""})
        conflict = EditConflict(gone=True, lines=())
        return _form_page(request, host, again, heading="Edit rule", conflict=conflict, status=409)
    stored = rule_values(theirs)
    merge = merge_edits(request, stored, mine)
    if not merge.both:
        try:
            rule = rule_update(
                host=host, actor=actor_of(request), key=key, version=theirs.version, values=merge.values
            )
        except (Conflict, Invalid):
            # A third edit, or a rule that only both edits together make wrong: the admin decides.
            pass
        else:
            return _redirect_saved(
                request,
                host,
                _back(request, host),
                rule,
                "Saved to the draft",
                kept_words(rule_pairs(merge.values, mine)),
            )
    data = merged_data(request, merge, rule_initial(rule_document(theirs)), version=str(theirs.version))
    return _form_page(
        request,
        host,
        RuleForm(data),
        heading="Edit rule",
        key=key,
        opened=opened_text(stored),
        conflict=EditConflict(gone=False, lines=rule_pairs(stored, merge.values)),
        status=409,
    )


def _canonical(form: RuleForm) -> Mapping[str, object]:
    """Return the typed values as a document writes them, or as they are where they are not valid."""
    values = form.document_values()
    try:
        checked = rule_to_json_object(rule_validated(values))
    except Invalid:
        return values
    return {name: checked[name] for name in values}


def _filled_page(request: HttpRequest, host: Host, *, heading: str, key: str | None = None) -> HttpResponse:
    """Fill the form with the service or container that was asked for; nothing is saved.

    A browser with scripts does it by itself.
    """
    text = request.POST.get("service", "").replace("\x00", "")[:200]
    choice = find_choice(text, service_choices(host, latest_snapshot(host)))
    typed: dict[str, object] = {name: request.POST.get(name, "") for name in RuleForm.base_fields}
    typed |= {"every_port": "every_port" in request.POST, "enabled": "enabled" in request.POST}
    if choice is not None:
        typed |= {"every_port": False, **choice.values}
    form = RuleForm(initial=typed)
    problem = "" if choice else NO_SUCH_SERVICE
    return _form_page(request, host, form, heading=heading, key=key, service=text, service_problem=problem)


def _offered_address(request: HttpRequest, view: SnapshotView | None) -> str:
    """Return the browser's address, "" where a rule for it would mean something else.

    The host's own address, also loopback, is that of a tunnel's end or of docker-proxy.
    """
    address = client_address(request)
    own = {
        str(ip_interface(each).ip)
        for interface in (view.snapshot.interfaces if view else ())
        for each in interface.addresses
    }
    return "" if not address or ip_address(address).is_loopback or address in own else address


def _unchanged_values(form: RuleForm) -> dict[str, object]:
    """Return what an unchanged form would send."""
    return {name: value for name, value in form.initial.items() if value not in (None, False)}


def _form_page(
    request: HttpRequest,
    host: Host,
    form: RuleForm,
    *,
    heading: str,
    key: str | None = None,
    opened: str = "",
    conflict: EditConflict | None = None,
    service: str = "",
    service_problem: str = "",
    status: int = 200,
) -> HttpResponse:
    # The preview of a stored rule compares with the look that this one asks for.
    observe_request(host)
    view = latest_snapshot(host)
    action = (
        reverse("rules:rule-edit", args=[host.name, key])
        if key
        else reverse("rules:rule-new", args=[host.name])
    )
    form.fields["sources"].widget.attrs |= {
        "hx-get": reverse("rules:source-echo", args=[host.name]),
        "hx-trigger": "input changed delay:250ms",
        "hx-target": "#source-echo",
        "hx-include": "this",
    }
    typed = RuleForm(form.data if form.is_bound else _unchanged_values(form))
    context = {
        "suggestions": suggestions_of(host, view),
        "choices": service_choices(host, view),
        "here": choices_here(host, view),
        "seen_host": view is not None,
        "service": service or request.POST.get("service", "")[:200],
        "service_problem": service_problem,
        "my_address": _offered_address(request, view),
        **warning_context(host, read_typed_rule(host, typed, key or "")),
        "edited": key,
        "form": form,
        "form_action": action,
        "heading": heading,
        "key": key,
        "back": _back(request, host),
        "opened": opened or request.POST.get("opened", ""),
        "conflict": conflict,
        "echo": "" if form["sources"].errors else echo_text(str(form["sources"].value() or "")),
        "submit_label": "Save mine" if conflict else "",
    }
    return render_page(request, "draft/rule_form.html", host, context, section="rules", status=status)
