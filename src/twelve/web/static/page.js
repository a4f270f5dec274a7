// The page: one tab per kind of question that the model can answer.

import * as api from "./api.js";
import { boxesForm, pairForm, matchForm, searchForm, textForm } from "./forms.js";
import { el, ended, field, titled, usualTexts } from "./dom.js";
import { Gallery } from "./gallery.js";
import { ImageView } from "./image.js";

/** Method -> the name of its tab, which is a request; what it takes; what it is for; its field. */
const TABS = {
  answer: ["Answer", "Question about an image", "A question about the image.", { label: "Question", key: "question", placeholder: "What colour is …?", offer: (thing) => `What colour is the ${thing}?` }],
  locate: ["Locate", "Phrase to find in an image", "Where in the image is what a phrase refers to?", { label: "Phrase", key: "phrase", placeholder: "the red …", offer: (thing) => `the ${thing}` }],
  entails: ["Check", "Statement about an image", "Is a statement true of the image?", { label: "Statement", key: "statement", placeholder: "There is …", offer: (thing) => `There is ${/^[aeiou]/.test(thing) ? "an" : "a"} ${thing}.` }],
  choose: ["Choose", "Question about boxes", "Which of the boxes answers the question?", { label: "Question", placeholder: "Which …?" }],
  guess: ["Guess", "Dialogue about a box", "Which of the boxes is a dialogue about?", {}],
  verify: ["Verify", "Statement about two images", "Is a statement about two images true?", {}],
  match: ["Match", "Caption for several images", "Which image matches a caption best?", {}],
  search: ["Search", "Caption for the images of this service", "Which images of this service match a caption best?", {}],
};

/** Methods whose tabs share one image. */
const SHARED = ["answer", "locate", "entails", "choose", "guess"];

/** Parameters of a model up to which what an answer depends on is measured unasked: it takes a pass for each box. */
const QUICK = 2e7;

/** Beside replies about the user's own images: what a model of synthetic images says about them. */
const notesOf = (model) => (images) => (model.note && images.some(({ sample }) => !sample) ? [model.note] : []);

/** The text to suggest: that of the sample. A sample's text rarely suits an image of the user's own (no
 *  sample), unless all samples have the same, or the model was trained on no other. */
function suggestion(model, method, sample) {
  if (sample) return sample.texts[method];
  const usual = method === "guess" ? [] : usualTexts(tasksOf(model, method));
  if (usual.length === 1) return usual[0];
  const texts = new Set(model.samples.map((sample) => sample.texts[method]));
  return texts.size === 1 ? [...texts][0] : null;
}

/** The tasks of a method. A search matches captions, among the images that the service has. */
const tasksOf = (model, method) => model.methods[method === "search" ? "match" : method];

function panelOf(method, model, image) {
  const tasks = tasksOf(model, method);
  const [button, , , words] = TABS[method];
  const notes = notesOf(model);
  const quick = model.parameters <= QUICK;
  if (method === "verify") {
    const left = new ImageView("Left image", model);
    const right = new ImageView("Right image", model);
    const shown = pairForm({ button, left, right, tasks, notes, quick });
    const suggest = (sample) => {
      const own = [left, right].some((side) => side.scene && !side.sample);
      shown.suggest(suggestion(model, method, own ? null : sample));
    };
    const demonstrate = () => left.sample && right.sample && shown.demonstrate();
    for (const side of [left, right]) side.addEventListener("opened", (event) => { shown.clear(); suggest(event.detail); demonstrate(); });
    const begin = () => {
      if (model.samples.length < 2 || !left.untouched || !right.untouched) return demonstrate();
      [left, right].forEach((side, k) => side.useSample(model.samples[k]));
    };
    const close = () => [left, right].forEach((side) => side.settle());
    return { ...shown, begin, close, images: el("div", { class: "pair" }, left.element, right.element) };
  }
  if (method === "match") {
    const gallery = new Gallery(model.samples, model.limits.images);
    const shown = matchForm({ button, gallery, tasks, notes });
    const begin = async () => {
      if (!model.samples.length || !gallery.untouched) return;
      await gallery.addSamples(model.samples);
      shown.suggest(model.samples[0].texts.match);
      shown.demonstrate();
    };
    return { ...shown, begin, close: () => gallery.settle(), images: gallery.element };
  }
  if (method === "search") {
    const shown = searchForm({ button, count: model.indexed, tasks, notes: () => (model.note ? [model.note] : []) });
    return { ...shown, begin: () => {} };
  }
  const make = method === "choose" || method === "guess" ? boxesForm : textForm;
  const shown = make(method, { ...words, button, image, tasks, notes, quick });
  image.addEventListener("opened", (event) => { shown.clear(); shown.suggest(suggestion(model, method, event.detail)); });
  const begin = () => {
    if (image.sample) shown.demonstrate();
    else if (image.untouched && model.samples.length) image.useSample(model.samples[0]);
  };
  return { ...shown, begin };
}

