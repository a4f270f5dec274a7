// A form that sends a question and shows its reply below.

import * as api from "./api.js";
import { attentionView } from "./attention.js";
import { el } from "./dom.js";

const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * @param asked () => {images, body, problem}: the request, or why it is incomplete
 * @param said (reply) => [headline, element]
 * @param redraw draws the image as it is without a reply
 * @param explained arguments of attentionView; null if there is no attention to show
 */
export function form({ method, button, fields, asked, said, redraw = () => {}, explained = null }) {
  const result = el("section", { class: "result", "aria-live": "polite", "aria-label": "Reply" });
  const problem = el("p", { role: "alert", class: "problem" });
  // Not disabled while busy, because it would lose the focus.
  const submit = el("button", { type: "submit" }, button);
  let busy = false;
  let cleared = 0;

  function clear() {
    cleared += 1;
    result.replaceChildren();
    problem.textContent = "";
  }

  function fail(text) {
    clear(); // an earlier reply would seem to answer this question
    redraw();
    problem.textContent = text;
  }

  async function send(explain) {
    if (busy) return;
    const { images = [], body, problem: missing } = asked();
    if (missing) return fail(missing);
    problem.textContent = "";
    for (const image of images) image.settle?.();
    wait(true);
    // The reply is stale if the form was cleared meanwhile (another image or other boxes) or its tab is hidden.
    const before = cleared;
    const stale = () => cleared !== before || element.closest("[hidden]");
    try {
      const told = await api.ask(method, images, () => (explain ? { ...body(), explain } : body()));
      if (!stale()) shown(told, images);
    } catch (error) {
      if (!stale()) fail(error.message);
    } finally {
      wait(false);
    }
  }

  function wait(on) {
    busy = on;
    submit.setAttribute("aria-disabled", String(on));
    result.setAttribute("aria-busy", String(on));
  }

  function shown(told, images) {
    const [headline, details] = said(told, images);
    const head = el("h3", { class: "headline" }, ...[headline].flat());
    const warnings = told.warnings.map((text) => el("p", { class: "warning" }, `${text[0].toUpperCase()}${text.slice(1)}.`));
    if (told.attention) {
      const restore = () => {
        shown({ ...told, attention: null }, images);
        result.querySelector(".why").focus();
      };
      result.replaceChildren(head, ...warnings, attentionView(explained, told.attention, restore));
      result.querySelector(".word")?.focus({ preventScroll: true });
    } else {
      const why = explained && el("button", { type: "button", class: "plain why", click: () => send(true) }, "Show the attention");
      result.replaceChildren(...[head, ...warnings, details, why].filter(Boolean));
    }
    result.scrollIntoView({ block: "nearest", behavior: CALM.matches ? "auto" : "smooth" });
  }

  const element = el("form", { novalidate: true }, ...fields.filter(Boolean), submit, problem, result);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    send(false);
  });
  return { element, clear };
}
