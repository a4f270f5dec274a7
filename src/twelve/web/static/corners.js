// A box that is typed, for those who cannot draw one.

import { el } from "./dom.js";

const EDGES = ["left", "top", "right", "bottom"];

/** What is wrong with a box, for people; nothing: it lies in the image. */
function flaws([left, top, right, bottom], { width, height }) {
  if ([left, top, right, bottom].some(Number.isNaN)) return ["Type four numbers: left, top, right and bottom."];
  return [
    right - left < 1 && "Right must be more than left.",
    bottom - top < 1 && "Bottom must be more than top.",
    Math.min(left, top) < 0 && "Nothing can be less than 0.",
    right > width && `Right can be ${width} at most: there the image ends.`,
    bottom > height && `Bottom can be ${height} at most: there the image ends.`,
  ].filter(Boolean);
}

/** Four fields that hand a box of the image to `add`; Enter adds it, as the button does. */
export function cornerFields(image, add) {
  const inputs = EDGES.map(() => el("input", { type: "number", min: 0, step: "any" }));
  const problem = el("p", { role: "alert", class: "problem" });

  function take() {
    const box = inputs.map((input) => input.valueAsNumber);
    const wrong = image.scene ? flaws(box, image.scene) : ["Choose an image first."];
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
    event.preventDefault(); // or the question would be asked, without the box
    take();
  });
  return el("details", {}, el("summary", {}, "Add a box by its corners (pixels)"), row, problem);
}
