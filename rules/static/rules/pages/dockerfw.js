/* For every page: one submit per form, a question before actions that cannot be undone, the current tab in
   sight, and a message when the server does not answer. Forms and links work without it. */
(function () {
  "use strict";

  // A second click must not send a form twice. The server refuses the second order as well.
  document.addEventListener("submit", function (event) {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.dataset.sent === "yes") {
      event.preventDefault();
      return;
    }
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    const button = event.submitter;
    if (button && button.dataset.busy) {
      button.querySelector(".button-text").textContent = button.dataset.busy;
    }
    // Disabling now would drop the button's own name and value from the request.
    window.setTimeout(function () {
      form.querySelectorAll("button").forEach(function (each) { each.disabled = true; });
    }, 0);
  });

  // A page taken from the browser's back cache is alive again.
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) window.location.reload();
  });

  function showCurrent() {
    const current = document.querySelector(".nav a[aria-current]");
    const strip = document.querySelector(".nav");
    if (current && strip && strip.scrollWidth > strip.clientWidth) {
      strip.scrollLeft = current.offsetLeft - (strip.clientWidth - current.offsetWidth) / 2;
    }
  }
  document.addEventListener("DOMContentLoaded", showCurrent);
  document.addEventListener("htmx:oobAfterSwap", function (event) {
    if (event.detail.target.id === "pages") showCurrent();
  });

  // The account menu closes as a menu does.
  document.addEventListener("click", function (event) {
    document.querySelectorAll("details.account[open]").forEach(function (menu) {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    document.querySelectorAll("details.account[open]").forEach(function (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  });

  // Parts about the kernel refresh while the tab is visible; an equal answer does not change the page.
  const refreshed = new WeakSet();
  function refresh() {
    document.querySelectorAll("[data-refresh]").forEach(function (part) {
      if (refreshed.has(part)) return;
      refreshed.add(part);
      const every = window.setInterval(ask, Number(part.dataset.refresh));
      function ask() {
        if (!part.isConnected) window.clearInterval(every);
        else if (document.visibilityState === "visible") window.htmx.trigger(part, "refresh");
      }
      window.setTimeout(ask, 1200);
    });
  }
  document.addEventListener("DOMContentLoaded", refresh);
  document.addEventListener("htmx:afterSettle", refresh);
  const lastAnswer = new WeakMap();
  document.addEventListener("htmx:beforeSwap", function (event) {
    const part = event.detail.target;
    if (!part || !part.dataset || !part.dataset.refresh) return;
    if (lastAnswer.get(part) === event.detail.serverResponse) event.detail.shouldSwap = false;
    lastAnswer.set(part, event.detail.serverResponse);
  });

  function say(text) {
    const place = document.getElementById("connection");
    if (place && place.textContent !== text) place.textContent = text;
  }
  // The apply page has a message of its own.
  document.addEventListener("htmx:sendError", function (event) {
    if (document.getElementById("unreachable")) return;
    say(event.detail.requestConfig.verb === "get"
      ? "dockerfw is unreachable. Retrying."
      : "dockerfw is unreachable. Reload the page to see whether your request arrived.");
  });
  document.addEventListener("htmx:responseError", function (event) {
    say("dockerfw answered with an error (" + event.detail.xhr.status + "). Reload the page.");
  });
  document.addEventListener("htmx:beforeOnLoad", function () { say(""); });
})();
