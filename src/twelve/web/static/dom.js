// Creating elements. All texts are set as text nodes, so no input becomes markup.

const SVG = "http://www.w3.org/2000/svg";
let made = 0;

/** A unique id. */
export const unique = (name) => `${name}-${++made}`;

/** Create an element. A function becomes a listener, true an empty attribute; null and false are skipped. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Create an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name, value);
    else if (value !== null && value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A form field with a label: a text, or several parts. */
export function field(label, input, hint = null) {
  input.id ||= unique("field");
  const said = hint && el("small", { id: unique("hint") }, hint);
  if (said) input.setAttribute("aria-describedby", said.id);
  return el("p", { class: "field" }, el("label", { for: input.id }, ...[label].flat()), input, said);
}

/** The name of a task; that of a user's own one in quotation marks, because it may be any word. */
export const titled = ({ title, own }) => (own ? `“${title}”` : title);

/** Texts that the tasks of the user's own were trained on. */
export const usualTexts = (tasks) => [...new Set(tasks.flatMap(({ texts }) => texts))];

/** A sentence: a text with a period, unless it ends with another mark, as the names of some datasets do. */
export const ended = (text) => (/[.?!]$/.test(text) ? text : `${text}.`);

/** A text with a capital at its beginning. */
export const capital = (text) => text[0].toUpperCase() + text.slice(1);

/** A share in per cent, written as on the command line; below one per cent with a decimal, and below 1 never as 100%. */
export function percent(share) {
  if (share > 0 && share < 0.0005) return "<0.1%";
  if (share >= 0.995 && share < 1) return ">99%";
  return `${(100 * share).toFixed(share > 0 && share < 0.0095 ? 1 : 0)}%`;
}

/**
 * A ranked list of [name, share, box] with bars; screen readers ignore the bars and read the numbers.
 * @param point if given, names are buttons, and it is called with the box that is hovered or focused, or with null
 */
export function ranking(rows, label, point = null) {
  const items = rows.map(([name, share, box]) => {
    const bar = el("span", { class: "bar", "aria-hidden": "true" });
    bar.style.setProperty("--share", share);
    const show = () => point(box);
    const hide = () => point(null);
    const parts = [name].flat();
    const named = point
      ? el("button", { type: "button", class: "name", title: "Show this box", focus: show, blur: hide, click: show }, ...parts)
      : el("span", { class: "name" }, ...parts);
    const hovered = point ? { pointerenter: show, pointerleave: hide } : {};
    return el("li", hovered, named, el("span", { class: "share" }, percent(share)), bar);
  });
  return el("ol", { class: "ranking", "aria-label": label }, ...items);
}

/** Call `act` on a click, Enter or space. */
export function pressed(element, act) {
  element.addEventListener("click", act);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act(event);
  });
}
