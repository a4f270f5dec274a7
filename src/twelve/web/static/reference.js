// The page /docs: a form for each POST endpoint, which sends a request and shows the reply and the command for curl.

import * as api from "./api.js";
import { fileInput } from "./choosing.js";
import { el, field } from "./dom.js";

const ID = '"ID"'; // in the body of an example
/** Name of an image -> its address, its bytes, and its id once it is uploaded. */
const images = new Map();

for (const name of document.querySelector("main").dataset.samples.split(" ").filter(Boolean))
  images.set(name, { src: api.sampleAddress(name), bytes: () => api.sample(name) });

/** A field for an image: a sample, or a file of the user, which every form then offers. */
function imageField(hint) {
  const select = el("select", {}, ...[...images.keys()].map((name) => new Option(name)));
  const seen = el("img", { alt: "" });
  const show = () => {
    seen.hidden = !select.value;
    if (select.value) seen.src = images.get(select.value).src;
  };
  const file = fileInput(([file]) => {
    if (!images.has(file.name)) for (const each of document.querySelectorAll(".try select")) each.add(new Option(file.name));
    images.set(file.name, { src: URL.createObjectURL(file), bytes: async () => file });
    select.value = file.name;
    show();
  });
  select.addEventListener("change", show);
  show();
  const row = el("p", { class: "row" }, seen, el("label", { class: "file" }, file, "Select an image"));
  return { select, parts: [field("Image", select, hint), row] };
}

function tokenField() {
  const input = el("input", { type: "password", autocomplete: "off" });
  input.value = api.given();
  input.addEventListener("input", () => {
    api.use(input.value);
    for (const each of document.querySelectorAll(".try input[type=password]")) if (each !== input) each.value = input.value;
  });
  return field("Token", input, "Kept until this tab is closed.");
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

/** A word of a command for a shell. */
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'"'"'`)}'`);

/** The form of an endpoint; one without an example of a body takes an image. */
function tryForm(path, needsToken, example) {
  const body = example && el("textarea", { spellcheck: "false", rows: Object.keys(example).length + 2 });
  if (body) body.value = lines(example);
  const image = body && !body.value.includes(ID) ? null : imageField(body && `It is uploaded, and its id sent in place of ${ID}.`);
  const status = el("p", { role: "status" });
  const reply = el("pre", { tabindex: "0", "aria-label": "Reply" });
  const command = el("pre", { tabindex: "0", "aria-label": "The same with curl" });
  const result = el("div", { hidden: true }, reply, "The same with curl:", command);
  let busy = false;

  async function send() {
    const headers = { "Content-Type": body ? "application/json" : "application/octet-stream" };
    const name = image?.select.value;
    const chosen = images.get(name);
    let sent = body?.value;
    if (!body || (image && sent.includes(ID))) {
      if (!chosen) throw new Error("Select an image first.");
      if (body) chosen.id ??= (await api.upload(await chosen.bytes())).id;
      sent = body ? sent.replaceAll(ID, JSON.stringify(chosen.id)) : await chosen.bytes();
    }
    const start = performance.now();
    const replied = await api.fetched(path.slice(1), { method: "POST", body: sent, headers });
    const text = await replied.text();
    status.textContent = `Status ${replied.status}, ${Math.round(performance.now() - start)} ms`;
    if (replied.status === 404) delete chosen?.id; // it has expired
    const words = ["curl", "-s", ...(needsToken ? ["-H", "Authorization: Bearer TOKEN"] : []), "-H", `Content-Type: ${headers["Content-Type"]}`];
    words.push(...(body ? ["-d", sent] : ["--data-binary", `@${name}`]), new URL(path.slice(1), location.href).href);
    reply.textContent = indented(text);
    command.textContent = words.map(quoted).join(" ");
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

  const fields = [needsToken ? tokenField() : null, ...(image?.parts ?? []), body && field("Body", body)];
  return el("form", { novalidate: true, submit: submitted }, ...fields, el("button", { type: "submit" }, "Send"), status, result);
}

const { paths, components } = await (await fetch("openapi.json")).json();
for (const [path, { post }] of Object.entries(paths)) {
  if (!post) continue;
  const schema = post.requestBody.content["application/json"]?.schema.$ref.split("/").pop();
  const needsToken = post.security.length === 1; // the other choice is none
  const build = () => folded.append(tryForm(path, needsToken, schema ? components.schemas[schema].examples[0] : null));
  const folded = el("details", { class: "try" }, el("summary", {}, "Try it"));
  folded.addEventListener("toggle", build, { once: true });
  document.getElementById(post.operationId).append(folded);
}
