// The theme's search, in a worker, with two changes.

// 1. Search without a server: a browser starts no worker from a disk, so a hidden frame takes its place there.
if (location.protocol === "file:") {
  window.IFrameWorker = class extends EventTarget {
    constructor(url) {
      super();
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.ready = new Promise((resolve) => this.frame.addEventListener("load", resolve, { once: true }));
      this.frame.srcdoc = `<script>postMessage = (data) => parent.postMessage(data, "*");</script><script src="${url}"></script>`;
      document.body.append(this.frame);
      addEventListener("message", (event) => {
        if (event.source === this.frame.contentWindow) this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      });
    }
    async postMessage(data) {
      await this.ready;
      this.frame.contentWindow.dispatchEvent(new MessageEvent("message", { data }));
    }
    terminate() {
      this.frame.remove();
    }
  };
  window.Worker = window.IFrameWorker;
}

// 2. Each word must be found: the theme takes a text with any of them, and "a" for the beginning of "add" and "all".
const QUERY = 2, RESULT = 3; // the theme's types of messages
// of three letters or more: those that lunr does not index (its stopWordFilter)
const UNINDEXED = new Set(
  `able about across after all almost also among and any are because been but can cannot could dear did does either else
  ever every for from get got had has have her hers him his how however into its just least let like likely may might most
  must neither nor not off often only other our own rather said say says she should since some than that the their them
  then there these they this tis too twas wants was were what when where which while who whom why will with would yet you
  your`.split(/\s+/),
);
function required(query) {
  if (/["*+^~]|(^|\s)-/.test(query)) return query; // the reader's own operators
  const words = query.trim().split(/\s+/);
  const told = words.filter((word) => word.length > 2 && !UNINDEXED.has(word.toLowerCase()));
  return told.map((word) => (/^\w+$/.test(word) ? `+${word}*` : word)).join(" ") || query;
}
window.Worker = class extends window.Worker {
  constructor(...given) {
    super(...given);
    this.addEventListener("message", (event) => {
      if (event.data.type !== RESULT || !this.asked) return;
      const query = this.asked;
      this.asked = undefined;
      if (event.data.data.items.length) return;
      event.stopImmediatePropagation(); // no text has all words: some of them, then
      super.postMessage({ type: QUERY, data: query });
    });
  }
  postMessage(message) {
    if (message.type === QUERY) {
      const query = required(message.data);
      this.asked = query === message.data ? undefined : message.data;
      message = { ...message, data: query };
    }
    return super.postMessage(message);
  }
};
