/* The apply page's own part: the countdown of the open window, the key that Keep needs, and what to say while
   the host cannot be reached. The host decides when the time is over; here it is only shown. Without scripts
   the page still tells until when the host waits, and Keep goes by a page of its own. */
(function () {
  "use strict";

  const SPOKEN_AT = [600, 300, 120, 60, 30, 10];
  const KEY_AGAIN_MS = 1000;
  const KEEP_AGAIN_MS = 100;
  const KEEPS_AGAIN = 2;
  let title = "";
  let shown = null;     // the apply that this page shows; the review's answer brings it without a new page
  let box = null;
  let endsAt = 0;       // when the window ends, by this browser's clock; 0 while none is open
  let lostAt = 0;       // when the server was last asked in vain for the first time; 0 while it answers
  let spokenFor = Infinity;
  let keyFor = null;    // the window element that a key is being fetched for
  let keptAgain = 0;    // how often Keep was sent again for one press of the button

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
  function takeOver() {
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
        if (!lostAt) speak("Loaded, not confirmed. " + words((endsAt - Date.now()) / 1000) + " left to keep it.");
        const keep = card.querySelector("#keep");
        if (keep) keep.disabled = true;
        fetchKey();
      }
    } else {
      // It is answered: who reads on must not hear of time that is left.
      if (box && !lostAt) speak("");
      box = null;
      if (finished()) endsAt = 0;
    }
    tick();
  }

  // Over a connection of its own, opened after the load: the server closes each after one answer.
  function fetchKey() {
    const card = windowCard();
    if (!card || !card.dataset.nonceUrl || keyFor === card) return;
    const field = card.querySelector("input[name='nonce']");
    if (!field || field.value) return;
    keyFor = card;
    window.fetch(card.dataset.nonceUrl, {
      cache: "no-store", credentials: "same-origin", redirect: "error", signal: AbortSignal.timeout(3000)
    }).then(function (answer) {
      return answer.ok ? answer.json() : { nonce: "" };
    }).catch(function () {
      return { nonce: "" };
    }).then(function (answer) {
      keyFor = null;
      if (card !== windowCard()) { fetchKey(); return; }
      if (!answer.nonce) { window.setTimeout(fetchKey, KEY_AGAIN_MS); return; }
      field.value = answer.nonce;
      tick();
    });
  }

  function tick() {
    if (!shown) return;
    const left = endsAt ? (endsAt - Date.now()) / 1000 : 0;
    const card = windowCard();
    if (card) {
      card.querySelector("[data-countdown]").textContent = clock(left);
      card.querySelector("progress").value = Math.max(0, left);
      const field = card.querySelector("input[name='nonce']");
      const keep = card.querySelector("#keep");
      if (keep) keep.disabled = !field.value || Boolean(lostAt) || left <= 0;
      const due = SPOKEN_AT.find(function (each) { return left <= each && spokenFor > each; });
      if (due && left > 0) {
        spokenFor = left;
        speak(words(left) + " left to keep it.");
      }
    }
    document.title = endsAt && left > 0 ? clock(left) + " - " + title : title;
    tickLost(left);
  }

  function tickLost(left) {
    const note = document.getElementById("unreachable");
    if (!note) return;
    note.hidden = !lostAt;
    // What they say may not be so any more.
    document.querySelectorAll("#pending-banner, #window-banner").forEach(function (line) { line.hidden = Boolean(lostAt); });
    if (!lostAt) return;
    const most = Number(note.dataset.windowSeconds);
    const place = document.getElementById("unreachable-left");
    let text = "";
    if (endsAt && left > 0) {
      text = "What was there before comes back in " + clock(left) + ", and this page with it.";
    } else if (endsAt) {
      text = "The time is over: what was there before should be in force again. Still trying to connect.";
    } else {
      // Lost before the window was seen: it is not longer than what was asked for, from the load on.
      const latest = most - (Date.now() - lostAt) / 1000;
      text = latest > 0
        ? "If the new rules are loaded, what was there before comes back in " + clock(latest) + " at the latest."
        : "If the new rules were loaded, what was there before should be in force again. Still trying to connect.";
    }
    if (place.textContent !== text) place.textContent = text;
  }

  function lost() {
    if (lostAt || !page()) return;
    lostAt = Date.now();
    const at = new Date(lostAt).toLocaleTimeString([], { hour12: false });
    document.getElementById("unreachable-text").textContent = "This page cannot reach dockerfw since " + at +
      ". If the new rules shut it out, nothing has to be done: the host rolls back by itself. This page tries again all the time. What stands below is how it was then.";
    tick();
  }

  function reached() {
    if (!lostAt) return;
    lostAt = 0;
    speak("dockerfw answers again.");
    tick();
    fetchKey();
  }

  document.addEventListener("htmx:sendError", lost);
  document.addEventListener("htmx:timeout", lost);
  document.addEventListener("htmx:beforeOnLoad", reached);

  // The browser had a spare connection from before the load, which the server has closed now: the key still
  // counts, and the next connection is a new one.
  function keepAgain(event) {
    const form = event.detail.requestConfig.elt;
    if (!event.detail.xhr.getResponseHeader("X-Keep-Again") || keptAgain >= KEEPS_AGAIN) {
      keptAgain = 0;
      return false;
    }
    keptAgain += 1;
    window.setTimeout(function () { if (form.isConnected) form.requestSubmit(); }, KEEP_AGAIN_MS);
    return true;
  }

  // A refused answer is shown in the page, with what is true now.
  document.addEventListener("htmx:beforeSwap", function (event) {
    const target = event.detail.target;
    if (target === page() && event.detail.requestConfig.verb === "post" && keepAgain(event)) {
      event.detail.shouldSwap = false;
      event.detail.isError = false;
      return;
    }
    if ((target === page() || target.id === "main") && [409, 422, 503].includes(event.detail.xhr.status)) {
      event.detail.shouldSwap = true;
      event.detail.isError = false;
    }
  });
  document.addEventListener("htmx:afterSettle", takeOver);
  document.addEventListener("htmx:afterSwap", function (event) {
    const main = document.getElementById("main");
    if (event.detail.target.id === "main" && main) main.focus({ preventScroll: true });
  });
  document.addEventListener("DOMContentLoaded", takeOver);
  window.setInterval(tick, 250);
})();
