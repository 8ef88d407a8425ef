// What a page cannot do by itself: copy, and change its theme. Everything there is
// to read is in the page already; buttons that need this script stay hidden until
// it runs. Text goes in through textContent only: it comes from hostile servers.
"use strict";
(() => {
  const root = document.documentElement;
  const said = document.getElementById("said");
  let forget = 0;
  const say = (words) => {
    said.textContent = words;
    clearTimeout(forget);
    forget = setTimeout(() => { said.textContent = ""; }, 2000);
  };

  // A file: page may be refused the clipboard; then the text is selected, ready for
  // the reader's own key.
  const copy = async (element) => {
    try {
      await navigator.clipboard.writeText(element.textContent);
      say("Copied.");
    } catch {
      for (let up = element.closest("details"); up; up = up.parentElement.closest("details")) up.open = true;
      getSelection().selectAllChildren(element);
      say("Selected: press Ctrl+C to copy.");
    }
  };
  const source = (button) => {
    switch (button.dataset.copy) {
      case "previous": return button.previousElementSibling;
      case "next": return button.nextElementSibling;
      default: return document.getElementById(button.dataset.copy);
    }
  };
  for (const button of document.querySelectorAll("[data-copy]")) {
    button.addEventListener("click", () => copy(source(button)));
  }

  // The theme lives in the address, not in storage, which file: pages share.
  const state = () => new URLSearchParams(location.hash.startsWith("#v=1") ? location.hash.slice(1) : "v=1");
  const themes = ["", "light", "dark"];
  const apply = () => {
    const theme = state().get("theme");
    if (theme === "light" || theme === "dark") root.dataset.theme = theme;
  };
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.addEventListener("click", () => {
      const next = themes[(themes.indexOf(root.dataset.theme || "") + 1) % themes.length];
      if (next) root.dataset.theme = next; else delete root.dataset.theme;
      const s = state();
      if (next) s.set("theme", next); else s.delete("theme");
      history.replaceState(null, "", "#" + s);
      say("Theme: " + (next || "as the system") + ".");
    });
  }
  apply();

  // Paper cannot be unfolded: findings print open, and fold again afterwards.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = [...document.querySelectorAll(".finding > details:not([open])")];
    for (const d of folded) d.open = true;
  });
  addEventListener("afterprint", () => { for (const d of folded) d.open = false; });

  for (const hidden of document.querySelectorAll(".buttons[hidden], button[hidden]")) hidden.hidden = false;
})();