function build(model) {
  const earlier = (method) => tasksOf(model, method).every((task) => task.left_out); // the last training was without them
  const able = (method) => (method === "search" ? model.indexed !== null : method in model.methods);
  const methods = Object.keys(TABS).filter(able).sort((one, other) => earlier(one) - earlier(other));
  const image = new ImageView("Image", model);
  const tablist = document.getElementById("tabs");
  const panels = document.getElementById("panels");
  const parts = {};
  let current = null;

  function select(method, focus = false) {
    if (current) parts[current].close?.();
    image.settle();
    current = method;
    for (const [name, { tab, panel }] of Object.entries(parts)) {
      const chosen = name === method;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      panel.hidden = !chosen;
    }
    const { tab, panel, begin, open, clear, drawing } = parts[method];
    if (SHARED.includes(method)) {
      panel.querySelector(".columns").prepend(image.element);
      image.stage.classList.toggle("drawing", Boolean(drawing));
      clear();
      open();
    }
    begin();
    history.replaceState(null, "", `#${method}`);
    document.getElementById("api").href = `docs#${method}`; // what this tab sends
    if (focus) tab.focus();
  }

  for (const method of methods) {
    const [name, takes, purpose] = TABS[method];
    const shown = panelOf(method, model, image);
    if (method === methods.find(earlier)) tablist.append(el("span", { class: "earlier", role: "presentation" }, "Base-model tasks (may no longer work):"));
    const tip = earlier(method) ? "Not part of the last training: replies may be wrong." : takes;
    const tab = el("button", { type: "button", role: "tab", id: `tab-${method}`, "aria-controls": `panel-${method}`, "data-label": name, title: tip, click: () => select(method) }, name);
    const columns = el("div", { class: `columns${method === "search" ? " one" : ""}` }, shown.images ?? null, shown.element);
    const panel = el("div", { role: "tabpanel", id: `panel-${method}`, "aria-labelledby": `tab-${method}`, hidden: true }, el("p", { class: "purpose" }, purpose), columns);
    parts[method] = { ...shown, tab, panel };
    tablist.append(tab);
    panels.append(panel);
  }
  // A new image clears the replies; the open tab draws its boxes, and asks about a sample.
  image.addEventListener("opened", () => {
    if (!SHARED.includes(current)) return;
    parts[current].open();
    parts[current].begin();
  });
  tablist.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1, Home: -methods.indexOf(current), End: methods.length - 1 - methods.indexOf(current) }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    select(methods[(methods.indexOf(current) + step + methods.length) % methods.length], true);
  });
  const wanted = location.hash.slice(1);
  if (methods.length) select(methods.includes(wanted) ? wanted : methods[0]);
  else panels.append(el("p", { role: "alert" }, "This model was not trained on any kind of question that this page can ask."));
}

// Otherwise, the browser would open a file that is dropped elsewhere.
for (const kind of ["dragover", "drop"]) window.addEventListener(kind, (event) => event.preventDefault());

