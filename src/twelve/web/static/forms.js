// One form a kind of question: what is typed, what is sent.

import { Candidates } from "./candidates.js";
import { Dialogue, isMark } from "./dialogue.js";
import { el, field, percent } from "./dom.js";
import { form } from "./form.js";
import * as replies from "./replies.js";

const line = (placeholder) => el("input", { type: "text", maxlength: 2000, required: true, placeholder, autocomplete: "off" });
const typed = (input, what) => (input.value.trim() ? null : `Type ${what} first.`);
const looked = (picture) => (picture.scene ? null : "Choose a picture first.");

/** Which of several tasks a question is asked as; nothing to choose where there is one. */
function taskChoice(tasks) {
  const choice = el("select", {}, ...tasks.map(({ name, title }) => el("option", { value: name }, title)));
  const several = tasks.length > 1;
  return {
    field: several && field("Kind of question, by dataset", choice, "The model learned this from several datasets, and goes by the one chosen."),
    within: (body) => (several ? { ...body, task: choice.value } : body),
  };
}

function thresholdField(input) {
  const value = el("output", {}, "");
  const show = () => {
    value.textContent = percent(input.value);
    input.setAttribute("aria-valuetext", value.textContent);
  };
  input.addEventListener("input", show);
  show();
  const label = ["Say “not in the picture” below ", value];
  return field(label, input, "The model always prefers some box. One whose score is below this does not count as found.");
}

/** What stays in a field that a sample filled goes when another sample is chosen; what a person typed stays. */
function suggestions(current) {
  let last = "";
  return (text) => {
    const input = current();
    if (!text || (input.value && input.value !== last)) return;
    input.value = last = text;
  };
}

/** answer, locate, entails: one text about the picture. */
export function textForm(method, { label, key, placeholder, button, picture, tasks }) {
  const input = line(placeholder);
  const task = taskChoice(tasks);
  const threshold = method === "locate" ? el("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0 }) : null;
  const said = { answer: replies.answered, locate: replies.located, entails: replies.entailed }[method];
  const redraw = () => picture.show([]);
  const shown = form({
    method,
    button,
    fields: [field(label, input), task.field, threshold && thresholdField(threshold)],
    asked: () => ({
      problem: looked(picture) || typed(input, "something"),
      pictures: [picture],
      body: () => {
        const body = { picture: picture.reference, [key]: input.value };
        return task.within(threshold ? { ...body, threshold: Number(threshold.value) } : body);
      },
    }),
    said: (told) => {
      redraw();
      return said(told, picture);
    },
    redraw,
    explained: { picture, called: (box) => picture.called(box) },
  });
  return { ...shown, suggest: suggestions(() => input), open: redraw };
}

/** choose, guess: one of several boxes. */
export function boxesForm(method, { label, placeholder, button, picture, tasks }) {
  const candidates = new Candidates(picture);
  const dialogue = method === "guess" ? new Dialogue() : null;
  const input = line(placeholder);
  const task = taskChoice(tasks);
  const nothing = () => (dialogue ? !dialogue.turns.length && "Type a question first." : typed(input, "a question"));
  const shown = form({
    method,
    button,
    fields: [dialogue ? dialogue.element : field(label, input), task.field, candidates.element],
    asked: () => ({
      problem: looked(picture) || nothing() || (candidates.boxes.length ? null : "Tick at least one box."),
      pictures: [picture],
      body: () => {
        const text = dialogue ? { dialogue: dialogue.turns } : { question: input.value };
        return task.within({ picture: picture.reference, boxes: candidates.boxes, ...text });
      },
    }),
    said: (told) => {
      candidates.show(told.index);
      return replies.chosen(told, candidates.chosen, picture);
    },
    redraw: () => candidates.show(),
    explained: { picture, called: (box) => candidates.called(box), isMark: dialogue ? isMark : undefined },
  });
  candidates.addEventListener("changed", shown.clear); // a reply is about the boxes that were sent
  return {
    ...shown,
    suggest: suggestions(() => (dialogue ? dialogue.first : input)),
    open: () => { candidates.active = true; candidates.show(); },
    close: () => { candidates.active = false; },
    drawing: true,
  };
}

/** verify: a statement about two pictures. */
export function pairForm({ button, left, right, tasks }) {
  const input = line("Both images contain …");
  const task = taskChoice(tasks);
  const redraw = () => left.show([]);
  const shown = form({
    method: "verify",
    button,
    fields: [field("Statement about both pictures", input), task.field],
    asked: () => ({
      problem: looked(left) || looked(right) || typed(input, "a statement"),
      pictures: [left, right],
      body: () => task.within({ left: left.reference, right: right.reference, statement: input.value }),
    }),
    said: (told) => {
      redraw();
      return replies.verified(told);
    },
    redraw,
    explained: { picture: left, called: (box) => left.called(box), note: "This is about the left picture alone." },
  });
  return { ...shown, suggest: suggestions(() => input) };
}

/** match: the pictures that a caption means. */
export function searchForm({ button, gallery, tasks }) {
  const input = line("what the picture shows");
  const task = taskChoice(tasks);
  let sent = [];
  return form({
    method: "match",
    button,
    fields: [field("Caption", input), task.field],
    asked: () => ({
      problem: (gallery.items.length ? null : "Add pictures first.") || typed(input, "a caption"),
      pictures: (sent = [...gallery.items]),
      body: () => task.within({ captions: [input.value], pictures: sent.map((item) => ({ scene: item.scene.id })) }),
    }),
    said: (told) => {
      const ranked = told.captions[0].pictures;
      gallery.rank(sent, ranked);
      const best = sent[ranked[0].picture].element.querySelector("img").alt;
      return [`The best of ${ranked.length} (${percent(ranked[0].share)})`, el("p", {}, best)];
    },
  });
}
