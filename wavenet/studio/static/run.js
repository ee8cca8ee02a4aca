// The parts of the train view that tell of one run: its line, its card, and all about it.

import { post } from "./api.js";
import { attempt, element } from "./dom.js";
import { models, viewOf } from "./models.js";

const STATES = {
  starting: "starting", training: "training", stopping: "stopping",
  stopped: "stopped", failed: "failed", done: "done",
};
export const isAlive = (run) => ["starting", "training", "stopping"].includes(run.state);

export const number = (value) => value.toLocaleString("en");
export const bits = (value) => (value === null || value === undefined ? "–" : value.toFixed(3));

export function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  const minutes = Math.round(seconds / 60);
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

export function setText(node, text) {
  // What is the same is not spoken again.
  if (node.textContent !== text) node.textContent = text;
}

function facts(list, pairs) {
  const shown = pairs.filter(([, value]) => value !== null && value !== undefined && value !== "");
  list.replaceChildren(...shown.flatMap(([name, value]) =>
    [element("dt", {}, name), element("dd", {}, String(value))]));
}

/** A line of the list of runs. */
export function runLine(view, id) {
  const link = element("a", {
    href: `#train?run=${id}`,
    onclick: (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      view.choose(id);
    },
  });
  const state = element("span", { class: "state" });
  const progress = element("progress", { max: 1, value: 0, "aria-label": "Steps done" });
  const about = element("span", { class: "hint" });
  const box = element("input", { type: "checkbox", onchange: () => view.compare(id, box.checked) });
  const compareName = element("span", { class: "visually-hidden" });
  const label = element("label", { class: "check" }, box, "Compare", compareName);
  const root = element("li", { class: "run" },
    element("div", { class: "head" }, link, state), progress,
    element("div", { class: "head" }, about, label));
  function update(run) {
    setText(link, run.name);
    setText(compareName, ` ${run.name}`);
    if (run.id === view.chosen) link.setAttribute("aria-current", "true");
    else link.removeAttribute("aria-current");
    setText(state, run.problems.length ? "damaged" : STATES[run.state]);
    state.dataset.state = run.problems.length ? "failed" : run.state;
    progress.hidden = !isAlive(run) || !run.steps;
    progress.value = run.steps ? run.step / run.steps : 0;
    const score = run.best_bits === null ? "" : `, ${bits(run.best_bits)} bits`;
    const steps = run.steps ? `step ${number(run.step)} of ${number(run.steps)}` : "no steps yet";
    setText(about, `${steps}${score}`);
    box.checked = view.compared.has(run.id);
    label.hidden = run.id === view.chosen || !run.config;
  }
  return { root, update };
}

/** The card of the chosen run: how far it is, and its buttons. */
export function runCard(view) {
  const title = element("h2", { tabindex: "-1" });
  const state = element("span", { class: "state" });
  const status = element("p", { role: "status" });
  const progress = element("progress", { max: 1, "aria-label": "Steps done" });
  const list = element("dl", { class: "facts" });
  const error = element("p", { class: "bad" });
  const stop = element("button", { type: "button", onclick: () => act("stop") }, "Stop");
  const resume = element("button", { type: "button", onclick: () => act("resume") }, "Resume");
  const hint = element("p", { class: "hint" });
  const listen = element("button", { type: "button", onclick: () => attempt(hear) }, "Hear it");

  async function hear() {
    const model = (await models(() => true)).find(({ id }) => id === view.chosen);
    if (!model) throw new Error("it has no checkpoint to hear yet");
    location.hash = `${viewOf(model)}?model=${model.id}`;
  }

  async function act(what) {
    stop.disabled = resume.disabled = true;
    await attempt(() => post(`runs/${view.chosen}/${what}`));
    stop.disabled = resume.disabled = false;
    await view.refresh();
    // The button that was pressed is gone.
    if (document.activeElement === document.body) title.focus();
  }

  function update(run, kept) {
    setText(title, run.name);
    setText(state, STATES[run.state]);
    state.dataset.state = run.state;
    setText(status, statusOf(run, kept));
    setText(error, [run.error, ...run.problems].filter(Boolean).join(" · "));
    error.hidden = !error.textContent;
    progress.hidden = !run.steps;
    progress.value = run.steps ? run.step / run.steps : 0;
    stop.hidden = !run.can_stop;
    resume.hidden = !run.can_resume;
    const isElsewhere = isAlive(run) && !run.is_ours;
    const own = "Stop saves what is learnt so far, as Ctrl-C does; Resume goes on from there.";
    const others = "It was started elsewhere: stop it there, with Ctrl-C in its terminal.";
    setText(hint, isElsewhere ? others : own);
    hint.hidden = !(isElsewhere || run.can_stop || run.can_resume);
    const best = run.best_bits === null ? "" :
      `${bits(run.best_bits)} bits per sample, at step ${number(run.best_step)}`;
    const { model = {} } = kept;
    facts(list, [
      ["Step", run.steps ? `${number(run.step)} of ${number(run.steps)}` : ""],
      ["Best", best],
      ["Trained for", run.hours ? duration(run.hours * 3600) : ""],
      ["Begun from", run.config && (model.begun_from || "nothing")],
      ["Recordings", run.recordings],
    ]);
  }
  const root = element("section", { class: "card" },
    element("div", { class: "head" }, title, state), status, progress, error, list,
    element("div", { class: "row act" }, listen, stop, resume), hint);
  return { root, update, title };
}

