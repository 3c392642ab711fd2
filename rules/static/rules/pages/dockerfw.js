/* For every page: one submit per form, menus, parts that refresh themselves, and a message when the server does
   not answer. Forms and links work without it. */
(function () {
  "use strict";

  // A text that is too long stays here: sending it and getting it back takes a browser half a minute. Line ends
  // count twice, as in what is sent. Fields of a form that are hidden are not used.
  function tellTooLong(field) {
    const most = Number(field.dataset.most);
    if (!most || field.offsetParent === null) return false;
    const length = field.value.length + field.value.split("\n").length - 1;
    const words = " characters. At most " + most.toLocaleString("en") + " are allowed. Nothing was sent.";
    field.setCustomValidity(length > most ? length.toLocaleString("en") + words : "");
    field.addEventListener("input", function () { field.setCustomValidity(""); }, { once: true });
    return !field.reportValidity();
  }

  // A second click must not send a form twice. The server refuses the second order as well.
  document.addEventListener("submit", function (event) {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (Array.from(form.elements).some(tellTooLong)) {
      event.preventDefault();
      return;
    }
    if (form.dataset.sent === "yes") {
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

  // A form that was refused is mended at its first wrong field.
  function focusWrong() {
    const field = document.querySelector("#main form [aria-invalid=true], #main [form][aria-invalid=true]");
    if (field) field.focus();
  }
  document.addEventListener("DOMContentLoaded", focusWrong);
  document.addEventListener("htmx:afterSettle", function (event) { if (event.detail.target.id === "main") focusWrong(); });

  // A page taken from the browser's back cache is alive again.
  window.addEventListener("pageshow", function (event) {
    if (event.persisted) window.location.reload();
  });

  // Menus close as menus do, and the drawer does not stay open beside a wide page.
  document.addEventListener("click", function (event) {
    document.querySelectorAll("details.menu[open]").forEach(function (menu) {
      if (!menu.contains(event.target)) menu.open = false;
    });
  });
  document.addEventListener("keydown", function (event) {
    if (event.key !== "Escape") return;
    document.querySelectorAll("details.menu[open]").forEach(function (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    });
  });

  window.matchMedia("(min-width: 60rem)").addEventListener("change", function (wide) {
    const side = document.getElementById("side");
    if (wide.matches && side && side.matches(":popover-open")) side.hidePopover();
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
      document.addEventListener("visibilitychange", ask);
    });
  }
  document.addEventListener("DOMContentLoaded", refresh);
  document.addEventListener("htmx:afterSettle", refresh);
  // An answer whose place has left the page meanwhile is not shown, nor the parts that come with it. The event
  // of an element that has left reaches only listeners of its own.
  const watched = new WeakSet();
  document.addEventListener("htmx:beforeRequest", function (event) {
    const place = event.detail.target;
    if (!place || watched.has(place)) return;
    watched.add(place);
    place.addEventListener("htmx:beforeSwap", function (answer) {
      if (answer.target === place && !place.isConnected) answer.detail.shouldSwap = false;
    });
  });
  // A part that waits for the next look at the kernel is not replaced while a field in it is being filled in.
  document.addEventListener("htmx:beforeRequest", function (event) {
    const field = document.activeElement;
    if (!event.detail.elt.matches("[data-overtaken]") || !event.detail.target.contains(field)) return;
    if (field.matches("input, textarea") && field.value !== field.defaultValue) event.preventDefault();
  });
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
  // Without an answer about the state nothing is known: no page goes on saying "Protected".
  function forgetState(reason) {
    const pill = document.getElementById("state-pill");
    if (!pill) return;
    pill.className = "pill warn";
    pill.title = reason;
    pill.querySelector("span").textContent = "Unknown";
  }
  let lostAt = "";
  // The apply page has a message of its own.
  function lose(reason) {
    lostAt = lostAt || new Date().toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", hour12: false });
    forgetState("dockerfw does not answer.");
    if (!document.getElementById("unreachable")) say(reason.replace("LOST", lostAt));
  }
  document.addEventListener("htmx:sendError", function (event) {
    lose(event.detail.requestConfig.verb === "get"
      ? "dockerfw has been unreachable since LOST. Retrying."
      : "dockerfw has been unreachable since LOST. Reload the page to see whether your request arrived.");
  });
  document.addEventListener("htmx:responseError", function (event) {
    if (event.detail.elt.matches("[data-refresh]")) forgetState("dockerfw answered with an error.");
    say("dockerfw answered with an error (" + event.detail.xhr.status + "). Reload the page.");
  });
  document.addEventListener("htmx:beforeOnLoad", function (event) {
    lostAt = "";
    const isState = event.detail.elt.matches("#state-banner, #state-pill");
    if (isState && event.detail.xhr.status === 204) {
      forgetState("You are signed out.");
      say("You are signed out, so this page shows no changes any more. What you typed is kept: reload the page to sign in.");
    } else if (event.detail.xhr.status < 400) {
      say("");
    }
  });
})();
