// One form per kind of question.

import { Candidates } from "./candidates.js";
import { Dialogue, isMark } from "./dialogue.js";
import { el, field, percent, titled, usualTexts } from "./dom.js";
import { form } from "./form.js";
import { Found } from "./found.js";
import * as replies from "./replies.js";

/** Images that a search shows. */
const SHOWN = 12;

/** Texts about the open image that a tab offers. */
const OFFERED = 2;

/** A field for a text. Its placeholder is a text that the model was trained on, if it tells one: an example of others may
 *  be a question that this model cannot answer. */
function line(placeholder, tasks) {
  const [usual] = usualTexts(tasks);
  const shown = usual ? `such as: ${usual}` : tasks[0].own ? "as in the training data" : placeholder;
  return el("input", { type: "text", maxlength: 2000, required: true, placeholder: shown, autocomplete: "off" });
}

/** Buttons that fill a field with texts. */
function fillers(input, texts) {
  const fill = (text) => () => {
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true })); // as if it were typed
    input.focus();
  };
  return texts.map((text) => el("button", { type: "button", class: "plain", click: fill(text) }, text));
}

/** Buttons with the texts that the model was trained on; null if it tells none. */
function usual(input, tasks) {
  const texts = fillers(input, usualTexts(tasks));
  return texts.length ? el("p", { class: "usual" }, el("small", {}, "Trained on texts such as "), ...texts) : null;
}

/** Buttons with texts about the image that is open, without that of its sample, which the field has. */
function offers(input, image, offer) {
  const row = el("p", { class: "usual offers", hidden: true });
  image.addEventListener("opened", () => {
    const asked = Object.values(image.sample?.texts ?? {});
    const texts = fillers(input, image.objects.map(offer).filter((text) => !asked.includes(text)).slice(0, OFFERED));
    row.hidden = !texts.length;
    row.replaceChildren(el("small", {}, "For example "), ...texts);
  });
  return row;
}

const typed = (input, what) => (input.value.trim() ? null : `Type ${what} first.`);
const opened = (image) => (image.scene ? null : "Select an image first.");

const ANSWERS = { label: "Answer in the style of", hint: "The model was trained on several datasets of such questions. Each has its own kind of answers." };
const RANKINGS = { label: "Rank as learned from", hint: "The model was trained on several datasets of captions. Each gives a different ranking." };

/** A choice among several tasks, none if there is only one; and what to know of the chosen one before asking. */
function taskChoice(tasks, { label, hint } = ANSWERS) {
  const choice = el("select", {}, ...tasks.map(({ name, title }) => el("option", { value: name }, title)));
  const several = tasks.length > 1;
  const lost = tasks.some((task) => task.left_out) ? el("p", { role: "status", class: "tip lost" }) : null;
  const warn = () => {
    const task = tasks.find(({ name }) => name === choice.value);
    lost.textContent = task.left_out ? `${titled(task)} was not part of the last training and may have been forgotten: replies here may be wrong.` : "";
  };
  if (lost) {
    choice.addEventListener("change", warn);
    warn();
  }
  return {
    lost,
    field: several && field(label, choice, hint),
    within: (body) => (several ? { ...body, task: choice.value } : body),
  };
}

/** Fields that few users need; nothing if there are none. */
function advanced(...fields) {
  const wanted = fields.filter(Boolean);
  return wanted.length ? el("details", { class: "advanced" }, el("summary", {}, "Advanced"), ...wanted) : null;
}

function thresholdField(input) {
  const value = el("output", {}, "");
  const show = () => {
    value.textContent = percent(input.value);
    input.setAttribute("aria-valuetext", value.textContent);
  };
  input.addEventListener("input", show);
  show();
  const label = ["Say “not in the image” below ", value];
  return field(label, input, "The model always ranks some box first. If its confidence is lower than this, the reply is “not in the image”.");
}

/** `suggest` fills a field with a text, or clears the one that it suggested before, unless the user has typed one, be it
 *  the same; `demonstrate` sends it. */
function suggestions(form, current) {
  let last = "";
  form.element.addEventListener("input", ({ target }) => { if (target === current()) last = ""; });
  return {
    suggest(text) {
      const input = current();
      if (["", last, text].includes(input.value)) input.value = last = text ?? "";
    },
    demonstrate: () => last && current().value === last && form.demonstrate(),
  };
}

