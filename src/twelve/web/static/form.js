// A form that sends a question and shows its reply below.

import * as api from "./api.js";
import { attentionView } from "./attention.js";
import { dependsView } from "./depends.js";
import { capital, el, ended, titled } from "./dom.js";
import { meaning } from "./replies.js";

/** Warnings that leave a reply as reliable as it is; warned.py has them too. */
const HARMLESS = ["other_spelling", "long_text"];
const PHONE = matchMedia("(max-width: 760px)"); // as in page.css
const CALM = matchMedia("(prefers-reduced-motion: reduce)");

/**
 * The form, `clear`, which replaces a reply by the warnings of the images, and `demonstrate`, which sends it for the
 * user: without scrolling, and until the user sends it.
 * @param more an element beside the button
 * @param notes (images) => texts that stand beside every reply about these images
 * @param doubts () => the warnings of the images that are open, which every reply about them will have
 * @param asked () => {images, body, problem}: the request, or why it is incomplete
 * @param said (reply) => [headline, element]
 * @param redraw draws the image as it is without a reply
 * @param tasks those of the method
 * @param named (warning, reply) => the warning with names that the page uses
 * @param keeps (warning, reply) => whether the warning begins with a name, which stays as it is
 * @param apart (warning, reply) => whether the reply itself shows the warning
 * @param readFirst whether the reply stands below the sentence that says what its percentages are
 * @param concerns (warning, reply) => whether a warning is about what the headline says; by default, each is
 * @param depends arguments of dependsView; null if it is not measured
 * @param explained arguments of attentionView; null if there is no attention to show
 */
export function form({ method, button, fields, more = null, asked, said, redraw = () => {}, depends = null, explained = null, notes = () => [], doubts = () => [], tasks = [], named = (text) => text, keeps = () => false, apart = () => false, readFirst = false, concerns = null }) {
  const result = el("section", { class: "result", "aria-live": "polite", "aria-label": "Reply" });
  const problem = el("p", { role: "alert", class: "problem" });
  // Not disabled while busy, because it would lose the focus.
  const submit = el("button", { type: "submit" }, button);
  let busy = false;
  let latest = 0; // changes with every request, and when the form is cleared

  function clear() {
    latest += 1;
    result.replaceChildren(...doubts().map((text) => el("p", { class: "warning" }, `${capital(text)}.`)));
    problem.textContent = "";
  }

  function fail(text) {
    clear(); // an earlier reply would seem to answer this question
    redraw();
    problem.textContent = text;
  }

  async function send({ explain = false, quiet = false } = {}) {
    if (busy) return;
    const { images = [], body, problem: missing } = asked();
    if (missing) return fail(missing);
    problem.textContent = "";
    for (const image of images) image.settle?.();
    if (!quiet) wait(true);
    // The reply is stale if the form was cleared meanwhile (another image or other boxes), if the user asked before a
    // demonstration was over, or if its tab is hidden.
    const mine = ++latest;
    const stale = () => latest !== mine || element.closest("[hidden]");
    const say = (text) => { if (!stale()) problem.textContent = text; };
    try {
      const told = await api.ask(method, images, () => (explain ? { ...body(), explain } : body()), say);
      say("");
      if (!stale()) shown(told, images, quiet);
    } catch (error) {
      if (!stale()) fail(error.message);
    } finally {
      if (!quiet) wait(false);
    }
  }

  function wait(on) {
    busy = on;
    submit.setAttribute("aria-disabled", String(on));
    result.setAttribute("aria-busy", String(on));
  }

  /** A warning as a sentence; one about the task begins with its name, which becomes the title as it is written. */
  function sentence(text, told) {
    const task = tasks.find(({ name }) => text.startsWith(`${name}: `) && name === told.task);
    if (task) return `${titled(task)}${text.slice(told.task.length)}.`;
    const said = named(text, told);
    return `${keeps(text, told) ? said : capital(said)}.`;
  }

  function shown(told, images, quiet = false) {
    const [headline, details] = said(told, images);
    const texts = [...new Set(told.warnings.map(({ text }) => text))];
    const warnings = texts.filter((text) => !apart(text, told)).map((text) => el("p", { class: "warning" }, sentence(text, told)));
    // That the model knows no photographs is said once.
    const unlike = told.warnings.some(({ code }) => code === "unusual_image");
    if (!unlike) warnings.unshift(...notes(images).map((text) => el("p", { class: "note" }, text)));
    const meaningless = !told.reliable && (!concerns || told.warnings.some(({ code, text }) => !HARMLESS.includes(code) && concerns(text, told)));
    const task = tasks.find(({ name }) => name === told.task);
    const measured = method !== "search"; // it adds the logit of the contrast head, which the tests of a task do not
    const title = [headline].flat();
    if (!told.calibrated && !readFirst) title.push(" ", el("small", {}, "not calibrated")); // beside the percentage
    const head = [...warnings, el("h3", { class: meaningless ? "headline doubtful" : "headline" }, ...title)];
    const [{ sample } = {}] = images;
    const known = images.length === 1 && sample?.correct && told.text && sample.texts[method] === told.text;
    if (known) head.push(el("p", { class: "tip correct" }, `correct answer: ${sample.correct}`));
    const others = tasks.length > 1;
    const score = !told.attention && !meaningless && measured && task?.test_score; // with the attention, there is little room on a phone
    if (task && (others || task.left_out || score)) {
      const choice = others ? " (change it under Advanced)" : "";
      head.push(el("p", { class: "tip by" }, `${ended(`Task: ${titled(task)}${choice}`)}${score ? ` Test score: ${score}.` : ""}`));
    }
    if (told.attention) {
      const restore = () => {
        shown({ ...told, attention: null }, images);
        result.querySelector(".why").focus();
      };
      result.replaceChildren(...head, attentionView(explained, told.attention, restore));
      (result.querySelector(".word[aria-pressed=true]") ?? result.querySelector(".word"))?.focus({ preventScroll: true });
    } else {
      const why = explained && el("button", { type: "button", class: "plain why", click: () => send({ explain: true }) }, "Show the attention");
      const read = el("p", { class: `tip read${told.calibrated ? "" : " uncalibrated"}` }, meaning(method, told, meaningless));
      const mine = latest;
      const dependence = depends && dependsView(depends, told, () => latest !== mine || element.closest("[hidden]"));
      const parts = [...(readFirst && details ? [read, details] : [details, read]), dependence, why];
      result.replaceChildren(...[...head, ...parts].filter(Boolean));
    }
    if (quiet) return;
    // On a phone, the image stays at the top of the screen: below it comes the question, if the headline fits there too.
    // With the attention, there is no room for it: below the image comes the button.
    const height = result.querySelector(".headline").getBoundingClientRect().bottom - element.getBoundingClientRect().top;
    const whole = PHONE.matches && !told.attention && height < innerHeight / 2;
    (whole ? element : result).scrollIntoView({ block: PHONE.matches ? "start" : "nearest", behavior: CALM.matches ? "auto" : "smooth" });
  }

  const element = el("form", { novalidate: true }, ...fields.filter(Boolean), el("div", { class: "actions" }, submit, more), problem, result);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    send();
  });
  return { element, clear, demonstrate: () => send({ quiet: true }) };
}
