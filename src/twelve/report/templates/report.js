// The page works without this script: it filters the list of wrong examples, and opens what a link leads to.
(() => {
  const form = document.getElementById("filter"), list = document.getElementById("wrong-list");
  const open = (place) => {
    for (let each = place && place.closest("details"); each; each = each.parentElement.closest("details")) each.open = true;
  };
  const reveal = () => {
    const place = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (place) { open(place); place.scrollIntoView(); }
  };
  if (form) {
    const task = form.elements.task, words = form.elements.words, count = document.getElementById("count");
    const filter = () => {
      const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      for (const group of list.querySelectorAll("[data-task]")) {
        let own = 0;
        for (const item of group.querySelectorAll("[data-wrong]")) {
          const text = item.textContent.toLowerCase();
          item.hidden = (task.value && task.value !== group.dataset.task) || !wanted.every((word) => text.includes(word));
          own += !item.hidden;
        }
        group.hidden = !own;
        shown += own;
      }
      count.textContent = shown + " shown";
    };
    form.hidden = false;
    form.addEventListener("input", () => { list.open = true; filter(); });
    form.addEventListener("submit", (event) => event.preventDefault());
    for (const link of document.querySelectorAll("[data-filter]")) {
      link.addEventListener("click", () => { task.value = link.dataset.filter; words.value = ""; filter(); });
    }
  }
  addEventListener("hashchange", reveal);
  addEventListener("beforeprint", () => document.querySelectorAll(".task").forEach((each) => { each.open = true; }));
  reveal();
})();
