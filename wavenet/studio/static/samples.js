// What runs sound like: the audio of each evaluation, side by side, one at a time.

import { element, notice } from "./dom.js";

const SHOWN = 8;

function address(run, name) {
  return `api/runs/${encodeURIComponent(run)}/samples/${encodeURIComponent(name)}`;
}

/** Plays one sample at a time. */
class Player {
  constructor() {
    this.audio = new Audio();
    this.current = null;
    this.keepsPlace = false;
    this.audio.addEventListener("timeupdate", () => this.tell());
    this.audio.addEventListener("ended", () => this.tell());
    this.audio.addEventListener("pause", () => this.tell());
    this.audio.addEventListener("play", () => this.tell());
  }

  async toggle(sample) {
    if (this.current === sample && !this.audio.paused) {
      this.audio.pause();
      return;
    }
    const before = this.current;
    const place = this.keepsPlace && before && !this.audio.ended ? this.audio.currentTime : 0;
    if (before !== sample) {
      this.current = sample;
      if (before) before.update(0, 0, false);
      this.audio.src = sample.source;
      if (place) this.audio.currentTime = place;
    }
    try {
      await this.audio.play();
    } catch (error) {
      // Another one was chosen before this one played.
      if (error.name !== "AbortError") notice("This sample cannot be played.", "error");
    }
  }

  tell() {
    const { currentTime, duration, paused, ended } = this.audio;
    if (this.current) this.current.update(currentTime, duration || 0, !paused && !ended);
  }

  seek(sample, seconds) {
    if (this.current === sample) this.audio.currentTime = seconds;
  }

  close() {
    this.audio.pause();
    this.audio.removeAttribute("src");
    this.audio.load();
  }
}

/** A sample's card: its picture, a button that plays it, and where it is. */
function card(player, run, { step, wav }) {
  const name = `step ${step.toLocaleString("en")}`;
  const note = element("span", { class: "hint" });
  const sign = element("span", { class: "sign", "aria-hidden": "true" });
  const button = element("button", {
    type: "button", class: "play", "aria-pressed": "false",
    "aria-label": `Play ${name} of ${run.name}`,
    onclick: () => player.toggle(sample),
  }, sign, element("span", {}, name));
  const place = element("input", {
    type: "range", min: 0, max: 1, step: 0.01, value: 0, hidden: true,
    "aria-label": `Place in ${name}`,
    oninput: () => player.seek(sample, place.valueAsNumber),
  });
  const sample = {
    step,
    source: address(run.id, wav),
    root: element("li", { class: "sample" },
      element("div", { class: "row hear" }, button, note), place),
    update(seconds, duration, isPlaying) {
      button.setAttribute("aria-pressed", isPlaying);
      place.hidden = !duration;
      place.max = duration || 1;
      place.value = seconds;
      place.setAttribute("aria-valuetext", `${seconds.toFixed(1)} of ${duration.toFixed(1)} s`);
    },
    /** Show its score, and its picture once there is one. */
    tell(text, picture) {
      if (note.textContent !== text) note.textContent = text;
      if (!picture || sample.root.querySelector("img")) return;
      const alt = `Waveform and spectrogram of ${name}`;
      const source = address(run.id, picture);
      sample.root.prepend(element("a", { href: source, target: "_blank" },
        element("img", { src: source, alt, loading: "lazy" })));
    },
  };
  return sample;
}

/** Rows of samples, one for each run. */
export class Samples {
  constructor() {
    this.player = new Player();
    this.rows = new Map();
    this.list = element("div", { onkeydown: (event) => this.key(event) });
    const keep = element("input", {
      type: "checkbox", onchange: () => { this.player.keepsPlace = keep.checked; },
    });
    this.options = element("label", { class: "check" }, keep,
      "Stay at the same place when another one is played");
    this.empty = element("p", { class: "quiet" },
      "The first sample comes with the first evaluation.");
    this.root = element("div", {}, this.options, this.empty, this.list);
  }

  close() {
    this.player.close();
  }

  /** Show the samples of runs, each with `id`, `name`, `samples`, `validation`. */
  show(runs) {
    const wanted = new Set(runs.map((run) => run.id));
    for (const [id, row] of this.rows) {
      if (wanted.has(id)) continue;
      if ([...row.cards.values()].includes(this.player.current)) this.player.audio.pause();
      row.root.remove();
      this.rows.delete(id);
    }
    for (const run of runs) {
      if (!this.rows.has(run.id)) this.rows.set(run.id, this.row());
      const row = this.rows.get(run.id);
      this.fill(row, run, runs.length > 1);
    }
    const order = runs.map((run) => this.rows.get(run.id).root);
    if (order.some((root, i) => this.list.children[i] !== root)) this.list.append(...order);
    this.list.classList.toggle("several", runs.length > 1);
    const any = runs.some((run) => run.samples.length);
    this.empty.hidden = any;
    this.options.hidden = !any;
  }

  row() {
    const row = { cards: new Map(), isWhole: false };
    row.title = element("h3", {});
    row.grid = element("ul", { class: "samples" });
    row.more = element("button", {
      type: "button", onclick: () => { row.isWhole = !row.isWhole; this.fill(...row.last); },
    });
    row.root = element("section", {}, row.title, row.grid, row.more);
    return row;
  }

  fill(row, run, isOneOfSeveral) {
    row.last = [row, run, isOneOfSeveral];
    row.title.textContent = run.name;
    row.title.hidden = !isOneOfSeveral;
    row.root.hidden = !run.samples.length;
    const bits = new Map(run.validation.map((p) => [p[0], p[2]]));
    const best = run.validation.reduce((b, p) => (b === null || p[2] < b[2] ? p : b), null);
    const newest = [...run.samples].reverse();
    const shown = newest.filter((s, i) => row.isWhole || i < SHOWN || (best && s.step === best[0]));
    const cards = shown.map((about) => {
      if (!row.cards.has(about.wav)) row.cards.set(about.wav, card(this.player, run, about));
      const made = row.cards.get(about.wav);
      const score = bits.has(about.step) ? `${bits.get(about.step).toFixed(3)} bits` : "";
      made.tell(best && about.step === best[0] ? `${score}, the best` : score, about.picture);
      return made.root;
    });
    const before = [...row.grid.children];
    if (before.length !== cards.length || cards.some((c, i) => c !== before[i])) {
      const focused = document.activeElement;
      row.grid.replaceChildren(...cards);
      if (row.grid.contains(focused)) focused.focus({ preventScroll: true });
    }
    const hidden = newest.length - shown.length;
    row.more.hidden = !(hidden || row.isWhole);
    row.more.textContent = row.isWhole ? "Show fewer" : `Show ${hidden} more`;
  }

  /** Arrow keys go from one play button to the next. */
  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || !event.target.classList.contains("play")) return;
    const buttons = [...this.list.querySelectorAll("button.play")];
    const next = buttons[buttons.indexOf(event.target) + by];
    if (next) next.focus();
    event.preventDefault();
  }
}
