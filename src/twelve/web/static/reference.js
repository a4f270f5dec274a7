// The page /docs: a form for each endpoint, which sends a request and shows the reply and the command for curl.

import * as api from "./api.js";
import { fileInput } from "./choosing.js";
import { el, field } from "./dom.js";

const ID = '"ID"'; // in the body of an example
const BOXES = '"BOXES"';
const TEXTS = ["question", "phrase", "statement", "text"]; // fields that hold what is asked
/** Name of an image -> its URL, its bytes, what to ask about it, and its id and boxes once it is uploaded. */
const images = new Map();
/** Place in a request -> name of the image that was selected there, in any form. */
const chosen = [];
/** Fields of the token. */
const tokens = [];
/** Functions that show in a form or an example what is selected. */
const forms = [];

for (const { name, texts } of JSON.parse(document.querySelector("main").dataset.samples))
  images.set(name, { name, texts, src: api.sampleUrl(name), bytes: () => api.sample(name) });

/** The image at a place: the selected one, otherwise one of the samples. */
const imageAt = (place) => images.get(chosen[place] ?? [...images.keys()][place % images.size]);

function choose(place, name) {
  chosen[place] = name;
  for (const show of forms) show();
}

/** A field for the image at a place: a sample, or a file of the user. Every form has the same one selected there. */
function imageField(place, label, hint = null) {
  const select = el("select", { change: () => choose(place, select.value) });
  const seen = el("img", { alt: "" });
  const file = fileInput(([file]) => {
    images.set(file.name, { name: file.name, src: URL.createObjectURL(file), bytes: async () => file });
    choose(place, file.name);
  });
  const show = () => {
    const image = imageAt(place);
    select.replaceChildren(...[...images.keys()].map((name) => new Option(name)));
    select.value = image?.name ?? "";
    seen.hidden = !image;
    if (image) seen.src = image.src;
  };
  const row = el("p", { class: "row" }, seen, el("label", { class: "file" }, file, "Select an image"));
  return { element: el("div", {}, field(label, select, hint), row), show };
}

/** A field for the token, which all forms share. */
function tokenField() {
  const input = el("input", { type: "password", required: true, autocomplete: "off" });
  input.value = api.given();
  input.addEventListener("input", () => {
    api.use(input.value);
    for (const each of tokens) if (each !== input) each.value = input.value;
  });
  tokens.push(input);
  const hint = "Ask the operator of this service for it. It is kept until this tab is closed.";
  return { name: "token", given: api.given, input, element: field("Token (required)", input, hint) };
}

/** A field for the token of the metrics, which opens nothing else. */
function metricsTokenField() {
  const input = el("input", { type: "password", required: true, autocomplete: "off" });
  const hint = "Ask the operator of this service for it. It is not the token of the other forms, and is not kept.";
  const given = () => api.cleaned(input.value);
  return { name: "metrics token", given, input, element: field("Metrics token (required)", input, hint) };
}

/** The example of a body, about an image of which one knows what to ask. Boxes are those of the image. */
function suited(example, method, texts = {}) {
  const several = ["ask", "depends"].includes(method); // they take the name of a method
  const asked = several ? ["answer", "entails"].find((each) => each in texts) : method;
  const text = texts[asked];
  const made = { ...example, ...(example.boxes && { boxes: "BOXES" }) };
  if (example.captions) made.images = [...example.images, ...example.images];
  if (!text) return made;
  for (const name of TEXTS) if (name in made) made[name] = text;
  if (several) made.method = asked;
  if (made.dialogue) made.dialogue = [{ question: text, answer: "yes" }];
  if (made.captions) made.captions = [text];
  return made;
}

/** An example with a line for each field. */
function lines(example) {
  const fields = Object.entries(example).map(([name, value]) => `  "${name}": ${JSON.stringify(value)}`);
  return `{\n${fields.join(",\n")}\n}`;
}

