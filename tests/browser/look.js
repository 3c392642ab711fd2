/* Asks axe-core about the open page; in the dark theme, which differs in colours only, about these only.

   Two thirds of its time are for contrast, which is the same wherever a text has the same colours, size and weight
   in the same surroundings. Each such text is asked about until it has passed once, on any page of this tab, in any
   width and theme. */
async function look(dark) {
  const passed = new Set(JSON.parse(sessionStorage.getItem("axe-passed") || "[]"));
  const kinds = new Map();

  // The styles of an element and of all around it, as a number.
  function kind(each) {
    if (!each) return "";
    if (!kinds.has(each)) {
      const is = getComputedStyle(each);
      const told = [kind(each.parentElement), is.color, is.backgroundColor, is.backgroundImage, is.opacity, is.filter,
        is.textShadow, is.fontSize, is.fontWeight, is.position, is.zIndex].join();
      let number = 7n;
      for (const letter of told) number = (number * 1099511628211n + BigInt(letter.codePointAt(0))) % (1n << 61n);
      kinds.set(each, String(number));
    }
    return kinds.get(each);
  }

  // A text, other than one for screen readers alone or a link that is above the page until it has the focus.
  function showsText(each) {
    const box = each.getBoundingClientRect();
    return each.checkVisibility() && box.width > 1 && box.bottom + scrollY > 0 &&
      (each.matches("input:not([type=checkbox], [type=radio]), select, textarea") ||
        [...each.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim()));
  }

  const found = [];
  const fresh = [...document.querySelectorAll("body, body *")].filter(
    each => showsText(each) && !passed.has(kind(each)));
  if (fresh.length) {
    const told = await axe.run({ include: fresh }, {
      runOnly: ["color-contrast", "link-in-text-block"], resultTypes: ["violations", "passes"], elementRef: true,
      preload: false
    });
    const contrast = told.passes.find(rule => rule.id === "color-contrast");
    (contrast ? contrast.nodes : []).forEach(node => passed.add(kind(node.element)));
    sessionStorage.setItem("axe-passed", JSON.stringify([...passed]));
    found.push(...told.violations);
  }
  if (!dark) {
    const told = await axe.run({
      rules: { "color-contrast": { enabled: false } }, resultTypes: ["violations"], preload: false
    });
    found.push(...told.violations);
  }
  return found.map(rule => ({ id: rule.id, nodes: rule.nodes.map(({ target, html }) => ({ target, html })) }));
}