/** answer, locate, entails: one text about the image. */
export function textForm(method, { label, key, placeholder, offer, button, image, tasks, notes, quick }) {
  const input = line(placeholder, tasks);
  const task = taskChoice(tasks);
  const threshold = method === "locate" ? el("input", { type: "range", min: 0, max: 1, step: 0.05, value: 0 }) : null;
  const said = { answer: replies.answered, locate: replies.located, entails: replies.entailed }[method];
  const redraw = () => image.show([]);
  const shown = form({
    method,
    button,
    fields: [task.lost, field(label, input), usual(input, tasks) ?? (tasks[0].own ? null : offers(input, image, offer))],
    more: advanced(task.field, threshold && thresholdField(threshold)),
    asked: () => ({
      problem: opened(image) || typed(input, `a ${label.toLowerCase()}`),
      images: [image],
      body: () => {
        const body = { image: image.reference, [key]: input.value };
        return task.within(threshold ? { ...body, threshold: Number(threshold.value) } : body);
      },
    }),
    said: (told) => {
      redraw();
      return said(told, image);
    },
    redraw,
    doubts: () => image.doubts,
    depends: method === "locate" ? null : { method, quick, images: [image] },
    explained: { image, called: (box) => image.called(box) },
    notes,
    tasks,
  });
  return { ...shown, ...suggestions(shown, () => input), open: redraw };
}

/** choose, guess: a question or dialogue, and candidate boxes. */
export function boxesForm(method, { label, placeholder, button, image, tasks, notes }) {
  const candidates = new Candidates(image);
  const dialogue = method === "guess" ? new Dialogue() : null;
  const input = line(placeholder, tasks);
  const task = taskChoice(tasks);
  const nothing = () => (dialogue ? !dialogue.turns.length && "Type a question first." : typed(input, "a question"));
  const shown = form({
    method,
    button,
    fields: [task.lost, dialogue ? dialogue.element : field(label, input), dialogue ? null : usual(input, tasks), candidates.element],
    more: advanced(task.field),
    asked: () => ({
      problem: opened(image) || nothing() || (candidates.boxes.length ? null : "Tick at least one box."),
      images: [image],
      body: () => {
        const text = dialogue ? { dialogue: dialogue.turns } : { question: input.value };
        return task.within({ image: image.reference, boxes: candidates.boxes, ...text });
      },
    }),
    said: (told) => {
      candidates.show(told.index);
      return replies.chosen(told, candidates.chosen, image);
    },
    redraw: () => candidates.show(),
    doubts: () => image.doubts,
    explained: { image, called: (box) => candidates.called(box), isMark: dialogue ? isMark : undefined },
    notes,
    tasks,
  });
  candidates.addEventListener("changed", shown.clear); // the reply is about the boxes that were sent
  return {
    ...shown,
    ...suggestions(shown, () => (dialogue ? dialogue.first : input)),
    open: () => { candidates.active = true; candidates.show(); },
    close: () => { candidates.active = false; },
    drawing: true,
  };
}

/** verify: a statement about two images. */
export function pairForm({ button, left, right, tasks, notes, quick }) {
  const input = line("Both images contain …", tasks);
  const task = taskChoice(tasks);
  const redraw = () => [left, right].forEach((image) => image.show([]));
  const shown = form({
    method: "verify",
    button,
    fields: [task.lost, field("Statement about both images", input), usual(input, tasks)],
    more: advanced(task.field),
    asked: () => ({
      problem: opened(left) || opened(right) || typed(input, "a statement"),
      images: [left, right],
      body: () => task.within({ left: left.reference, right: right.reference, statement: input.value }),
    }),
    said: (told) => {
      redraw();
      return replies.verified(told);
    },
    redraw,
    doubts: () => [...left.doubts, ...right.doubts],
    depends: { method: "verify", quick, images: [left, right] },
    explained: { image: left, called: (box) => left.called(box), note: "The attention is that of the left image." },
    notes,
    tasks,
  });
  return { ...shown, ...suggestions(shown, () => input) };
}

