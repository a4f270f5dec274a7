// Ways to select images: files, dropped files, samples.

import { sampleUrl } from "./api.js";
import { el } from "./dom.js";

const KINDS = "image/jpeg,image/png,image/webp,image/gif,image/bmp";

/** A file input for the supported formats; `take` gets the files. */
export function fileInput(take, attributes = {}) {
  const taken = () => {
    const files = [...input.files];
    input.value = ""; // so that the same file can be selected again, for example after an error
    if (files.length) take(files);
  };
  const input = el("input", { type: "file", accept: KINDS, change: taken, ...attributes });
  return input;
}

/** Accept files that are dropped on an element. */
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

/** Buttons that select a sample. */
export function sampleButtons(samples, take, legend = "or try one of these") {
  if (!samples.length) return null;
  const buttons = samples.map((sample) =>
    el(
      "button",
      { type: "button", class: "sample", click: () => take(sample) },
      el("img", { src: sampleUrl(sample.name), alt: sample.alt, width: 80, height: 64 }),
    ),
  );
  return el("fieldset", { class: "samples" }, el("legend", {}, legend), ...buttons);
}
