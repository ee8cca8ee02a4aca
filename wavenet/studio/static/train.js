// The train view: runs side by side as they grow, and a training to start, stop and resume.

import { get } from "./api.js";
import { Chart, MOST_RUNS, markOf } from "./curve.js";
import { attempt, element, notice } from "./dom.js";
import { bits, detailsCard, duration, isAlive, number, runCard, runLine, setText } from "./run.js";
import { Samples } from "./samples.js";
import { startForm } from "./start.js";

const OFTEN_MS = 2000, SELDOM_MS = 5000;
// Of each curve, before the server is asked for one of fewer points.
const MOST_POINTS = 3000;
const RUNS_SHOWN = 10;

/** The curves, what they mean, and the same as a table. */
function curvesCard(view) {
  const chart = new Chart();
  const legend = element("ul", { class: "legend" });
  const rows = element("tbody");
  const head = ["Run", "Step", "Time", "Validation", "Training"];
  const table = element("table", {},
    element("thead", {}, element("tr", {}, head.map((name, i) =>
      element("th", { scope: "col", class: i ? "number" : "" }, name)))), rows);
  const axis = ["Steps", "Time"].map((name, at) => element("button", {
    type: "button", "aria-pressed": String(at === 0), onclick: () => {
      view.at = at;
      axis.forEach((button, i) => button.setAttribute("aria-pressed", i === at));
      view.show();
    },
  }, name));
  const tablePart = element("details", { ontoggle: () => view.show() },
    element("summary", {}, "Evaluations as a table"), element("div", { class: "wide" }, table));
  function update(series) {
    chart.show(series, view.at);
    const names = JSON.stringify(series.map((s) => [s.name, s.number]));
    if (legend.dataset.names !== names) {
      legend.dataset.names = names;
      legend.replaceChildren(...series.map((s) => element("li", {}, markOf(s.number), s.name)));
    }
    if (!tablePart.open) return;
    rows.replaceChildren(...series.flatMap((s) => [...s.validation].reverse().map((p) => {
      const loss = s.training.findLast((t) => t[0] <= p[0]);
      const cells = [number(p[0]), duration(p[1] * 3600), bits(p[2]), bits(loss && loss[2])];
      return element("tr", {}, element("th", { scope: "row" }, s.name),
        cells.map((text) => element("td", { class: "number" }, text)));
    })));
  }
  const root = element("section", { class: "card" },
    element("div", { class: "head" }, element("h2", {}, "Curves"),
      element("div", { class: "row", role: "group", "aria-label": "Over" }, axis)),
    element("p", { class: "hint" },
      "Bits per sample (lower is better): how hard each next sample of a recording is for the " +
      "model to guess. The line with marks is validation, on recordings that it never learns " +
      "from; the thin one is the training loss. Where validation rises again, it learns by heart."),
    legend, chart.root, tablePart);
  return { root, update, close: () => chart.close() };
}

class View {
  constructor(root, parameters) {
    this.chosen = parameters.get("run") || "";
    this.compared = new Set((parameters.get("with") || "").split(",").filter(Boolean));
    this.at = 0;
    this.runs = [];
    this.kept = new Map();
    this.lines = new Map();
    this.numbers = new Map();
    this.isWhole = false;
    this.stopper = new AbortController();
    this.build(root);
  }

  build(root) {
    const { form, load } = startForm((run) => this.began(run));
    this.loadForm = load;
    this.start = element("details", { class: "card start-card" },
      element("summary", {}, "Start a training"), form);
    this.trouble = element("p", { class: "banner", role: "status", hidden: true });
    this.list = element("ul", { class: "runs" });
    this.more = element("button", {
      type: "button", onclick: () => { this.isWhole = true; this.show(); },
    });
    this.listCard = element("section", { class: "card" },
      element("h2", {}, "Runs"), this.list, this.more);
    this.card = runCard(this);
    this.curves = curvesCard(this);
    this.samples = new Samples();
    this.details = detailsCard();
    this.samplesCard = element("section", { class: "card" },
      element("h2", {}, "What it sounds like"),
      element("p", { class: "hint" },
        "At each evaluation the model makes some audio: it goes on from half a second of a " +
        "recording that it does not know, or plays such a recording again. Newest first; the " +
        "left and right arrow keys go from one to the next."), this.samples.root);
    this.empty = element("section", { class: "card" }, element("h2", {}, "No runs yet"),
      element("p", {}, "A run is one training: a model that learns from a folder of recordings. " +
        "Begin from a trained model, and a few minutes of one voice or instrument are enough to " +
        "hear it turn into that sound."),
      element("p", { class: "quiet" },
        "Its curves and what it sounds like appear here as it learns."));
    this.main = element("div", {},
      this.card.root, this.curves.root, this.samplesCard, this.details.root);
    this.main.hidden = this.empty.hidden = this.listCard.hidden = true;
    root.append(element("h1", {}, "Train"), this.trouble,
      element("div", { class: "split" }, element("div", {}, this.start, this.listCard),
        element("div", {}, this.empty, this.main)));
  }

  /** Ask for what is new, again and again until the view is closed. */
  async watch() {
    while (!this.stopper.signal.aborted) {
      if (!document.hidden) await this.refresh();
      const wait = this.runs.some(isAlive) ? OFTEN_MS : SELDOM_MS;
      await new Promise((resolve) => { this.timer = setTimeout(resolve, wait); });
    }
  }

