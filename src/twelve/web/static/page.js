// The page: a tab for each kind of question that the model was trained on.

import * as api from "./api.js";
import { boxesForm, pairForm, searchForm, textForm } from "./forms.js";
import { el, field } from "./dom.js";
import { Gallery } from "./gallery.js";
import { ImageView } from "./image.js";

const TABS = {
  answer: ["Ask", "A question about the image.", { label: "Question", key: "question", placeholder: "What colour is …?" }],
  locate: ["Point", "Where in the image is what a phrase means?", { label: "Phrase", key: "phrase", placeholder: "the red …" }],
  entails: ["Check", "Does the image show that a statement is so?", { label: "Statement", key: "statement", placeholder: "There is …" }],
  choose: ["Choose", "Which of several boxes answers a question?", { label: "Question", placeholder: "Which …?" }],
  guess: ["Guess", "Which of several boxes were questions and answers about?", {}],
  verify: ["Compare", "Is a statement true of two images?", {}],
  match: ["Search", "Which image does a caption describe?", {}],
};

/** Methods that are about the one image which their tabs share. */
const SHARED = ["answer", "locate", "entails", "choose", "guess"];

function panelOf(method, model, image) {
  const tasks = model.methods[method];
  const [button, , words] = TABS[method];
  if (method === "verify") {
    const left = new ImageView("Left image", model.samples);
    const right = new ImageView("Right image", model.samples);
    const shown = pairForm({ button, left, right, tasks });
    for (const side of [left, right]) side.addEventListener("looked", (event) => { shown.clear(); shown.suggest(event.detail?.texts.verify); });
    return { ...shown, images: el("div", { class: "pair" }, left.element, right.element), layout: "stacked" };
  }
  if (method === "match") {
    const gallery = new Gallery(model.samples, model.limits.images);
    return { ...searchForm({ button, gallery, tasks }), images: gallery.element, layout: "stacked" };
  }
  const make = method === "choose" || method === "guess" ? boxesForm : textForm;
  const shown = make(method, { ...words, button, image, tasks });
  image.addEventListener("looked", (event) => { shown.clear(); shown.suggest(event.detail?.texts[method]); });
  return { ...shown, layout: "beside" };
}

function build(model) {
  const methods = Object.keys(TABS).filter((method) => method in model.methods);
  const image = new ImageView("Image", model.samples);
  const tablist = document.getElementById("tabs");
  const panels = document.getElementById("panels");
  const parts = {};
  let current = null;

  function select(method, focus = false) {
    if (current) parts[current].close?.();
    current = method;
    for (const [name, { tab, panel }] of Object.entries(parts)) {
      const chosen = name === method;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      panel.hidden = !chosen;
    }
    const { tab, panel, open, clear, drawing } = parts[method];
    if (SHARED.includes(method)) {
      panel.querySelector(".columns").prepend(image.element);
      image.stage.classList.toggle("drawing", Boolean(drawing));
      clear();
      open();
    }
    history.replaceState(null, "", `#${method}`);
    if (focus) tab.focus();
  }

  for (const method of methods) {
    const [name, purpose] = TABS[method];
    const shown = panelOf(method, model, image);
    const tab = el("button", { type: "button", role: "tab", id: `tab-${method}`, "aria-controls": `panel-${method}`, click: () => select(method) }, name);
    const columns = el("div", { class: `columns ${shown.layout}` }, shown.images ?? null, shown.element);
    const panel = el("div", { role: "tabpanel", id: `panel-${method}`, "aria-labelledby": `tab-${method}`, hidden: true }, el("p", { class: "purpose" }, purpose), columns);
    parts[method] = { ...shown, tab, panel };
    tablist.append(tab);
    panels.append(panel);
  }
  // Another image empties the replies; the open tab draws what it offers of it.
  image.addEventListener("looked", () => SHARED.includes(current) && parts[current].open());
  tablist.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -methods.indexOf(current), End: methods.length - 1 - methods.indexOf(current) }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    select(methods[(methods.indexOf(current) + step + methods.length) % methods.length], true);
  });
  const wanted = location.hash.slice(1);
  if (methods.length) select(methods.includes(wanted) ? wanted : methods[0]);
  else panels.append(el("p", { role: "alert" }, "This model was trained on nothing that can be asked here."));
}

// A file that misses its place must not replace the page.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

/** What people should know of a model: whose questions it was trained for, and what it is no good at. */
function known({ methods, note }) {
  const titles = Object.values(methods).flat().map(({ title }) => title);
  return [note, titles.length && `Trained for ${titles.join(", ")}.`].filter(Boolean).join(" ");
}

/** The token that this service wants; `wrong` is the one that it was sent before. */
function askToken(panels, wrong) {
  const input = el("input", { type: "password", required: true, autocomplete: "off" });
  const hint = "Whoever runs this service knows it.";
  const asked = el(
    "form",
    { class: "token", novalidate: true },
    field("This service wants a token", input, hint),
    el("button", { type: "submit" }, "Continue"),
    el("p", { role: "alert", class: "problem" }, wrong ? "The token is wrong." : ""),
  );
  asked.addEventListener("submit", (event) => {
    event.preventDefault();
    if (!input.value.trim()) return;
    api.use(input.value);
    start(true);
  });
  panels.replaceChildren(asked);
  input.focus();
}

async function start(asked = false) {
  const panels = document.getElementById("panels");
  try {
    const model = await api.model();
    panels.replaceChildren();
    const size = (model.parameters / 1e6).toFixed(1);
    document.getElementById("about").textContent =
      `One vision-and-language model of ${size} M parameters. Images stay in this service's memory, ` +
      `for ${Math.max(1, Math.round(model.limits.scene_seconds / 60))} minutes after the last question.`;
    document.getElementById("known").textContent = known(model);
    build(model);
  } catch (error) {
    if (error.status === 401) askToken(panels, asked);
    else panels.replaceChildren(el("p", { role: "alert", class: "problem" }, error.message));
  }
}

// A link may bring the token behind its #, which browsers send to nobody; it goes from the address at once.
const [, brought] = location.hash.match(/^#token=(.+)$/) ?? [];
if (brought) {
  api.use(brought);
  history.replaceState(null, "", location.pathname);
}
await start(Boolean(brought));
