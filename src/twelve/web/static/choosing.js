// Ways to choose images: files, dropped files, samples.

import { el } from "./dom.js";

const KINDS = "image/jpeg,image/png,image/webp,image/gif,image/bmp";

/** A file input for the kinds of images that the service reads; `take` gets the files. */
export function fileInput(take, attributes = {}) {
  const taken = () => {
    const files = [...input.files];
    input.value = ""; // the same file may be chosen again, after a failure for one
    if (files.length) take(files);
  };
  const input = el("input", { type: "file", accept: KINDS, change: taken, ...attributes });
  return input;
}

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

/** Small images to try. */
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
