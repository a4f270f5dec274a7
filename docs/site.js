// What the theme leaves out for keyboards and screen readers: tables that scroll take the focus, the search has a name.
function reachable() {
  for (const part of document.querySelectorAll(".md-typeset__scrollwrap, .highlight pre > code")) part.tabIndex = 0;
  document.querySelector(".md-search")?.setAttribute("aria-label", "Search");
}
// A browser also breaks a line after the hyphens of an option: a command breaks between its words only, and an option
// in a table nowhere.
function whole() {
  for (const code of document.querySelectorAll(".language-bash pre > code, td code")) {
    const texts = document.createTreeWalker(code, NodeFilter.SHOW_TEXT), found = [];
    while (texts.nextNode()) found.push(texts.currentNode);
    for (const text of found) {
      const parts = text.data.split(/(\s+)/).map((part) => {
        if (!part.trim() || (code.closest("td") && !part.startsWith("-"))) return part;
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
// On a phone, a wide table with sentences would be off the screen, or its columns narrow: site.css shows its rows as
// paragraphs, in which each cell but the first has the name of its column before it.
function stacked() {
  for (const table of document.querySelectorAll(".md-typeset table:not([class])")) {
    const names = [...table.querySelectorAll("thead th")].map((cell) => cell.textContent.trim());
    const rows = [...table.querySelectorAll("tbody tr")].map((row) => [...row.cells]);
    if (table.closest(".doc-contents")) continue; // all of them are, with other columns
    const long = names.map((_, k) => k > 0 && rows.some((cells) => cells[k]?.textContent.length > 60));
    if (names.length < 3 || !long.includes(true)) continue;
    table.dataset.stacked = "";
    for (const cells of rows) {
      for (const [k, cell] of cells.entries()) {
        if (k > 0 && cell.textContent.trim()) cell.dataset.column = `${names[k]}: `;
      }
    }
  }
}
addEventListener("DOMContentLoaded", whole);
addEventListener("DOMContentLoaded", stacked);