  async refresh() {
    try {
      const { runs, problems } = await this.ask("runs");
      this.runs = runs;
      if (!runs.some((run) => run.id === this.chosen)) {
        if (this.chosen && runs.length) notice("That run is not here any more.", "error");
        this.chosen = (runs.find(isAlive) || runs[0] || { id: "" }).id;
      }
      this.compared.delete(this.chosen);
      await Promise.all(this.drawn().map((run) => this.read(run)));
      this.trouble.hidden = !problems.length;
      setText(this.trouble, problems.join(" · "));
    } catch (error) {
      if (this.stopper.signal.aborted) return;
      this.trouble.hidden = false;
      setText(this.trouble, error.message);
    }
    if (!this.stopper.signal.aborted) this.show();
  }

  ask(name, parameters = {}) {
    return get(name, parameters, { signal: this.stopper.signal });
  }

  /** Read what the page lacks of a run. */
  async read(run) {
    const before = this.kept.get(run.id);
    const isSame = before && !isAlive(run) && before.changed === run.changed &&
      before.state === run.state && !before.isUnsettled;
    if (isSame) return;
    const tooMany = before && before.training.length > MOST_POINTS;
    const seen = before && !tooMany ? {
      after: before.lines, edition: before.edition, sample: before.samples.at(-1)?.step ?? 0,
    } : {};
    const answer = await this.ask(`runs/${run.id}`, seen);
    const isNew = !before || answer.is_whole;
    const joined = (name) => [...(isNew ? [] : before[name]), ...(answer[name] || [])];
    const parts = { training: joined("training"), validation: joined("validation") };
    // The last one comes again, since its picture is drawn after it.
    const samples = [...new Map(joined("samples").map((s) => [s.wav, s])).values()];
    const state = { changed: answer.run.changed, state: answer.run.state };
    // A run that has just ended may have done so in between this answer's parts.
    const isUnsettled = !before || before.state !== answer.run.state;
    this.kept.set(run.id, { ...before, ...answer, ...parts, ...state, samples, isUnsettled });
    this.runs = this.runs.map((r) => (r.id === run.id ? answer.run : r));
  }

  /** The chosen run and those that it is compared with. */
  drawn() {
    const others = this.runs.filter((run) => this.compared.has(run.id));
    return [...this.runs.filter((run) => run.id === this.chosen), ...others].slice(0, MOST_RUNS);
  }

  /** The number of a run's colour and mark, which it keeps while it is drawn. */
  numberOf(id, drawn) {
    for (const known of this.numbers.keys())
      if (!drawn.some((run) => run.id === known)) this.numbers.delete(known);
    if (!this.numbers.has(id)) {
      const taken = new Set(this.numbers.values());
      this.numbers.set(id, [...Array(MOST_RUNS).keys()].find((n) => !taken.has(n)));
    }
    return this.numbers.get(id);
  }

  show() {
    this.showList();
    const drawn = this.drawn().filter((run) => this.kept.has(run.id));
    const run = drawn.find((r) => r.id === this.chosen);
    this.empty.hidden = this.runs.length > 0;
    this.main.hidden = !run;
    if (!run) return;
    const series = drawn.map((r) => ({
      ...this.kept.get(r.id), id: r.id, name: r.name, number: this.numberOf(r.id, drawn),
    }));
    this.card.update(run, this.kept.get(run.id));
    this.curves.update(series);
    this.samples.show(series);
    this.details.update(this.kept.get(run.id));
  }

  showList() {
    this.listCard.hidden = !this.runs.length;
    const shown = this.runs.filter((run, i) =>
      this.isWhole || i < RUNS_SHOWN || run.id === this.chosen || this.compared.has(run.id));
    const roots = shown.map((run) => {
      if (!this.lines.has(run.id)) this.lines.set(run.id, runLine(this, run.id));
      this.lines.get(run.id).update(run);
      return this.lines.get(run.id).root;
    });
    const before = [...this.list.children];
    if (before.length !== roots.length || roots.some((root, i) => root !== before[i])) {
      const focused = document.activeElement;
      this.list.replaceChildren(...roots);
      if (this.list.contains(focused)) focused.focus({ preventScroll: true });
    }
    this.more.hidden = shown.length === this.runs.length;
    this.more.textContent = `Show all ${number(this.runs.length)} runs`;
  }

  async choose(id) {
    this.chosen = id;
    this.compared.delete(id);
    this.remember();
    await this.refresh();
    this.card.title.focus({ preventScroll: true });
    this.card.root.scrollIntoView({ block: "nearest" });
  }

  async compare(id, isCompared) {
    if (isCompared && this.compared.size >= MOST_RUNS - 1)
      notice(`At most ${MOST_RUNS} runs are drawn at once.`);
    else if (isCompared) this.compared.add(id);
    else this.compared.delete(id);
    this.remember();
    await this.refresh();
  }

  /** Let the address name what is shown. */
  remember() {
    const others = this.compared.size ? `&with=${[...this.compared].join(",")}` : "";
    history.replaceState(null, "", `#train?run=${this.chosen}${others}`);
  }

  async began(run) {
    notice(`The training of ${run.name} starts.`);
    this.start.open = false;
    await this.choose(run.id);
  }

  close() {
    this.stopper.abort();
    clearTimeout(this.timer);
    this.curves.close();
    this.samples.close();
  }
}

export async function open(root, parameters) {
  const view = new View(root, parameters);
  await Promise.all([view.refresh(), attempt(view.loadForm)]);
  view.start.open = !view.runs.length;
  view.start.addEventListener("toggle", () => { if (view.start.open) attempt(view.loadForm); });
  view.watch();
  return () => view.close();
}
