/* The field "Sources" of the rule form: a chip for each source, and a field for the next one, which suggests the
   groups. Separators and pasted lists make several chips. The text field below it stays what is sent, and is all
   there is without scripts or for long lists. */
(function () {
  "use strict";
  const MOST_CHIPS = 50;
  const SEPARATORS = /[\s,;]+/;

  function split(text) {
    return text.split(SEPARATORS).filter(function (part) { return part && part.toLowerCase() !== "any"; });
  }

  function start() {
    const field = document.getElementById("id_sources");
    const box = document.getElementById("source-chips");
    if (!field || !box || split(field.value).length > MOST_CHIPS) return;
    const entry = box.querySelector("input");
    const list = box.querySelector("ul");
    const names = new Set(Array.from(document.getElementById("source-names").options).map(function (each) { return each.value; }));
    let chosen = [], writing = false;

    function write() {
      writing = true;
      field.value = chosen.concat(split(entry.value)).join(", ");
      field.dispatchEvent(new Event("input", { bubbles: true }));
      field.dispatchEvent(new Event("change", { bubbles: true }));
      writing = false;
    }

    function show() {
      list.replaceChildren.apply(list, chosen.map(function (source) {
        const item = document.createElement("li");
        const button = document.createElement("button");
        item.className = "chip";
        item.textContent = source;
        button.type = "button";
        button.textContent = "\u00d7";
        button.setAttribute("aria-label", "Remove " + source);
        item.append(button);
        return item;
      }));
      list.hidden = chosen.length === 0;
      entry.placeholder = chosen.length ? "" : field.placeholder;
    }

    // A list that is too long for chips is edited as text.
    function add(texts) {
      texts.forEach(function (text) { if (!chosen.includes(text)) chosen.push(text); });
      show();
      if (chosen.length > MOST_CHIPS) stop();
    }

    function stop() {
      write();
      box.hidden = true;
      field.hidden = false;
      document.querySelector("label[for=" + entry.id + "]").htmlFor = field.id;
      field.focus();
    }

    function take() {
      const texts = split(entry.value);
      entry.value = "";
      add(texts);
      write();
    }

    function read() {
      if (writing) return;
      chosen = [];
      entry.value = "";
      add(Array.from(new Set(split(field.value))));
    }

    entry.addEventListener("input", function (event) {
      // Chosen from the list, and not typed: one name may begin with another.
      const isChosen = !event.inputType || event.inputType === "insertReplacementText";
      const parts = entry.value.split(SEPARATORS);
      const rest = parts.pop();
      if (isChosen && names.has(entry.value)) return take();
      if (parts.length) {
        entry.value = rest;
        add(split(parts.join(" ")));
      }
      write();
    });
    // A field of one line would join the lines of a list.
    entry.addEventListener("paste", function (event) {
      const text = event.clipboardData.getData("text");
      if (!SEPARATORS.test(text.trim())) return;
      event.preventDefault();
      add(split(entry.value + " " + text));
      entry.value = "";
      write();
    });
    entry.addEventListener("keydown", function (event) {
      if (event.key === "Enter" && entry.value.trim()) {
        event.preventDefault();
        take();
      } else if (event.key === "Backspace" && !entry.value && chosen.length) {
        event.preventDefault();
        entry.value = chosen.pop();
        show();
        write();
      }
    });
    entry.addEventListener("change", function () { if (!box.hidden) take(); });
    list.addEventListener("click", function (event) {
      const button = event.target.closest("button");
      if (!button) return;
      const at = Array.from(list.children).indexOf(button.parentElement);
      chosen.splice(at, 1);
      show();
      write();
      (list.children[Math.min(at, chosen.length - 1)] || entry.parentElement).querySelector("button, input").focus();
    });
    box.addEventListener("click", function (event) { if (event.target === box) entry.focus(); });
    field.addEventListener("input", read);
    field.addEventListener("focus", function () { if (!box.hidden) entry.focus(); });

    ["aria-invalid", "aria-describedby"].forEach(function (name) {
      if (field.hasAttribute(name)) entry.setAttribute(name, field.getAttribute(name));
    });
    document.querySelector("label[for=" + field.id + "]").htmlFor = entry.id;
    const focused = document.activeElement === field;
    box.hidden = false;
    field.hidden = true;
    read();
    if (focused) entry.focus();
  }
  document.addEventListener("DOMContentLoaded", start);
})();
