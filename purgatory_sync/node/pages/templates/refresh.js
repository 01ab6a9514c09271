"use strict";
(() => {
  const every = 5000, hidden = 30000, patience = 30000, stops = "a[href], summary";
  async function refresh() {
    try {
      const signal = AbortSignal.timeout(patience);
      const answer = await fetch(location.href, { headers: { accept: "text/html" }, cache: "no-store", signal });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const next = page.querySelector("main"), now = document.querySelector("main");
      if (getSelection().isCollapsed) {
        for (const each of now.querySelectorAll("details"))
          page.getElementById(each.id)?.toggleAttribute("open", each.open);
        const focused = document.activeElement, holder = focused?.closest("main [id]")?.id;
        const places = holder && [...document.getElementById(holder).querySelectorAll(stops)];
        now.replaceWith(next);
        if (holder) document.getElementById(holder)?.querySelectorAll(stops)[places.indexOf(focused)]?.focus({ preventScroll: true });
      }
      document.body.classList.remove("stale");
    } catch {
      document.body.classList.add("stale");
    }
    setTimeout(refresh, document.hidden ? hidden : every);
  }
  setTimeout(refresh, every);
})();
