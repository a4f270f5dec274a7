// One picture: chosen, dropped or a sample; looked at by the service; with boxes drawn over it.

import * as api from "./api.js";
import { el, pressed, svg, unique } from "./dom.js";

const NARROW = matchMedia("(max-width: 760px)");
const KINDS = "image/jpeg,image/png,image/webp,image/gif,image/bmp";

/** The kinds of picture files that the service reads, as a file input. */
export const fileInput = (attributes) => el("input", { type: "file", accept: KINDS, ...attributes });

/** Let files be dropped on an element. */
export function dropped(element, take) {
  const over = (on) => (event) => {
    event.preventDefault();
    element.classList.toggle("over", on);
  };
  element.addEventListener("dragover", over(true));
  element.addEventListener("dragleave", over(false));
  element.addEventListener("drop", (event) => {
    over(false)(event);
    const files = [...event.dataTransfer.files];
    if (files.length) take(files);
  });
}

/** Small pictures to try. */
export function sampleButtons(samples, take, legend = "or try one of these") {
  if (!samples.length) return null;
  const buttons = samples.map((sample) =>
    el(
      "button",
      { type: "button", class: "sample", click: () => take(sample) },
      el("img", { src: `api/samples/${sample.name}`, alt: sample.alt, width: 80, height: 64 }),
    ),
  );
  return el("fieldset", { class: "samples" }, el("legend", {}, legend), ...buttons);
}

/** Fires `looked` when another picture was looked at; `detail` is the sample it is, if it is one. */
export class Picture extends EventTarget {
  constructor(title, samples) {
    super();
    this.scene = null;
    this.blob = null;
    const heading = unique("picture");
    this.image = el("img", { alt: "", hidden: true });
    this.overlay = svg("svg", { class: "overlay", role: "group", "aria-label": "Regions", "aria-hidden": "true" });
    this.hint = el("p", { class: "hint" }, "Drop a picture here");
    this.stage = el("div", { class: "stage empty" }, this.image, this.overlay, this.hint);
    this.status = el("p", { role: "status", class: "status" });
    const input = fileInput({ change: () => input.files.length && this.use(input.files[0]) });
    // On a phone it closes once a picture is there, so that picture and question fit the screen together.
    this.chooser = el(
      "details",
      { class: "chooser", open: true },
      el("summary", {}, "Choose a picture"),
      el("label", { class: "file" }, input, "Choose a picture"),
      sampleButtons(samples, async (sample) => this.use(await api.sample(sample.name), sample)),
    );
    this.element = el(
      "div",
      { class: "picture", role: "group", "aria-labelledby": heading },
      el("h2", { id: heading }, title),
      this.stage,
      this.status,
      this.chooser,
    );
    dropped(this.element, ([file]) => this.use(file));
    this.image.addEventListener("error", () => this.say("The browser cannot show this kind of file; boxes are right."));
  }

  say(text, wrong = false) {
    this.status.textContent = text;
    this.status.classList.toggle("wrong", wrong);
  }

  /** Look at a file. */
  async use(blob, sample = null) {
    api.forget(this.scene);
    this.scene = null;
    this.blob = blob;
    URL.revokeObjectURL(this.image.src);
    this.image.src = URL.createObjectURL(blob);
    this.image.alt = sample ? sample.alt : `The picture ${blob.name || "you chose"}`;
    this.image.hidden = this.hint.hidden = true;
    this.stage.classList.add("empty");
    this.show([]);
    this.say("Looking …");
    try {
      const scene = await api.look(blob);
      if (this.blob !== blob) return api.forget(scene); // another picture was chosen meanwhile
      this.scene = scene;
    } catch (error) {
      if (this.blob !== blob) return;
      this.hint.hidden = false;
      this.say(error.message, true);
      return;
    }
    const { width, height, boxes } = this.scene;
    this.image.hidden = false;
    this.stage.classList.remove("empty");
    this.stage.style.setProperty("--ratio", width / height);
    this.chooser.open = !NARROW.matches;
    this.overlay.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.say(`${width} × ${height} pixels, ${boxes.length} regions`);
    this.dispatchEvent(new CustomEvent("looked", { detail: sample }));
  }

  /** Send the picture again: the service has forgotten it. */
  async again() {
    if (this.blob) this.scene = { ...this.scene, id: (await api.look(this.blob)).id };
  }

  /** What a request calls this picture. */
  get reference() {
    return { scene: this.scene.id };
  }

  /** What the detector takes region `k` (from 0) for; behind those that it found come those that were given. */
  name(k) {
    const found = this.scene.boxes.length;
    if (k >= found) return `given ${k - found + 1}`;
    const label = this.scene.labels?.[k];
    return label ? `${k + 1}, ${label}` : `${k + 1}`;
  }

  /**
   * Draw boxes, the first on top.
   * @param frames {box, kind, text, heat, label, press}: `press` makes it a button, which `label` names
   */
  show(frames) {
    this.overlay.replaceChildren(...[...frames].reverse().map((frame) => this.frame(frame)));
    const buttons = frames.some((frame) => frame.press);
    this.overlay.setAttribute("aria-hidden", String(!buttons));
  }

  frame({ box: [x1, y1, x2, y2], kind, text = null, heat = null, label = null, press = null, on = false }) {
    const area = svg("rect", { x: x1, y: y1, width: Math.max(0, x2 - x1), height: Math.max(0, y2 - y1) });
    if (heat !== null) area.style.fillOpacity = heat;
    const size = this.scene ? Math.max(this.scene.width, this.scene.height) / 26 : 10;
    const said = text && svg("text", { x: x1 + size / 4, y: Math.max(y1, 0) + size, "font-size": size }, text);
    const attributes = press ? { role: "button", tabindex: 0, "aria-label": label, "aria-pressed": String(on) } : {};
    const group = svg("g", { class: `frame ${kind}${on ? " on" : ""}`, ...attributes }, area, said);
    if (press) pressed(group, press);
    return group;
  }
}
