// Small helpers: elements, controls, numbers. Text only ever enters the page as text nodes.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; a string becomes a text node. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  return filled(made, attributes, children);
}

/** The same inside an SVG. */
function drawn(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

/** A name that breaks before a bracket and after an underscore, if it must: children of an element. */
function breakable(name) {
  return name.split(/(?=\()|(?<=_)/).flatMap((part, i) => (i ? [element("wbr"), part] : [part]));
}

function filled(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
}

/** A labelled drop-down list; `options` are pairs of value and text. */
function choice(label, options, value, change) {
  const list = element("select", { onchange: () => change(list.value) });
  for (const [own, text] of options) list.append(element("option", { value: own }, text));
  list.value = value;
  if (list.selectedIndex < 0) list.selectedIndex = 0;
  return element("label", { class: "choice" }, element("span", {}, label), list);
}

/** A number with so many digits and a true minus sign; a dash where there is none. */
function told(value, digits, unit = "") {
  if (value === null || value === undefined) return "–";
  const text = Math.abs(value) >= 1e6 || (value !== 0 && Math.abs(value) < 10 ** -digits / 2)
    ? value.toExponential(2) : value.toFixed(digits);
  return text.replace("-", "−") + unit;
}

/** The values of one variable of the stylesheet, for what is painted on a canvas. */
function themed(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** Call `repaint` whenever the page turns light or dark. */
function whenThemed(repaint) {
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", repaint);
}