/** match: a caption and several images. */
export function matchForm({ button, gallery, tasks, notes }) {
  const input = line("what the image shows", tasks);
  const task = taskChoice(tasks, RANKINGS);
  let sent = [];
  let caption = "";
  /** Warnings name images by index in the request; below the images stand their places. */
  function placed(text, told) {
    if (text.startsWith(`${caption}: `)) return text;
    const place = (named) => told.captions[0].images.findIndex(({ index }) => index === Number(named)) + 1;
    return text.replace(/^\d+(, \d+)*(?=:| and \d+ more:)/, (indices) => {
      const places = indices.split(", ").map(place).sort((one, other) => one - other);
      return `${places.length > 1 ? "images" : "image"} ${places.join(", ")}`;
    });
  }
  const shown = form({
    method: "match",
    button,
    fields: [task.lost, field("Caption", input), usual(input, tasks)],
    more: advanced(task.field),
    asked: () => ({
      problem: (gallery.items.length ? null : "Add images first.") || typed(input, "a caption"),
      images: (sent = [...gallery.items]),
      body: () => task.within({ captions: [(caption = input.value)], images: sent.map((item) => ({ scene: item.scene.id })) }),
    }),
    said: (told) => {
      const ranked = told.captions[0].images;
      gallery.rank(sent, ranked);
      const best = el("p", {}, "Image 1 matches best.");
      return [[`Best of ${ranked.length} ${ranked.length === 1 ? "image" : "images"} `, el("small", {}, percent(ranked[0].share))], replies.ranked(best, ranked.map(({ share }) => ["the second image", share]))];
    },
    notes,
    tasks,
    named: placed,
  });
  return { ...shown, ...suggestions(shown, () => input) };
}

/** The images that a warning begins with, and whether these are all; null if it begins with none. */
function beginning(text, images) {
  const names = [];
  let rest = text;
  const next = () => images.map(({ image }) => image).filter((name) => rest.startsWith(name) && /^(, |: | and \d+ more: )/.test(rest.slice(name.length)));
  for (let found = next(); found.length; found = next()) {
    const name = found.reduce((one, other) => (one.length > other.length ? one : other));
    names.push(name);
    rest = rest.slice(name.length);
    if (!rest.startsWith(", ")) return { names, whole: rest.startsWith(": "), said: rest.slice(2) };
    rest = rest.slice(2);
  }
  return null;
}

/** search: a caption, for the images that the service has. */
export function searchForm({ button, count, tasks, notes }) {
  const input = line("such as: a green boat", tasks);
  const task = taskChoice(tasks, RANKINGS);
  const found = new Found();
  const shown = form({
    method: "search",
    button,
    fields: [task.lost, field("Caption", input, `${count.toLocaleString("en")} ${count === 1 ? "image" : "images"} in the index.`), usual(input, tasks)],
    more: advanced(task.field),
    asked: () => ({ problem: typed(input, "a caption"), body: () => task.within({ text: input.value, top: SHOWN }) }),
    said: (told) => {
      const { images, ranked, skipped } = told;
      const lost = skipped.length ? el("p", { class: "tip lost" }, `${skipped.length} of the closest images ${skipped.length === 1 ? "is" : "are"} gone, or changed after the index was made.`) : null;
      if (!images.length) return ["No image found", lost];
      const list = found.show(images, told.warnings.map(({ text }) => beginning(text, images)).filter((told) => told?.whole));
      const rows = images.map(({ share }, place) => [`image ${place + 1}`, share]);
      const all = `${told.indexed.toLocaleString("en")} ${told.indexed === 1 ? "image" : "images"}`;
      const head = ranked < told.indexed ? [`Best of ${ranked} `, el("small", {}, `the closest of ${all}`)] : `Best of ${all}`;
      return [head, replies.ranked(list, rows, lost)];
    },
    redraw: () => found.clear(),
    notes,
    tasks,
    keeps: (text, { images }) => beginning(text, images) !== null,
    apart: (text, { images }) => beginning(text, images)?.whole,
    readFirst: true,
    // A warning of images names the best of them first.
    concerns: (text, { text: caption, images }) => text.startsWith(`${caption}: `) || text.startsWith(images[0]?.image ?? ""),
  });
  return shown;
}
