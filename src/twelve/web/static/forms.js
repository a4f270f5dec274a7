// One form a kind of question: what is typed, what is sent, how the reply reads.

import * as api from "./api.js";
import { attentionView } from "./attention.js";
import { Candidates, Dialogue } from "./candidates.js";
import { el, field, percent, ranking } from "./dom.js";

const line = (placeholder) => el("input", { type: "text", maxlength: 2000, required: true, placeholder, autocomplete: "off" });

/** Which of several tasks a question is asked as; null where there is one. */
function taskChoice(tasks) {
  if (tasks.length < 2) return null;
  return el("select", {}, ...tasks.map(({ name, title }) => el("option", { value: name }, title)));
}

/** What was said, in the words of a kind of question. */
const SAID = {
  answer: (told) => [told.answer, ranking(told.alternatives, "Answers, best first")],
  entails: (told) => [told.label, ranking(told.alternatives, "Ranked")],
  verify: (told) => [told.true ? "True" : "False", ranking([[told.true ? "true" : "false", told.score], [told.true ? "false" : "true", 1 - told.score]], "Ranked")],
  locate: (told) => [
    told.box ? `There it is (${percent(told.score)})` : `Not in the picture (at most ${percent(told.score)})`,
    ranking(told.alternatives.slice(0, 5).map(([box, share]) => [`box ${box.map(Math.round).join(", ")}`, share]), "Boxes, best first"),
  ],
};

/**
 * A form whose replies appear below it.
 * @param asked () => {pictures, body, problem}: what to send, or why it cannot be sent
 * @param said (reply) => [headline, element]
 */
function form({ method, fields, asked, said, explained = null, button = "Ask" }) {
  const result = el("section", { class: "result", "aria-live": "polite", "aria-label": "Reply" });
  const problem = el("p", { role: "alert", class: "problem" });
  const submit = el("button", { type: "submit" }, button);

  async function send(explain) {
    problem.textContent = "";
    const { pictures = [], body, problem: missing } = asked();
    if (missing) {
      problem.textContent = missing;
      return;
    }
    const blobs = pictures.map((picture) => picture.blob);
    submit.disabled = true;
    result.setAttribute("aria-busy", "true");
    try {
      const told = await api.ask(method, pictures, () => (explain ? { ...body(), explain } : body()));
      // Another picture or tab may have been chosen meanwhile: these boxes are none of its.
      const same = pictures.every((picture, k) => picture.blob === blobs[k]);
      if (same && !element.closest("[hidden]")) shown(told, pictures);
    } catch (error) {
      result.replaceChildren();
      problem.textContent = error.message;
    } finally {
      submit.disabled = false;
      result.removeAttribute("aria-busy");
    }
  }

  function shown(told, pictures) {
    const [headline, details] = said(told, pictures);
    const why = explained && el("button", { type: "button", class: "plain why", click: () => send(true) }, "Show what it looked at");
    const answer = [el("h3", { class: "headline" }, headline), details, why];
    if (!told.attention) return result.replaceChildren(...answer.filter(Boolean));
    const restore = () => shown({ ...told, attention: null }, pictures);
    result.replaceChildren(answer[0], attentionView(explained(), told.attention, restore));
    result.querySelector(".word")?.focus();
  }

  const element = el("form", { novalidate: true }, ...fields, submit, problem, result);
  element.addEventListener("submit", (event) => {
    event.preventDefault();
    send(false);
  });
  return { element, clear: () => { result.replaceChildren(); problem.textContent = ""; } };
}

const typed = (input, what) => (input.value.trim() ? null : `Type ${what} first.`);
const looked = (picture) => (picture.scene ? null : "Choose a picture first.");
const withTask = (choice, body) => (choice ? { ...body, task: choice.value } : body);

/** What stays in a field that a sample filled goes when another sample is chosen; what a person typed stays. */
function suggestions(input) {
  let last = "";
  return (text) => {
    if (!text || (input.value && input.value !== last)) return;
    input.value = last = text;
  };
}

