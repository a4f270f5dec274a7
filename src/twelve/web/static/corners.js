// Adding a box by typing its corners, for users who cannot draw one.

import { el } from "./dom.js";

const EDGES = ["left", "top", "right", "bottom"];

/** The errors of a box, for users; empty if it lies in the image. */
function flaws([left, top, right, bottom], { width, height }) {
  if ([left, top, right, bottom].some(Number.isNaN)) return ["Type four numbers: left, top, right and bottom."];
  return [
    right - left < 1 && "Right must be greater than left.",
    bottom - top < 1 && "Bottom must be greater than top.",
    Math.min(left, top) < 0 && "No corner may be negative.",
    right > width && `Right must be at most ${width}, the width of the image.`,
    bottom > height && `Bottom must be at most ${height}, the height of the image.`,
  ].filter(Boolean);
}

/** Four fields and a button that pass a box to `add`. Enter does the same as the button. */
export function cornerFields(image, add) {
  const inputs = EDGES.map(() => el("input", { type: "number", min: 0, step: "any" }));
  const problem = el("p", { role: "alert", class: "problem" });

  function take() {
    const box = inputs.map((input) => input.valueAsNumber);
    const wrong = image.scene ? flaws(box, image.scene) : ["Select an image first."];
    problem.textContent = wrong.join(" ");
    if (wrong.length) return;
    add(box);
    for (const input of inputs) input.value = "";
    inputs[0].focus();
  }

  const labels = inputs.map((input, k) => el("label", {}, EDGES[k], input));
  const row = el("p", { class: "corners" }, ...labels, el("button", { type: "button", class: "plain", click: take }, "Add"));
  row.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.target.tagName !== "INPUT") return;
    event.preventDefault(); // Enter would submit the form without the box
    take();
  });
  return el("details", {}, el("summary", {}, "Add a box by its corners (pixels)"), row, problem);
}
