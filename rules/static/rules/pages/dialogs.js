/* A question before what cannot be undone, in a dialog of the page: forms and buttons with data-confirm. Without
   scripts the server's own steps (review, undo) are what there is. */
(function () {
  "use strict";

  let asked = 0;

  function ask(question, verb, isDanger) {
    const dialog = document.createElement("dialog");
    dialog.className = "dialog";
    asked += 1;
    const words = document.createElement("p");
    words.id = "dialog-" + asked;
    words.textContent = question;
    dialog.setAttribute("aria-labelledby", words.id);
    const form = document.createElement("form");
    form.method = "dialog";
    const row = document.createElement("div");
    row.className = "form-actions";
    [["Cancel", "", "button"], [verb, "yes", "button " + (isDanger ? "danger" : "primary")]].forEach(function (each) {
      const button = document.createElement("button");
      button.textContent = each[0];
      button.value = each[1];
      button.className = each[2];
      row.append(button);
    });
    form.append(words, row);
    dialog.append(form);
    document.body.append(dialog);
    dialog.showModal();
    return new Promise(function (resolve) {
      dialog.addEventListener("close", function () {
        dialog.remove();
        resolve(dialog.returnValue === "yes");
      });
    });
  }

  // Before the listeners of the page, and before htmx sends.
  document.addEventListener("submit", function (event) {
    const form = event.target;
    const button = event.submitter;
    const question = (button && button.dataset.confirm) || form.dataset.confirm;
    if (!question) return;
    if (form.dataset.confirmed === "yes") {
      delete form.dataset.confirmed;
      return;
    }
    event.preventDefault();
    event.stopImmediatePropagation();
    const verb = (button && (button.textContent.trim() || button.getAttribute("aria-label"))) || "Continue";
    ask(question, verb, Boolean(button && button.classList.contains("remove"))).then(function (agreed) {
      if (!agreed) return;
      form.dataset.confirmed = "yes";
      form.requestSubmit(button || undefined);
      delete form.dataset.confirmed;
    });
  }, true);
})();
