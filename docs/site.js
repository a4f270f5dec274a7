// What the theme leaves out for keyboards and screen readers: tables that scroll take the focus, the search has a name.
function reachable() {
  for (const part of document.querySelectorAll(".md-typeset__scrollwrap, .highlight pre > code")) part.tabIndex = 0;
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
}
// A browser also breaks a line after the hyphens of an option: a command breaks between its words only.
function whole() {
  for (const code of document.querySelectorAll(".language-bash pre > code")) {
    const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) found.push(texts.currentNode);
    for (const text of found) {
      const parts = text.data.split(/(\s+)/).map((part) => {
        if (!part.trim()) return part;
        const word = document.createElement("span");
        word.className = "word";
        word.textContent = part;
        return word;
      });
      text.replaceWith(...parts);
    }
  }
}
new MutationObserver(reachable).observe(document.documentElement, { childList: true, subtree: true });
reachable();
addEventListener("DOMContentLoaded", whole);
