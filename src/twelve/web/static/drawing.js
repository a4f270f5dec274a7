// Drawing boxes on an image with a mouse or finger.

const LEAST = 3; // minimum side, in pixels of the image: anything smaller is a click

/** While `active()`, pass every drawn box to `add`. */
export function drawBoxes(image, active, add) {
  const { overlay } = image;
  let from = null;
  const at = (event) => {
    const { left, top, width, height } = overlay.getBoundingClientRect();
    const { scene } = image;
    const clip = (value, most) => Math.min(Math.max(value, 0), most);
    const x = ((event.clientX - left) / width) * scene.width;
    const y = ((event.clientY - top) / height) * scene.height;
    return [clip(x, scene.width), clip(y, scene.height)];
  };
  const box = (to) => [Math.min(from[0], to[0]), Math.min(from[1], to[1]), Math.max(from[0], to[0]), Math.max(from[1], to[1])];
  const erase = () => overlay.querySelector(".drawn")?.remove();

  overlay.addEventListener("pointerdown", (event) => {
    if (!active() || !image.scene || event.button) return;
    from = at(event);
    overlay.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  overlay.addEventListener("pointermove", (event) => {
    if (!from) return;
    erase();
    overlay.append(image.frame({ box: box(at(event)), kind: "drawn" }));
  });
  overlay.addEventListener("pointerup", (event) => {
    if (!from) return;
    const found = box(at(event));
    from = null;
    erase();
    if (found[2] - found[0] >= LEAST && found[3] - found[1] >= LEAST) add(found);
  });
  overlay.addEventListener("pointercancel", () => {
    from = null;
    erase();
  });
}
