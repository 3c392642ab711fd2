/* The apply page: the countdown of the confirmation window, the nonce that Keep needs, and the message while
   dockerfw is unreachable. The host decides when the window ends; this only shows it. Without scripts the page
   still shows the time, and Keep uses a page of its own. */
(function () {
  "use strict";

  const SPOKEN_AT = [600, 300, 120, 60, 30, 10];
  const NONCE_RETRY_MS = 1000;
  const KEEP_RETRY_MS = 100;
  const MOST_KEEP_RETRIES = 2;
  const calm = window.matchMedia("(prefers-reduced-motion: reduce)");
  let title = "";
  let shown = null;     // the status of the apply; the answer to the review brings it without a new page
  let box = null;
  let endsAt = 0;       // when the window ends, by this browser's clock; 0 while none is open
  let lostAt = 0;       // when the server stopped answering; 0 while it answers
  let spokenFor = Infinity;
  let nonceFor = null;  // the window element that a nonce is being fetched for
  let posting = null;   // the request of a form that waits for its answer
  let keepRetries = 0;  // how often Keep was sent again for one click

  function page() { return document.getElementById("apply-status"); }
  function windowCard() { return document.querySelector("[data-window]"); }
  function finished() { return document.querySelector("[data-state='confirmed'], [data-state='rolled_back'], [data-state='failed']"); }

  function clock(seconds) {
    const whole = Math.max(0, Math.ceil(seconds));
    return Math.floor(whole / 60) + ":" + String(whole % 60).padStart(2, "0");
  }

  function words(seconds) {
    return seconds >= 120 ? Math.round(seconds / 60) + " minutes" : Math.round(seconds) + " seconds";
  }

  function speak(text) {
    const place = document.getElementById("spoken");
    if (place) place.textContent = text;
  }

  // What the server sent is the truth; the clock here only runs on from it.
  function showWindow() {
    if (!page()) return;
    if (shown !== page()) {
      shown = page();
      title = document.title;
    }
    const card = windowCard();
    if (card) {
      if (card !== box) {
        box = card;
        endsAt = Date.now() + Number(card.dataset.secondsLeft) * 1000;
        spokenFor = (endsAt - Date.now()) / 1000 + 1;
        if (!lostAt) speak("Loaded, not confirmed. " + words((endsAt - Date.now()) / 1000) + " left to click Keep.");
        const keep = card.querySelector("#keep");
        if (keep) keep.disabled = true;
        fetchNonce();
      }
    } else {
      // It is answered: a screen reader must not speak of the time left.
      if (box && !lostAt) speak("");
      box = null;
      if (finished()) endsAt = 0;
    }
    tick();
  }

  // Over a new connection, opened after the load: the server closes each one after its answer.
  function fetchNonce() {
    const card = windowCard();
    if (!card || !card.dataset.nonceUrl || nonceFor === card) return;
    const field = card.querySelector("input[name='nonce']");
    if (!field || field.value) return;
    nonceFor = card;
    window.fetch(card.dataset.nonceUrl, {
      cache: "no-store", credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(3000)
    }).then(function (answer) {
      return answer.ok ? answer.json() : { nonce: "" };
    }).catch(function () {
      return { nonce: "" };
    }).then(function (answer) {
      nonceFor = null;
      if (card !== windowCard()) { fetchNonce(); return; }
      if (!answer.nonce) { window.setTimeout(fetchNonce, NONCE_RETRY_MS); return; }
      field.value = answer.nonce;
      tick();
    });
  }

  // With reduced motion the ring moves every five seconds; the number tells each second anyway.
  function drawRing(card, left) {
    const step = calm.matches ? 5 : 0.25;
    const part = Math.min(1, Math.max(0, Math.ceil(left / step) * step) / Number(card.dataset.seconds));
    card.querySelector("[data-ring]").setAttribute("stroke-dasharray", (100 * part).toFixed(2) + " 100");
    card.classList.toggle("soon", left <= 15);
  }

  function tick() {
    if (!shown) return;
    const left = endsAt ? (endsAt - Date.now()) / 1000 : 0;
    const card = windowCard();
    if (card) {
      card.querySelector("[data-countdown]").textContent = clock(left);
      drawRing(card, left);
      const field = card.querySelector("input[name='nonce']");
      const keep = card.querySelector("#keep");
      if (keep) keep.disabled = !field.value || Boolean(lostAt) || left <= 0;
      const due = SPOKEN_AT.find(function (each) { return left <= each && spokenFor > each; });
      if (due && left > 0) {
        spokenFor = left;
        speak(words(left) + " left to click Keep.");
      }
    }
    document.title = endsAt && left > 0 ? clock(left) + " - " + title : title;
    showUnreachable(left);
  }

  function showUnreachable(left) {
    const note = document.getElementById("unreachable");
    if (!note) return;
    note.hidden = !lostAt;
    // They may be out of date.
    document.querySelectorAll("#pending-button, #state-pill, #window-banner, #state-banner").forEach(function (line) { line.hidden = Boolean(lostAt); });
    if (!lostAt) return;
    const most = Number(note.dataset.windowSeconds);
    const place = document.getElementById("unreachable-left");
    let text = "";
    if (endsAt && left > 0) {
      text = "The host rolls back by itself at " + new Date(endsAt).toLocaleTimeString([], { hour12: false }) + ", in " +
        clock(left) + ". Access to this page returns with the previous rules.";
    } else if (endsAt) {
      text = "The confirmation window has ended. The previous rules should be active again. Retrying.";
    } else {
      // Lost before the window was seen: it is at most as long as requested, from the load on.
      const latest = most - (Date.now() - lostAt) / 1000;
      text = latest > 0
        ? "If the new rules are loaded, the previous rules return in " + clock(latest) + " at the latest."
        : "If the new rules were loaded, the previous rules should be active again. Retrying.";
    }
    if (place.textContent !== text) place.textContent = text;
  }

  function noteUnreachable() {
    if (lostAt || !page()) return;
    lostAt = Date.now();
    const at = new Date(lostAt).toLocaleTimeString([], { hour12: false });
    document.getElementById("unreachable-text").textContent = "dockerfw has been unreachable since " + at +
      ". Retrying. If the new rules block this page, you need not do anything: the host rolls back automatically. The details below are from that moment.";
    tick();
  }

  function noteReachable() {
    if (!lostAt) return;
    lostAt = 0;
    speak("dockerfw is reachable again.");
    tick();
    fetchNonce();
  }

  document.addEventListener("htmx:sendError", noteUnreachable);
  document.addEventListener("htmx:timeout", noteUnreachable);
  document.addEventListener("htmx:beforeOnLoad", noteReachable);

  // A poll may have replaced the form since the click. The new one needs its own nonce first.
  function pressKeepAgain(form) {
    const keep = document.getElementById("keep");
    if (!keep) return;
    if (keep.form === form || !keep.disabled) keep.form.requestSubmit();
    else window.setTimeout(pressKeepAgain, KEEP_RETRY_MS, form);
  }

  // The browser used a connection from before the load, which the server has closed now. The nonce is still
  // valid, and the next connection is a new one.
  function retryKeep(event) {
    const form = event.detail.requestConfig.elt;
    if (!event.detail.xhr.getResponseHeader("X-Keep-Again") || keepRetries >= MOST_KEEP_RETRIES) {
      keepRetries = 0;
      return false;
    }
    keepRetries += 1;
    window.setTimeout(pressKeepAgain, KEEP_RETRY_MS, form);
    return true;
  }

  // A poll that ends while a form waits for its answer must not replace the form.
  document.addEventListener("htmx:beforeRequest", function (event) {
    if (event.detail.requestConfig.verb === "post") posting = event.detail.xhr;
  });
  document.addEventListener("htmx:afterRequest", function (event) {
    if (event.detail.xhr === posting) posting = null;
  });

  // No apply can start while another one is unfinished. The server refuses it as well.
  document.addEventListener("htmx:afterSwap", function (event) {
    const button = document.getElementById("apply-button");
    if (!button || event.detail.target.id !== "apply-waiting") return;
    button.disabled = Boolean(event.detail.target.querySelector("[data-apply-waits]"));
  });

  // A refused answer is shown in the page, with the current state.
  document.addEventListener("htmx:beforeSwap", function (event) {
    const target = event.detail.target;
    if (posting && event.detail.requestConfig.verb === "get") {
      event.detail.shouldSwap = false;
      return;
    }
    if (target === page() && event.detail.requestConfig.verb === "post" && retryKeep(event)) {
      event.detail.shouldSwap = false;
      event.detail.isError = false;
      return;
    }
    if ((target === page() || target.id === "main") && [409, 422, 503].includes(event.detail.xhr.status)) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });
  // The list of steps stays open through the next answer.
  let stepsOpen = false;
  document.addEventListener("htmx:beforeSwap", function () {
    const steps = document.getElementById("steps");
    stepsOpen = Boolean(steps && steps.open);
  });
  document.addEventListener("htmx:afterSwap", function () {
    const steps = document.getElementById("steps");
    if (steps && stepsOpen) steps.open = true;
  });
  document.addEventListener("htmx:afterSettle", showWindow);
  document.addEventListener("htmx:afterSwap", function (event) {
    const main = document.getElementById("main");
    if (event.detail.target.id === "main" && main) main.focus({ preventScroll: true });
  });
  document.addEventListener("DOMContentLoaded", showWindow);
  window.setInterval(tick, 250);
})();