/** What happens with a run, in a sentence. */
function statusOf(run, kept) {
  if (run.state === "starting") return "Starting: the program loads, and recordings are read.";
  if (run.state === "stopping") return "Stopping: what it has learnt is saved.";
  if (run.state === "stopped" && run.steps) return `Stopped at step ${number(run.step)}.`;
  if (run.state === "stopped") return "Stopped before it began.";
  if (run.state === "failed") return "It ended with an error.";
  if (run.state === "done") return "Done.";
  const points = kept.training || [];
  const last = points.at(-1), before = points.at(-Math.min(10, points.length));
  if (!last || last === before || !run.steps) return "In training.";
  const each = ((last[1] - before[1]) * 3600) / (last[0] - before[0]);
  const left = each * (run.steps - run.step);
  // In whole minutes, since it is spoken when it changes.
  if (left < 60) return "In training: less than a minute left, and the evaluations.";
  return `In training: about ${duration(Math.max(120, left))} left, and the evaluations.`;
}

/** Recordings, settings and log of the chosen run. */
export function detailsCard() {
  const data = element("dl", { class: "facts" });
  const model = element("dl", { class: "facts" });
  const settings = element("pre", { tabindex: "0", "aria-label": "Settings, as TOML" });
  const log = element("pre", { tabindex: "0", "aria-label": "Log" });
  const logPart = element("details", {}, element("summary", {}, "Log"), log);
  function update({ data: about, model: net, path, log: lines }) {
    const text = lines.join("\n");
    if (log.textContent !== text) {
      // Whoever has scrolled up reads there.
      const isAtEnd = log.scrollTop + log.clientHeight >= log.scrollHeight - 8;
      log.textContent = text;
      if (isAtEnd) log.scrollTop = log.scrollHeight;
    }
    logPart.hidden = !lines.length;
    if (!about || root.dataset.shown === JSON.stringify([about, net, path])) return;
    root.dataset.shown = JSON.stringify([about, net, path]);
    facts(data, [
      ["Folder", about.folder],
      ["Recordings", about.count === null ? "" : number(about.count)],
      ["Length", about.seconds === null ? "" : duration(about.seconds)],
      ["Held out", about.held_out ? `${number(about.held_out)}, to validate on` : ""],
      ["Labels", about.labels.join(", ")],
    ]);
    facts(model, net.settings ? [
      ["Network", `${net.layers} layers, ${number(net.parameters)} parameters`],
      ["Hears", `the last ${Math.round(net.hears_ms)} ms`],
      ["Sample rate", `${number(net.sample_rate)} Hz`],
      ["Run folder", path],
    ] : [["Run folder", path]]);
    settings.textContent = net.settings || "";
  }
  const root = element("section", { class: "card about" },
    element("h2", {}, "About this run"), model,
    element("details", { open: true }, element("summary", {}, "Recordings"), data),
    element("details", {}, element("summary", {}, "Settings"), settings), logPart);
  return { root, update };
}
