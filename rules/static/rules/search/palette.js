/* The palette: one search over everything, opened by Ctrl-K or its button. The field is a combobox, htmx asks
   for the results, and the arrow keys move through them. Without it the search page does the same. */
(function () {
  "use strict";

  const dialog = document.getElementById("palette");
  if (!dialog) return;
  const field = document.getElementById("palette-input"), list = document.getElementById("palette-list");
  const status = document.getElementById("palette-status");
  let entered = false;

  function options() { return Array.from(list.querySelectorAll("[role=option]")); }
  function chosen() { return list.querySelector("[aria-selected=true]"); }
  // What the results in sight answer.
  function answered() {
    const found = list.querySelector("[data-query]");
    return found ? found.dataset.query : null;
  }

  function choose(option) {
    const former = chosen();
    if (former) former.setAttribute("aria-selected", "false");
    if (!option) {
      field.removeAttribute("aria-activedescendant");
      return;
    }
    option.setAttribute("aria-selected", "true");
    field.setAttribute("aria-activedescendant", option.id);
    option.scrollIntoView({ block: "nearest" });
  }

  function move(step) {
    const all = options();
    if (all.length) choose(all[(all.indexOf(chosen()) + step + all.length) % all.length]);
  }

  function open() {
    field.value = "";
    list.replaceChildren();
    entered = false;
    dialog.showModal();
    window.htmx.trigger(field, "palette:open");
  }

  document.addEventListener("keydown", function (event) {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.altKey || event.shiftKey) return;
    if (!dialog.open && document.querySelector("dialog:modal")) return;
    event.preventDefault();
    if (dialog.open) dialog.close();
    else open();
  });
  // The link to the search page opens the palette instead, unless for a tab of its own.
  const opener = document.getElementById("palette-open");
  if (opener) {
    opener.setAttribute("aria-haspopup", "dialog");
    opener.addEventListener("click", function (event) {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      open();
    });
  }
  // A click beside it, or on its button.
  dialog.addEventListener("click", function (event) {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });

  field.addEventListener("keydown", function (event) {
    if (event.isComposing) return;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      move(event.key === "ArrowDown" ? 1 : -1);
    } else if (event.key === "Enter") {
      event.preventDefault();
      // Results of an earlier text are not what was typed.
      entered = answered() !== field.value.trim();
      if (!entered && chosen()) chosen().click();
    }
  });
  field.addEventListener("input", function () { entered = false; });

  list.addEventListener("htmx:afterSwap", function () {
    options().forEach(function (option, place) { option.id = "palette-option-" + place; });
    const found = list.querySelector("[data-count]");
    // A session that has ended leads to the sign-in page, which has no results.
    status.textContent = found ? found.dataset.count : "No answer. Reload the page.";
    list.scrollTop = 0;
    choose(options()[0]);
    if (entered && answered() === field.value.trim() && chosen()) chosen().click();
  });
  field.addEventListener("htmx:sendError", function () { status.textContent = "dockerfw is unreachable."; });
  list.addEventListener("mousemove", function (event) {
    const option = event.target.closest("[role=option]");
    if (option && option !== chosen()) choose(option);
  });
  // A link to another place of this page leaves the palette open otherwise.
  list.addEventListener("click", function (event) {
    if (event.target.closest("[role=option]") && !event.ctrlKey && !event.metaKey) dialog.close();
  });

  window.dockerfwPalette = { open: open };
})();
