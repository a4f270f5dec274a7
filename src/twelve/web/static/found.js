// The images that a search has found, as thumbnails.

import * as api from "./api.js";
import { capital, el, percent } from "./dom.js";

export class Found {
  constructor() {
    this.addresses = [];
  }

  /**
   * A list of the images, best first. Their thumbnails appear one after the other.
   * @param warnings {names, said}: what is said of the images of these names
   */
  show(images, warnings = []) {
    this.clear();
    const shown = images.map(({ image, share }, place) => {
      const thumbnail = el("img", { alt: `Image ${place + 1}`, hidden: true });
      const frame = el("div", { class: "frame-of" }, thumbnail);
      const caption = el("figcaption", {}, el("strong", {}, `${place + 1}. ${percent(share)}`), " ", el("span", { class: "file-name" }, image));
      for (const { said } of warnings.filter(({ names }) => names.includes(image))) caption.append(el("span", { class: "warned" }, `${capital(said)}.`));
      return { image, thumbnail, frame, element: el("li", place ? {} : { class: "first" }, el("figure", {}, frame, caption)) };
    });
    this.load(shown, this.addresses);
    return el("ol", { class: "gallery", "aria-label": "Images, best first" }, ...shown.map(({ element }) => element));
  }

  /** Load thumbnails until others are wanted: `addresses` is then another list. */
  async load(shown, addresses) {
    for (const { image, thumbnail, frame } of shown) {
      if (addresses !== this.addresses) return;
      try {
        const address = URL.createObjectURL(await api.thumbnail(image));
        if (addresses !== this.addresses) return URL.revokeObjectURL(address);
        addresses.push(address);
        thumbnail.src = address;
        thumbnail.hidden = false;
      } catch (error) {
        frame.textContent = error.message;
      }
    }
  }

  clear() {
    this.addresses.forEach((address) => URL.revokeObjectURL(address));
    this.addresses = [];
  }
}