/** answer, locate, entails: one text about the picture. */
export function textForm(method, { label, key, placeholder, picture, tasks }) {
  const input = line(placeholder);
  const choice = taskChoice(tasks);
  const threshold = el("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0 });
  const located = method === "locate";
  const shown = form({
    method,
    fields: [
      field(label, input),
      choice && field("Asked as in", choice),
      located && field("Say “not there” below this score", threshold),
    ].filter(Boolean),
    asked: () => ({
      problem: looked(picture) || typed(input, "something"),
      pictures: [picture],
      body: () => {
        const body = { picture: picture.reference, [key]: input.value };
        return withTask(choice, located ? { ...body, threshold: Number(threshold.value) } : body);
      },
    }),
    said: (told) => {
      const others = located && told.box ? told.alternatives.slice(1, 4).map(([box]) => ({ box, kind: "other" })) : [];
      picture.show(located && told.box ? [{ box: told.box, kind: "best" }, ...others] : []);
      return SAID[method](told);
    },
    explained: () => picture,
  });
  return { ...shown, suggest: suggestions(input), open: () => picture.show([]) };
}

/** choose, guess: one of several boxes. */
export function boxesForm(method, { label, placeholder, picture, tasks }) {
  const candidates = new Candidates(picture);
  const dialogue = method === "guess" ? new Dialogue() : null;
  const input = line(placeholder);
  const choice = taskChoice(tasks);
  const shown = form({
    method,
    fields: [
      dialogue ? dialogue.element : field(label, input),
      choice && field("Asked as in", choice),
      candidates.element,
    ].filter(Boolean),
    asked: () => ({
      problem:
        looked(picture) ||
        (dialogue ? (dialogue.turns.length ? null : "Type a question first.") : typed(input, "a question")) ||
        (candidates.boxes.length ? null : "Tick at least one box."),
      pictures: [picture],
      body: () => {
        const text = dialogue ? { dialogue: dialogue.turns } : { question: input.value };
        return withTask(choice, { picture: picture.reference, boxes: candidates.boxes, ...text });
      },
    }),
    said: (told) => {
      candidates.show(told.index);
      const rows = told.alternatives.slice(0, 8).map(([index, share]) => [candidates.name(index), share]);
      return [`Box ${candidates.name(told.index)} (${percent(told.score)})`, ranking(rows, "Boxes, best first")];
    },
    explained: () => picture,
  });
  return {
    ...shown,
    suggest: dialogue ? (text) => text && dialogue.suggest(text) : suggestions(input),
    open: () => { candidates.active = true; candidates.show(); },
    close: () => { candidates.active = false; },
    drawing: true,
  };
}

/** verify: a statement about two pictures. */
export function pairForm({ left, right, tasks }) {
  const input = line("Both images contain …");
  const choice = taskChoice(tasks);
  const shown = form({
    method: "verify",
    fields: [field("Statement about both pictures", input), choice && field("Asked as in", choice)].filter(Boolean),
    asked: () => ({
      problem: looked(left) || looked(right) || typed(input, "a statement"),
      pictures: [left, right],
      body: () => withTask(choice, { left: left.reference, right: right.reference, statement: input.value }),
    }),
    said: (told) => {
      left.show([]);
      return SAID.verify(told);
    },
    explained: () => left,
    button: "Is it true?",
  });
  return { ...shown, suggest: suggestions(input) };
}

/** match: the pictures that a caption means. */
export function searchForm({ gallery, tasks }) {
  const input = line("what the picture shows");
  const choice = taskChoice(tasks);
  let asked = [];
  return form({
    method: "match",
    fields: [field("Caption", input), choice && field("Asked as in", choice)].filter(Boolean),
    asked: () => ({
      problem: (gallery.items.length ? null : "Add pictures first.") || typed(input, "a caption"),
      pictures: (asked = [...gallery.items]),
      body: () => withTask(choice, { captions: [input.value], pictures: asked.map((item) => ({ scene: item.scene.id })) }),
    }),
    said: (told) => {
      const ranked = told.captions[0].pictures;
      gallery.rank(asked, ranked);
      const best = asked[ranked[0].picture].element.querySelector("img").alt;
      return [`The best of ${ranked.length} (${percent(ranked[0].share)})`, el("p", {}, best)];
    },
    button: "Search",
  });
}
