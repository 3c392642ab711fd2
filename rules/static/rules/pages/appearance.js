/* The theme and the density that this browser chose. It runs before the page is painted, so that no page flashes;
   without scripts the theme follows the system. */
(function () {
  "use strict";

  const CHOICES = { theme: ["system", "light", "dark"], density: ["comfortable", "compact"] };
  const root = document.documentElement;
  root.classList.add("scripted");

  function read(name) {
    let chosen = "";
    try { chosen = window.localStorage.getItem("dockerfw:" + name) || ""; } catch (error) { /* No storage. */ }
    return CHOICES[name].includes(chosen) ? chosen : CHOICES[name][0];
  }

  function show(name) {
    const chosen = read(name);
    root.dataset[name] = chosen;
    document.querySelectorAll("[data-choose='" + name + "']").forEach(function (button) {
      button.setAttribute("aria-pressed", String(button.value === chosen));
    });
  }

  function showAll() { Object.keys(CHOICES).forEach(show); }

  showAll();
  document.addEventListener("DOMContentLoaded", showAll);
  // Another tab chose.
  window.addEventListener("storage", showAll);
  document.addEventListener("click", function (event) {
    const button = event.target.closest("[data-choose]");
    if (!button) return;
    try { window.localStorage.setItem("dockerfw:" + button.dataset.choose, button.value); } catch (error) { /* No storage. */ }
    root.dataset[button.dataset.choose] = button.value;
    showAll();
  });
})();
