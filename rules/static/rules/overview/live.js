/* The live page and refused packets: polls while the tab is visible and the pointer is outside the list, keeps open
   chains, scroll and focus over a swap, and shows the age of the snapshot. The server decides what is new. */
(function () {
  "use strict";
  const EVERY = 2000;
  let inside = false;
  let paused = false;
  let busy = false;
  let offset = 0;

  function root() { return document.getElementById("live"); }

  function showAge() {
    const age = document.getElementById("live-age");
    const now = Date.now();
    if (!age || !age.dataset.takenAt) return;
    const seconds = Math.max(0, Math.round((now - Number(age.dataset.offset || 0) - Date.parse(age.dataset.takenAt)) / 1000));
    const text = seconds < 120 ? seconds + " s ago" : Math.round(seconds / 60) + " min ago";
    age.textContent = text;
    age.classList.toggle("old", seconds > 30);
  }

  // Ages of rows, in the same units as the server's.
  function showAges() {
    const area = root();
    if (!area) return;
    const now = Date.now() - offset;
    area.querySelectorAll("[data-at]").forEach(function (age) {
      const seconds = Math.max(0, Math.floor((now - Date.parse(age.dataset.at)) / 1000));
      const unit = seconds < 120 ? [1, "s"] : seconds < 7200 ? [60, "min"] : seconds < 172800 ? [3600, "h"] : [86400, "days"];
      const text = Math.floor(seconds / unit[0]) + " " + unit[1] + " ago";
      if (age.textContent !== text) age.textContent = text;
    });
  }

  function noteClock() {
    const area = root();
    if (area && area.dataset.now) offset = Date.now() - Date.parse(area.dataset.now);
    // The admin's clock may be wrong; ages are counted by the server's.
    const age = document.getElementById("live-age");
    if (age && age.dataset.now) age.dataset.offset = String(Date.now() - Date.parse(age.dataset.now));
  }

  function sayState() {
    const state = document.getElementById("live-state");
    if (!state) return;
    const text = paused ? "Paused" : inside ? "Paused while the pointer is over " + state.dataset.over : "Refreshing automatically";
    state.classList.toggle("moving", !paused && !inside);
    if (state.textContent !== text) state.textContent = text;
  }

  function poll() {
    const area = root();
    sayState();
    if (!area || busy || paused || inside || document.visibilityState !== "visible") return;
    const selection = window.getSelection();
    if (selection && !selection.isCollapsed && area.contains(selection.anchorNode)) return;
    busy = true;
    window.htmx.trigger(area, "live-poll");
  }

  const openBefore = new Map();
  let focusBefore = null;

  function remember(area) {
    openBefore.clear();
    area.querySelectorAll("details[id]").forEach(function (chain) { openBefore.set(chain.id, chain.open); });
    focusBefore = null;
    const active = document.activeElement;
    if (active && area.contains(active)) {
      const chain = active.closest("details[id]");
      if (chain && active.tagName === "SUMMARY") focusBefore = chain.id;
    }
  }

  function restore(area) {
    area.querySelectorAll("details[id]").forEach(function (chain) {
      if (openBefore.has(chain.id) && !chain.hasAttribute("data-unread")) chain.open = openBefore.get(chain.id);
    });
    if (focusBefore) {
      const chain = document.getElementById(focusBefore);
      if (chain) chain.querySelector("summary").focus({ preventScroll: true });
    }
  }

  // The server sends the rules of open chains only.
  document.addEventListener("htmx:configRequest", function (event) {
    const area = root();
    if (!area || event.detail.elt !== area || !area.querySelector("details[id]")) return;
    event.detail.formData.append("opened", "yes");
    area.querySelectorAll("details[id][open]").forEach(function (chain) { event.detail.formData.append("open", chain.id); });
  });
  document.addEventListener("toggle", function (event) {
    const chain = event.target;
    if (!chain.matches || !chain.matches("details[data-unread][open]")) return;
    const area = root();
    chain.removeAttribute("data-unread");
    window.htmx.ajax("GET", area.getAttribute("hx-get") + "&show=yes", { source: area, target: area, swap: "outerHTML show:none" });
  }, true);

  document.addEventListener("DOMContentLoaded", function () {
    if (!root()) return;
    const raw = document.getElementById("live-raw");
    // On an element that no swap replaces, so that the choice outlives each refresh.
    function showRaw() { document.getElementById("main").classList.toggle("show-raw", raw.checked); }
    const pause = document.getElementById("live-pause");
    if (raw) {
      raw.closest(".choice").hidden = false;
      raw.addEventListener("change", showRaw);
      showRaw();
    }
    if (pause) {
      pause.hidden = false;
      pause.addEventListener("click", function () {
        paused = !paused;
        pause.setAttribute("aria-pressed", paused ? "true" : "false");
        pause.textContent = paused ? "Resume" : "Pause";
        poll();
      });
    }
    document.addEventListener("pointerover", function (event) {
      // A finger never leaves the chains: polling would stop for good.
      if (event.pointerType === "mouse") inside = !!event.target.closest("#live-chains");
      sayState();
    });
    document.documentElement.addEventListener("pointerleave", function () { inside = false; sayState(); });
    document.addEventListener("visibilitychange", poll);
    document.addEventListener("htmx:beforeSwap", function (event) { if (event.detail.target === root()) remember(root()); });
    document.addEventListener("htmx:afterSwap", function () { if (root()) { restore(root()); noteClock(); showAge(); showAges(); } });
    // htmx puts the new attributes, `open` among them, back when it settles.
    document.addEventListener("htmx:afterSettle", function () { if (root()) restore(root()); });
    document.addEventListener("htmx:afterRequest", function () { busy = false; });
    document.addEventListener("live-seen", function (event) {
      // The kernel was read again and nothing changed: the age starts over.
      const age = document.getElementById("live-age");
      if (!age) return;
      age.dataset.takenAt = event.detail.taken_at;
      age.dataset.now = event.detail.now;
      noteClock();
      showAge();
    });
    // A jump link to a closed chain opens it.
    function openTarget() {
      const name = decodeURIComponent(window.location.hash.slice(1));
      const chain = name && document.getElementById(name);
      if (chain && chain.tagName === "DETAILS") { chain.open = true; chain.scrollIntoView(); }
    }
    window.addEventListener("hashchange", openTarget);
    openTarget();
    noteClock();
    showAge();
    sayState();
    showAges();
    window.setInterval(showAge, 1000);
    window.setInterval(showAges, 1000);
    window.setInterval(poll, EVERY);
  });
})();
