// Making elements. Text is always set as text: nothing that a model, a file or a person says becomes markup.

const SVG = "http://www.w3.org/2000/svg";
let made = 0;

/** An id that no other element has. */
export const unique = (name) => `${name}-${++made}`;

/** An element: attributes (functions are listeners, true is a bare attribute, null and false are left out), children. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** The same of SVG. */
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

/** A labelled form field. */
export function field(label, input, hint = null) {
  input.id ||= unique("field");
  return el("p", { class: "field" }, el("label", { for: input.id }, label), input, hint && el("small", {}, hint));
}

/** A share as people read it. */
export const percent = (share) => `${Math.round(100 * share)} %`;

/** A ranked list of [name, share] with bars; the bars are for the eye, the numbers for everyone. */
export function ranking(rows, label) {
  return el(
    "ol",
    { class: "ranking", "aria-label": label },
    ...rows.map(([name, share]) => {
      const bar = el("span", { class: "bar", "aria-hidden": "true" });
      bar.style.setProperty("--share", share);
      return el("li", {}, el("span", { class: "name" }, name), el("span", { class: "share" }, percent(share)), bar);
    }),
  );
}

/** Call `act` when an element is clicked, or chosen by the keyboard. */
export function pressed(element, act) {
  element.addEventListener("click", act);
  element.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    act(event);
  });
}
