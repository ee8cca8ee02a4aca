// The stack view: what a stack of dilated convolutions hears, redrawn as its settings move.
//
// The address always says what is shown: the settings that differ from those of the start, and
// which sample is selected.

import { get } from "./api.js";
import { attempt, colour, download, element, notice } from "./dom.js";
import { Controls } from "./stack_controls.js";
import { advice, description, facts, headline, layers, measuring } from "./stack_details.js";
import { figure } from "./stack_drawing.js";

const EXPORT_WIDTH = 1000;
const ADDRESS_MS = 200;

/** Calls of `work`, one at a time; of those that come meanwhile only the last is made. */
function latest(work) {
  let next = null;
  let running = false;
  return async (...given) => {
    next = given;
    if (running) return;
    running = true;
    while (next) {
      const now = next;
      next = null;
      await work(...now);
    }
    running = false;
  };
}

export async function open(root, parameters) {
  const stop = new AbortController();
  const options = await get("stack/options", {}, { signal: stop.signal });
  const view = new StackView(root, options, parameters, stop.signal);
  await view.refresh();
  return () => {
    stop.abort();
    view.close();
  };
}

class StackView {
  constructor(root, options, parameters, signal) {
    this.given = Object.fromEntries([...parameters].filter(([name]) => name !== "lag"));
    this.lag = /^\d{1,9}$/.test(parameters.get("lag") || "") ? Number(parameters.get("lag")) : null;
    this.signal = signal;
    this.answer = null;
    this.selected = null;
    this.measured = {};
    this.refresh = latest(() => this.load());
    this.trace = latest(() => this.loadPaths());
    this.build(root, options);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.canvas);
  }

  build(root, options) {
    this.controls = new Controls(options, (given) => this.change(given));
    this.layers = layers((given) => this.change(given));
    this.measuring = measuring(() => this.answer, (start, influence) => {
      this.measured[start] = influence;
      this.show();
    });
    this.tiles = element("dl", { class: "tiles" });
    this.problem = element("p", { class: "bad", role: "alert" });
    this.words = element("p", { class: "words" });
    this.refusal = element("p", { class: "hint" });
    this.about = element("p", { class: "visually-hidden", id: "stack-about" });
    this.canvas = element("div", {
      class: "drawing", role: "slider", tabindex: 0, "aria-label": "Sample whose paths are shown",
      "aria-describedby": "stack-about", "aria-orientation": "horizontal",
      onkeydown: (event) => this.key(event),
      onpointerdown: (event) => this.point(event),
      onpointermove: (event) => { if (event.buttons & 1) this.point(event); },
    });
    this.newest = element("select", {
      "aria-label": "Samples in the tree",
      onchange: () => this.change({ newest: this.newest.value || null }),
    });
    this.facts = element("dl", { class: "facts" });
    this.advice = element("ul", { class: "advice" });
    this.command = element("code", {});
    root.append(
      element("h1", {}, "Stack"),
      element("p", { class: "quiet intro" },
        "What a stack of dilated convolutions hears: follow the taps from one output down to the " +
        "samples, and see which of them no path reaches."),
      element("div", { class: "split" }, this.leftColumn(), this.rightColumn()));
  }

  leftColumn() {
    return element("div", { class: "side" }, this.controls.root, this.layers.root);
  }

  rightColumn() {
    const button = (label, onclick) => element("button", { type: "button", onclick }, label);
    return element("div", { class: "main-column" },
      element("section", { class: "card picture", "aria-label": "Drawing" },
        this.tiles, this.problem, this.canvas, this.about, this.refusal, this.words),
      element("div", { class: "row tools" }, this.newest,
        button("Copy link", () => this.copy(location.href, "The link is copied.")),
        button("SVG", () => this.exportSvg())),
      element("section", { class: "card", "aria-label": "What it means" },
        element("h2", {}, "What it means"), this.advice),
      this.measuring.root,
      element("section", { class: "card", "aria-labelledby": "stack-costs" },
        element("h2", { id: "stack-costs" }, "What it costs"), this.facts),
      element("section", { class: "card", "aria-labelledby": "stack-command" },
        element("h2", { id: "stack-command" }, "The same in a terminal"),
        element("div", { class: "row" }, element("div", { class: "wide command" }, this.command),
          button("Copy", () => this.copy(this.command.textContent, "The command is copied.")))));
  }

  /** Settings by name, null for those of the start; another start takes everything back. */
  change(given) {
    if ("start" in given) {
      const { pitch } = this.given;
      this.given = pitch ? { pitch } : {};
    }
    for (const [name, value] of Object.entries(given)) {
      if (value === null) delete this.given[name];
      else this.given[name] = value;
    }
    this.refresh();
  }

  async load() {
    try {
      this.answer = await get("stack", this.given, { signal: this.signal });
      this.problem.textContent = "";
    } catch (error) {
      if (this.signal.aborted) return;
      this.problem.textContent = error.message;
      if (this.answer) {
        this.canvas.classList.add("stale");
        return;
      }
      // A link may be to what is no longer here. Then the view begins as it does without one.
      [this.given, this.lag] = [{}, null];
      this.answer = await get("stack", {}, { signal: this.signal });
    }
    if (this.lag !== null) this.lag = Math.min(this.lag, this.answer.receptive_field - 1);
    await this.loadPaths(false);
    this.show();
  }

  async loadPaths(draw = true) {
    if (this.lag === null) {
      this.selected = null;
    } else {
      try {
        const given = { ...this.given, lag: this.lag };
        this.selected = await get("stack/paths", given, { signal: this.signal });
      } catch {
        this.selected = null;
      }
    }
    if (draw && !this.signal.aborted) this.draw();
  }

  /** Everything that follows from the answer. */
  show() {
    const { answer } = this;
    this.canvas.classList.remove("stale");
    this.controls.show(answer);
    this.layers.show(answer);
    this.measuring.show(answer, this.measured[answer.start]);
    this.tiles.replaceChildren(...headline(answer));
    this.facts.replaceChildren(...facts(answer));
    this.advice.replaceChildren(...advice(answer));
    this.command.textContent = answer.command;
    this.about.textContent = description(answer);
    this.refusal.textContent = answer.tree.refusal ? `No tree: ${answer.tree.refusal}.` : "";
    this.offerWindows();
    this.draw();
  }

  /** What the drawing may show of a long field. */
  offerWindows() {
    const size = this.answer.receptive_field;
    const choices = [16, 32, 64, 128, 256, 1024, 4096].filter((count) => 2 * count <= size);
    const option = (value, count, which) =>
      element("option", { value }, `tree: ${which} ${count.toLocaleString("en")}`);
    const whole = option("", size, "all");
    const made = choices.map((count) => option(count, count, "newest"));
    this.newest.replaceChildren(whole, ...made);
    const now = this.given.newest;
    this.newest.value = choices.includes(Number(now)) ? now : "";
    this.newest.hidden = !this.answer.tree.levels || choices.length === 0;
  }

  influence() {
    const { measurable_on: asTrained, start } = this.answer;
    return (asTrained.length && this.measured[start]) || null;
  }

  draw() {
    const width = Math.floor(this.canvas.clientWidth);
    if (!this.answer || !width) return;
    const { selected } = this;
    const paint = (name) => `var(${name})`;
    const drawn = figure(this.answer, { width, paint, selected, influence: this.influence() });
    drawn.root.setAttribute("aria-hidden", "true");
    this.lagAt = drawn.lagAt;
    this.canvas.replaceChildren(drawn.root);
    const size = this.answer.receptive_field;
    this.canvas.setAttribute("aria-valuemin", 1 - size);
    this.canvas.setAttribute("aria-valuemax", 0);
    this.canvas.setAttribute("aria-valuenow", selected ? -selected.lag : 0);
    const hint = "Click a sample, or use the arrow keys, to see its paths.";
    this.words.textContent = selected ? selected.words : hint;
    const kind = selected && selected.covered === false ? "gap" : "traced";
    this.words.className = `words ${selected ? kind : "quiet"}`;
    this.canvas.setAttribute("aria-valuetext", selected ? selected.words : "no sample is selected");
    clearTimeout(this.addressing);
    this.addressing = setTimeout(() => this.writeAddress(), ADDRESS_MS);
  }

  writeAddress() {
    const given = { ...this.given };
    if (this.lag !== null) given.lag = this.lag;
    // Commas stay readable.
    const query = new URLSearchParams(given).toString().replaceAll("%2C", ",");
    history.replaceState(null, "", query ? `#stack?${query}` : "#stack");
  }

  select(lag) {
    this.lag = lag === null ? null : Math.max(0, Math.min(this.answer.receptive_field - 1, lag));
    this.trace();
  }

  point(event) {
    if (!this.lagAt) return;
    const box = this.canvas.firstElementChild.getBoundingClientRect();
    this.select(this.lagAt(event.clientX - box.left, event.clientY - box.top));
  }

  key(event) {
    if (!this.answer || event.ctrlKey || event.altKey || event.metaKey) return;
    const size = this.answer.receptive_field;
    const far = Math.max(2, Math.round(size / 16));
    const now = this.lag === null ? -1 : this.lag;
    const moves = {
      ArrowLeft: now + 1, ArrowUp: now - 1, ArrowRight: now - 1, ArrowDown: now + 1,
      PageDown: now + far, PageUp: now - far, Home: size - 1, End: 0, Escape: null,
    };
    if (!(event.key in moves)) return;
    event.preventDefault();
    this.select(moves[event.key]);
  }

  async copy(words, done) {
    if (words === location.href) this.writeAddress();
    await attempt(async () => {
      if (!navigator.clipboard) throw new Error("the browser lets no page copy here");
      await navigator.clipboard.writeText(words === location.href ? location.href : words);
      notice(done);
    });
  }

  /** A picture that stands alone: its colours are written out, and it says what it shows. */
  exportSvg() {
    if (!this.answer) return;
    const { answer, selected } = this;
    const samples = `${answer.receptive_field.toLocaleString("en")} samples = ${answer.ms} ms`;
    const hears = `${answer.layers.length} layers hear ${samples} at ${answer.sample_rate} Hz`;
    const title = `${answer.name}: ${hears}`;
    const influence = this.influence();
    const given = { width: EXPORT_WIDTH, paint: colour, selected, influence, title };
    const { root, height } = figure(answer, given);
    const ground = document.createElementNS(root.namespaceURI, "rect");
    const size = { width: EXPORT_WIDTH, height, fill: colour("--card") };
    for (const [name, value] of Object.entries(size)) ground.setAttribute(name, value);
    const name = document.createElementNS(root.namespaceURI, "title");
    name.textContent = title;
    root.prepend(name, ground);
    download(`${answer.name.replace(/[^\w.-]+/g, "-")}-stack.svg`,
      [new XMLSerializer().serializeToString(root)], "image/svg+xml");
  }

  close() {
    clearTimeout(this.addressing);
    this.observer.disconnect();
  }
}