/** What a model is, in a sentence; everything that it was trained on; and what identifies it. */
function described({ methods, parameters, synthetic, digest, version }) {
  const tasks = Object.values(methods).flat();
  const list = (names) => new Intl.ListFormat("en").format(names);
  const shortened = (titles) => (titles.length > 3 ? [titles[0], `${titles.length - 1} other datasets`] : titles);
  const trained = (some) => {
    const drawn = tasks.filter((task) => task.synthetic).map(({ title }) => title);
    const others = some(tasks.filter((task) => !task.synthetic).map(titled));
    const standIns = `synthetic stand-ins for ${list(some(drawn))}`;
    if (synthetic && !others.length) return `${standIns}: drawings, not photographs`;
    if (!drawn.length) return list(others);
    const earlier = tasks.every((task) => !task.synthetic || task.left_out); // the last training was without them
    const marked = `${standIns} (drawings, not photographs)`;
    return earlier && others.length ? `${marked} first, and then on ${list(others)}` : list([...others, marked]);
  };
  const on = tasks.length ? `, trained on ${trained(shortened)}` : "";
  const weights = digest ? `, SHA-256 of the weights: ${digest.slice(0, 12)}…` : "";
  return [
    ended(`One vision-and-language model of ${(parameters / 1e6).toFixed(1)} M parameters${on}`),
    ended(`Trained on ${trained((titles) => titles)}`),
    `${parameters.toLocaleString("en")} parameters${weights}. Served by twelve ${version}.`,
  ];
}

/** The page of a model that the user trained on tasks of their own has the names of these tasks as its title. */
function named({ methods }) {
  const own = Object.values(methods).flat().filter((task) => task.own && !task.left_out);
  if (!own.length) return;
  const names = new Intl.ListFormat("en").format(own.map(titled));
  document.querySelector("h1").textContent = names;
  document.title = `${names}: questions about images`;
}

/** Where images and questions stay, and how long. */
function kept({ indexed, limits: { scene_seconds: seconds } }) {
  const [count, unit] = seconds < 90 ? [Math.ceil(seconds), "second"] : [Math.round(seconds / 60), "minute"];
  const time = `${count} ${unit}${count === 1 ? "" : "s"}`;
  return `Images${indexed === null ? "" : " that you select"} stay in the memory of this service for at most ${time} after the last question about them; neither they nor the questions are written to disk or sent elsewhere.`;
}

/** Ask for the token; `wrong` if one was sent before. */
function askToken(panels, wrong) {
  const input = el("input", { type: "password", required: true, autocomplete: "off" });
  const hint = "Ask the operator of this service for it.";
  const asked = el(
    "form",
    { class: "token", novalidate: true },
    field("This service requires a token", input, hint),
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
    const model = await api.model((text) => panels.replaceChildren(el("p", { role: "status" }, text)));
    panels.replaceChildren();
    const [short, ...more] = described(model);
    named(model);
    document.getElementById("about").textContent = short;
    const known = document.getElementById("known");
    known.append(...more.map((line) => el("p", {}, line)));
    document.getElementById("kept").textContent = kept(model);
    known.hidden = false;
    build(model);
  } catch (error) {
    if (error.status === 401) askToken(panels, asked);
    else panels.replaceChildren(el("p", { role: "alert", class: "problem" }, error.message));
  }
}

// A link may contain the token after #, which browsers do not send to servers. Remove it from the address bar.
function takeToken() {
  const [, brought] = location.hash.match(/^#token=(.+)$/) ?? [];
  if (!brought) return null;
  const open = document.querySelector('#tabs [aria-selected="true"]');
  history.replaceState(null, "", open ? open.id.replace("tab-", "#") : location.pathname);
  return brought;
}

/** Start with the token of a link, or with the present one; once there are tabs, they stay as they are. */
async function enter(brought) {
  if (brought) await api.change(brought);
  if (!document.querySelector("#tabs [role=tab]")) await start(Boolean(brought));
}

let started = enter(takeToken());
// In a tab that has the page, such a link changes only the fragment.
window.addEventListener("hashchange", () => {
  const brought = takeToken();
  if (brought) started = started.then(() => enter(brought));
});