/** A reply with a line for each field, and for each list of numbers; what is no JSON stays as it is. */
function indented(text) {
  try {
    const numbers = (list) => list.replace(/\s+/g, " ").replace("[ ", "[").replace(" ]", "]");
    return JSON.stringify(JSON.parse(text), null, 2).replace(/\[\n[^[\]{}"]+\]/g, numbers);
  } catch {
    return text;
  }
}

/** Words of a command for a shell. */
const shell = (words) => words.map((word) => (/^[\w@%+:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`)).join(" ");

const absolute = (path) => new URL(path, location.href).href;

/** Upload an image, unless the service has it. */
async function stored(image) {
  if (!image.id) Object.assign(image, await api.upload(await image.bytes()));
}

/** The body of a request as JSON, with a field for each of its images. */
function bodyPart(example, method) {
  const input = el("textarea", { spellcheck: "false" });
  const holder = el("div", {});
  let fields = [];
  let filled = null; // the text that was not typed
  const labels = () => {
    const found = [...input.value.matchAll(/(?:"(left|right)":\s*\{\s*"scene":\s*)?"ID"/g)];
    const sides = { left: "Left image", right: "Right image" };
    return found.map(([, side], place) => sides[side] ?? (found.length > 1 ? `Image ${place + 1}` : "Image"));
  };
  const show = () => {
    const { texts } = imageAt(0) ?? {};
    if (filled === null || (texts && input.value === filled)) input.value = filled = lines(suited(example, method, texts));
    const wanted = labels();
    if (wanted.length !== fields.length) {
      fields = wanted.map((label, place) => imageField(place, label));
      holder.className = fields.length > 1 ? "pair" : "";
      holder.replaceChildren(...fields.map((each) => each.element));
    }
    for (const each of fields) each.show();
  };
  input.addEventListener("input", show);
  show();
  input.rows = input.value.split("\n").length;
  const boxes = example.boxes ? `, ${BOXES} for its boxes` : "";
  const hint = fields.length ? `Images are uploaded first: ${ID} stands for the scene id${boxes}.` : null;
  return {
    parts: [holder, field("Body", input, hint)],
    show,
    places: () => fields.length,
    filled(used) {
      const ids = used.map(({ id }) => JSON.stringify(id));
      return input.value.replaceAll(ID, () => ids.shift()).replaceAll(BOXES, () => JSON.stringify(used[0]?.boxes));
    },
  };
}

/** The parameters of a path. That of an image is its id. */
function parameterPart(parameters) {
  const image = parameters.some(({ name }) => name === "scene") ? imageField(0, "Image", "It is uploaded first.") : null;
  const inputs = parameters.filter(({ name }) => name !== "scene").map((each) => {
    const input = el("input", { type: "text", autocomplete: "off", spellcheck: "false" });
    if (each.in === "path") input.value = imageAt(0)?.texts ? imageAt(0).name : "";
    return { ...each, input };
  });
  const show = () => image?.show();
  show();
  return {
    parts: [image?.element ?? null, ...inputs.map(({ name, description, input }) => field(name, input, description))],
    show,
    places: () => (image ? 1 : 0),
    url(path, used) {
      const given = new Map(inputs.map((each) => [each.name, encodeURIComponent(each.input.value)]));
      const query = inputs.filter((each) => each.in === "query").map(({ name }) => `?${name}=${given.get(name)}`);
      return path.replace("{scene}", used[0]?.id).replace("{name}", given.get("name")) + query.join("");
    },
  };
}

/** A field for the file that is uploaded. */
function filePart() {
  const { element, show } = imageField(0, "Image");
  show();
  return { parts: [element], show, places: () => 1 };
}

/** The form of an endpoint. */
function tryForm(path, method, operation, example) {
  const [needed, none] = operation.security ?? [{}, {}]; // without a token, none is the other choice
  const token = none ? null : "metrics_token" in needed ? metricsTokenField() : tokenField();
  const kinds = operation.requestBody?.content;
  const part = example ? bodyPart(example, path.split("/").pop()) : kinds ? filePart() : parameterPart(operation.parameters ?? []);
  const status = el("p", { role: "status" });
  const reply = el("pre", { tabindex: "0", "aria-label": "Reply" });
  const seen = el("img", { alt: "The image of the reply" });
  const command = el("pre", { tabindex: "0", "aria-label": "The same with curl" });
  const result = el("div", { hidden: true }, reply, seen, el("p", {}, "The same with curl:"), command);
  let busy = false;
  forms.push(part.show);

  async function show(replied) {
    const drawn = replied.headers.get("Content-Type")?.startsWith("image/");
    const body = await replied.blob();
    const text = drawn ? "" : await body.text();
    reply.textContent = indented(text);
    reply.hidden = !text;
    seen.hidden = !drawn;
    if (drawn) seen.src = URL.createObjectURL(body);
    if (replied.status === 201) Object.assign(imageAt(0), JSON.parse(text));
    return drawn;
  }

  async function send() {
    if (token && !token.given()) {
      token.input.focus();
      throw new Error(`Enter the ${token.name} first.`);
    }
    const used = Array.from({ length: part.places() }, (_, place) => imageAt(place));
    if (used.includes(undefined)) throw new Error("Select an image first.");
    const file = kinds && !example ? await used[0].bytes() : null;
    if (!file) for (const image of used) await stored(image);
    const kind = example ? "application/json" : file?.type in (kinds ?? {}) ? file.type : "application/octet-stream";
    const sent = file ?? part.filled?.(used);
    const url = part.url?.(path, used) ?? path;
    const words = ["curl", "-s", ...(method === "delete" ? ["-X", "DELETE"] : [])];
    if (token) words.push("-H", "Authorization: Bearer TOKEN");
    if (kinds) words.push("-H", `Content-Type: ${kind}`, ...(file ? ["--data-binary", `@${used[0].name}`] : ["--data-raw", sent]));
    const start = performance.now();
    const headers = { ...(kinds && { "Content-Type": kind }), ...(token && { Authorization: `Bearer ${token.given()}` }) };
    const options = { method: method.toUpperCase(), headers, ...(kinds && { body: sent }) };
    const replied = await api.fetched(url.slice(1), options);
    if (await show(replied)) words.push("-o", `./${decodeURIComponent(url.split(/[/=]/).pop()).split("/").pop()}`);
    status.textContent = `Status ${replied.status}, ${Math.round(performance.now() - start)} ms`;
    if (replied.status === 404 || method === "delete") for (const image of used) delete image.id; // it is gone
    for (const show of forms) show();
    const download = file && used[0].texts ? `${shell(["curl", "-sO", absolute(used[0].src)])}\n` : ""; // a sample
    command.textContent = download + shell([...words, absolute(url.slice(1))]);
    result.hidden = false;
  }

  async function submitted(event) {
    event.preventDefault();
    if (busy) return;
    busy = true;
    result.hidden = true;
    status.textContent = "Sending …";
    await send().catch((error) => {
      status.textContent = error.message;
    });
    busy = false;
  }

  const fields = [token?.element ?? null, ...part.parts];
  const form = el("form", { novalidate: true, submit: submitted }, ...fields, el("button", { type: "submit" }, "Send"), status, result);
  return form;
}

/** An example whose options are not broken after their hyphens, with a button that copies it, and with the id of the
 * selected image once it is uploaded. Browsers have a clipboard on secure pages alone. */
function withCopyButton(example) {
  const text = example.textContent;
  let shown = text;
  const box = el("div", { class: "example" });
  const copy = async () => {
    await navigator.clipboard.writeText(shown);
    button.textContent = "Copied";
    setTimeout(() => (button.textContent = "Copy"), 2000);
  };
  const button = el("button", { type: "button", class: "plain", click: () => void copy().catch(() => {}) }, "Copy");
  const show = () => {
    const ids = [imageAt(0)?.id, imageAt(1)?.id];
    let place = 0;
    shown = text.replace(/(?<=["/])ID(?!\w)/g, (unknown) => ids[place++] ?? ids.find(Boolean) ?? unknown);
    example.replaceChildren(...shown.split(/(--[\w-]+(?= ))/).map((part, k) => (k % 2 ? el("span", {}, part) : part)));
  };
  forms.push(show);
  example.replaceWith(box);
  show();
  box.append(example, ...(navigator.clipboard ? [button] : []));
}

/** On a narrow page, the contents are folded until they are wanted, and after one has been selected. */
const contents = document.querySelector("nav details");
const wide = matchMedia("(min-width: 1000px)"); // as in page.css
const fold = () => (contents.open = wide.matches);
wide.addEventListener("change", fold);
contents.addEventListener("click", ({ target }) => target.closest("a") && fold());
fold();

document.querySelectorAll("section > pre, .program > pre").forEach(withCopyButton);

const { paths, components } = await (await fetch("openapi.json")).json();
for (const [path, operations] of Object.entries(paths))
  for (const [method, operation] of Object.entries(operations)) {
    const schema = operation.requestBody?.content["application/json"]?.schema.$ref.split("/").pop();
    const example = schema ? components.schemas[schema].examples[0] : null;
    const folded = el("details", { class: "try" }, el("summary", {}, "Try it"));
    folded.addEventListener("toggle", () => folded.append(tryForm(path, method, operation, example)), { once: true });
    document.getElementById(operation.operationId).append(folded);
  }
