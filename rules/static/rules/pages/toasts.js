/* Messages as toasts at the end of the screen. One that only informs leaves after a while, but not while it is
   pointed at or focused; a warning stays until it is closed. Without scripts messages stay as notes on the page. */
(function () {
  "use strict";

  const STAYS_MS = 8000;
  const STAYS_WITH_UNDO_MS = 15000;
  const MOST = 3;
  const begun = new WeakSet();

  function place() { return document.getElementById("messages"); }

  function close(toast) {
    const had = toast.contains(document.activeElement);
    toast.remove();
    if (had) document.getElementById("main").focus({ preventScroll: true });
  }

  function begin(toast) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "toast-close";
    button.setAttribute("aria-label", "Close the message");
    button.textContent = "\u00d7";
    button.addEventListener("click", function () { close(toast); });
    toast.append(button);
    if (toast.matches(".attention, .bad")) return;
    let left = toast.querySelector("form") ? STAYS_WITH_UNDO_MS : STAYS_MS;
    const every = window.setInterval(function () {
      if (!toast.isConnected) window.clearInterval(every);
      else if (document.visibilityState === "visible" && !toast.matches(":hover, :focus-within")) {
        left -= 250;
        if (left <= 0) close(toast);
      }
    }, 250);
  }

  function beginAll() {
    if (!place()) return;
    const toasts = Array.from(place().querySelectorAll(".note"));
    toasts.slice(0, -MOST).forEach(close);
    toasts.slice(-MOST).forEach(function (toast) {
      if (begun.has(toast)) return;
      begun.add(toast);
      begin(toast);
    });
  }

  document.addEventListener("DOMContentLoaded", beginAll);
  document.addEventListener("htmx:load", beginAll);
  document.addEventListener("htmx:oobAfterSwap", beginAll);
  document.addEventListener("keydown", function (event) {
    const toast = event.key === "Escape" && document.activeElement.closest("#messages .note");
    if (toast) close(toast);
  });
})();
