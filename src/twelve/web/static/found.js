// The images that a search has found, as thumbnails.

import * as api from "./api.js";
import { capital, el, percent } from "./dom.js";

const fileName = (path) => path.slice(path.lastIndexOf("/") + 1);

/** The name of a file; of several files with one name, their paths. */
const shortest = (path, all) => (all.filter((other) => fileName(other) === fileName(path)).length > 1 ? path : fileName(path));

export class Found {
  constructor() {
    this.urls = [];
  }

  /**
   * A list of the images, best first. Their thumbnails appear one after the other.
   * @param warnings {names, said}: what is said of the images of these names
   */
  show(images, warnings = []) {
    this.clear();
    const paths = images.map(({ image }) => image);
    const shown = images.map(({ image, share }, place) => {
      const thumbnail = el("img", { alt: `Image ${place + 1}`, hidden: true });
      const frame = el("div", { class: "frame-of" }, thumbnail);
      const caption = el("figcaption", {}, el("strong", {}, `${place + 1}.`), ` ${percent(share)} `, el("span", { class: "file-name", title: image }, shortest(image, paths)));
      for (const { said } of warnings.filter(({ names }) => names.includes(image))) caption.append(el("span", { class: "warned" }, `${capital(said)}.`));
      return { image, thumbnail, frame, element: el("li", place ? {} : { class: "first" }, el("figure", {}, frame, caption)) };
    });
    this.load(shown, this.urls);
    const list = el("ol", { class: "gallery", "aria-label": "Images, best first" }, ...shown.map(({ element }) => element));
    const best = shown.length > 1 ? [el("p", { class: "tip" }, "The frame marks the best match.")] : [];
    return el("div", {}, ...best, list);
  }

  /** Load thumbnails until others are wanted: `urls` is then another list. */
  async load(shown, urls) {
    for (const { image, thumbnail, frame } of shown) {
      if (urls !== this.urls) return;
      try {
        const url = URL.createObjectURL(await api.thumbnail(image));
        if (urls !== this.urls) return URL.revokeObjectURL(url);
        urls.push(url);
        thumbnail.src = url;
        thumbnail.hidden = false;
      } catch (error) {
        frame.textContent = error.message;
      }
    }
  }

  clear() {
    this.urls.forEach((url) => URL.revokeObjectURL(url));
    this.urls = [];
  }
}
