// The page: a view for each part of the studio, of which the address names one.
//
// A view's module exports `open(root, parameters)`, which fills `root` and returns a function that
// stops whatever it began. The parameters (URLSearchParams) are those of the address, as in
// "#stack?layers=10".

import { element, notice } from "./dom.js";

const VIEWS = {
  listen: ["Listen", () => import("./listen.js")],
  play: ["Play", () => import("./play.js")],
  vocode: ["Vocode", () => import("./vocode.js")],
  train: ["Train", () => import("./train.js")],
  stack: ["Stack", () => import("./stack.js")],
};
const WITHHELD =
  "Browsers withhold sound, the microphone and MIDI from pages without TLS. Through a tunnel " +
  "they are there: on your own machine, ssh -L 7860:127.0.0.1:7860 USER@HOST, and then open " +
  "http://127.0.0.1:7860 (with wavenet studio on the other one without --host).";

let close = () => {};
let opening = 0;

async function show() {
  const [name, query] = location.hash.slice(1).split("?", 2);
  const chosen = name in VIEWS ? name : "listen";
  const [title, load] = VIEWS[chosen];
  for (const link of document.querySelectorAll("#views a")) {
    if (link.hash === `#${chosen}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${title} · wavenet studio`;
  const mine = ++opening;
  close();
  close = () => {};
  // Of its own, so that a view that is there too late fills nothing that is seen.
  const root = element("div", { class: `view-${chosen}` });
  document.getElementById("view").replaceChildren(root);
  try {
    const view = await load();
    const stop = await view.open(root, new URLSearchParams(query || ""));
    // Another view may have been chosen meanwhile.
    if (mine === opening) close = stop || (() => {});
    else if (stop) stop();
  } catch (error) {
    if (mine === opening) notice(error.message, "error");
  }
}

const links = Object.entries(VIEWS).map(([name, [title]]) =>
  element("a", { href: `#${name}` }, title));
document.getElementById("views").append(...links);
if (!window.isSecureContext) {
  const banner = document.getElementById("insecure");
  banner.textContent = WITHHELD;
  banner.hidden = false;
}
// A file that misses its field does not take the page's place.
for (const kind of ["dragover", "drop"]) {
  window.addEventListener(kind, (event) => event.preventDefault());
}
window.addEventListener("hashchange", show);
show();
