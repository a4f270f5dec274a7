// One image with boxes over it: a selected or dropped file, or a sample.

import * as api from "./api.js";
import { dropped, fileInput, sampleButtons } from "./choosing.js";
import { el, pressed, svg, unique } from "./dom.js";

const NARROW = matchMedia("(max-width: 760px)");

/** Whether two boxes are the same, up to rounding. */
export const sameBox = (one, other) => one.every((edge, k) => Math.abs(edge - other[k]) < 0.1);

/** Fires `opened` when the service has extracted the regions of an image; `detail` is its sample, or null. */
export class ImageView extends EventTarget {
  /** @param model whose samples can be opened, and whose synthetic ones have classes that the detector knows */
  constructor(title, { samples, synthetic }) {
    super();
    this.side = title === "Image" ? "" : `${title}: `;
    this.synthetic = synthetic;
    this.scene = null;
    this.sample = null; // that is open
    this.blob = null;
    this.wanted = null;
    const heading = unique("image");
    this.image = el("img", { alt: "", hidden: true });
    this.overlay = svg("svg", { class: "overlay", role: "group", "aria-label": "Boxes", "aria-hidden": "true" });
    this.stage = el("div", { class: "stage empty" }, this.image, this.overlay);
    this.status = el("p", { role: "status", class: "status" });
    this.summary = el("summary", {}, "Another image");
    // On a phone it closes when an image is open, so that image and question fit on the screen.
    this.chooser = el(
      "details",
      { class: "chooser", open: true },
      this.summary,
      el("p", { class: "row" }, el("label", { class: "file" }, fileInput(([file]) => this.use(file)), "Select an image"), el("span", { class: "hint" }, "or drop one here")),
      sampleButtons(samples, (sample) => this.useSample(sample)),
    );
    this.element = el(
      "div",
      { class: "image", role: "group", "aria-labelledby": heading },
      el("h2", { id: heading }, title),
      this.stage,
      this.status,
      this.chooser,
    );
    dropped(this.element, ([file]) => this.use(file));
    NARROW.addEventListener("change", () => this.scene && this.fold()); // only a phone has the element that opens it again
    this.image.addEventListener("error", () => this.say("The browser cannot display this format, but the boxes are correct."));
  }

  say(text, wrong = false) {
    this.status.textContent = text;
    this.status.classList.toggle("wrong", wrong);
  }

  /** Open a file, or the promise of one. Until it is open, the previous image and its replies remain. */
  async use(file, sample = null) {
    this.wanted = file;
    this.say("Opening …");
    try {
      const blob = await file;
      const scene = await api.upload(blob, (text) => this.wanted === file && this.say(text));
      if (this.wanted === file) this.become(blob, scene, sample);
      else api.forget(scene); // another image was selected meanwhile
    } catch (error) {
      if (this.wanted !== file) return;
      const stays = this.scene ? " The previous image remains." : "";
      this.say(`${file.name ? `${file.name}: ` : ""}${error.message}${stays}`, true);
      this.chooser.open = true;
    }
  }

  useSample(sample) {
    return this.use(api.sample(sample.name), sample);
  }

  become(blob, scene, sample) {
    api.forget(this.scene);
    this.scene = scene;
    this.sample = sample;
    this.blob = blob;
    URL.revokeObjectURL(this.image.src);
    this.image.src = URL.createObjectURL(blob);
    this.image.alt = sample ? sample.alt : `The image ${blob.name || "that you selected"}`;
    this.image.hidden = false;
    this.stage.classList.remove("empty");
    this.stage.style.setProperty("--ratio", scene.width / scene.height);
    this.overlay.setAttribute("viewBox", `0 0 ${scene.width} ${scene.height}`);
    this.show([]);
    this.describe();
    this.fold();
    this.dispatchEvent(new CustomEvent("opened", { detail: sample }));
  }

  describe() {
    const count = this.scene.boxes.length;
    this.say(`${this.scene.width} × ${this.scene.height} pixels, ${count} ${count === 1 ? "box" : "boxes"}`);
  }

  /** Clear the error of another image when a question about this one is asked, or when its tab is left. */
  settle() {
    if (!this.status.classList.contains("wrong")) return;
    if (!this.scene) return this.say("");
    this.describe();
    this.fold();
  }

  /** On a phone, close the chooser; a focus in it moves to the element that opens it. */
  fold() {
    const focused = this.chooser.contains(document.activeElement);
    this.chooser.open = !NARROW.matches;
    if (focused && !this.chooser.open) this.summary.focus({ preventScroll: true });
  }

  /** Whether the user has neither opened an image nor selected one to open. */
  get untouched() {
    return this.wanted === null;
  }

  /** Upload the image again, after its scene has expired. */
  async again(say) {
    if (this.blob) this.scene = { ...this.scene, id: (await api.upload(this.blob, say)).id };
  }

  /** The warnings of this image; each of one of two images begins with its side. */
  get doubts() {
    return (this.scene?.warnings ?? []).map(({ text }) => `${this.side}${text}`);
  }

  /** Names of objects that the image probably has one of each: what a detector of synthetic images names in others is
   *  often wrong. */
  get objects() {
    const { labels } = this.scene;
    const known = this.synthetic && !this.doubts.length;
    return known ? labels.filter((label, k) => labels.indexOf(label) === k && labels.lastIndexOf(label) === k) : [];
  }

  /** This image in a request. */
  get reference() {
    return { scene: this.scene.id };
  }

  /** The number of a box on the image, counted from 1, and its name in texts. */
  called(box) {
    const { width, height, boxes, labels } = this.scene;
    const known = labels.length && this.sample && this.synthetic; // of other images, they are guesses that are often wrong
    if (sameBox(box, [0, 0, width, height])) return { number: null, name: "the whole image" };
    const k = boxes.findIndex((one) => sameBox(one, box));
    if (k < 0) return { number: null, name: box.map(Math.round).join(", ") };
    return { number: `${k + 1}`, name: known ? `${k + 1} ${labels[k]}` : `${k + 1}` };
  }

  /**
   * Draw boxes, the first on top.
   * @param frames {box, kind, text, heat, label, press}: with `press`, the box is a button with this label
   */
  show(frames) {
    this.overlay.replaceChildren(...[...frames].reverse().map((frame) => this.frame(frame)));
    const buttons = frames.some((frame) => frame.press);
    this.overlay.setAttribute("aria-hidden", String(!buttons));
  }

  /** Draw another box on top, instead of the previous one; null to draw none. */
  point(box) {
    this.overlay.querySelector(".pointed")?.remove();
    if (box) this.overlay.append(this.frame({ box, kind: "pointed" }));
  }

  frame({ box: [x1, y1, x2, y2], kind, text = null, heat = null, label = null, press = null, on = false }) {
    const [width, height] = [Math.max(0, x2 - x1), Math.max(0, y2 - y1)];
    const edge = svg("path", { class: "edge", d: `M${x1} ${y1}h${width}v${height}h${-width}z` });
    const area = svg("rect", { x: x1, y: y1, width, height });
    const size = Math.max(this.scene.width, this.scene.height) / 26;
    const said = text && svg("text", { x: x1 + size / 4, y: Math.max(y1, 0) + size, "font-size": size }, text);
    const attributes = press ? { role: "button", tabindex: 0, "aria-label": label, "aria-pressed": String(on) } : {};
    const group = svg("g", { class: `frame ${kind}${on ? " on" : ""}`, ...attributes }, edge, area, said);
    if (heat !== null) group.style.setProperty("--heat", heat);
    if (press) pressed(group, press);
    return group;
  }
}
