// Vocode: a recording, and beside it the copy that a vocoder makes of it.

import { attempt, download, element, field, notice, remember } from "./dom.js";
import { aboutModel, labelChoice, modelChoice, models, recordingField, seedField, slider }
  from "./models.js";
import { wavFile } from "./recording.js";
import { Panel } from "./vocode_pictures.js";
import { Making, original, Pair } from "./vocode_sound.js";

const HINT = "Drop it anywhere here: speech or music, a video's sound too.";
const EXPLANATION = "A vocoder hears nothing of a recording but its mel spectrogram, and makes " +
  "the sound anew from that. Here the recording and its copy are heard in turn at the same place.";
// While a copy comes it is drawn so often, and no more of the time than this is spent on it.
const DRAW_MS = 250;
const MOST_DRAWING = 0.1;
// What letters are written into or choose from, and what Space is pressed on.
const TAKES_LETTERS = "select, textarea, input:not([type=file], [type=range])";
const TAKES_SPACE = "button, a, summary, input[type=file]";

export async function open(root, parameters) {
  const all = await models((model) => model.follows.includes("mel"));
  if (!all.length) {
    root.append(element("p", {}, "There is no vocoder here: no model that follows mel frames."));
    return () => {};
  }
  const chosen = parameters.get("model") || "demo-vocoder";
  const view = new Vocode(all);
  root.append(element("h1", { class: "visually-hidden" }, "Vocode"), view.made);
  view.select(all.some(({ id }) => id === chosen) ? chosen : all[0].id);
  return () => view.close();
}

class Vocode {
  constructor(all) {
    this.all = all;
    // The recording that was sent, what is wanted of it (until it is had) and makes it, and what
    // the copy that is shown was made by.
    this.upload = null;
    this.wanted = null;
    this.making = null;
    this.by = null;
    this.pair = new Pair(() => this.update());
    // Others may look at what sounds: tests, and the curious.
    window.wavenetPair = this.pair;
    this.leaving = new AbortController();
    this.file = recordingField("Recording", HINT, (upload) => this.take(upload));
    // What is recorded would hear what sounds.
    this.file.made.addEventListener("click", () => this.pair.pause());
    this.panels = {
      original: new Panel("Original", (place) => this.seek(place)),
      copy: new Panel("Copy", (place) => this.seek(place)),
    };
    this.controls = element("section", { class: "card", "aria-label": "Settings" });
    this.made = element("div", { class: "split" }, this.controls,
      element("section", { class: "card stage", "aria-label": "Recording and copy" },
        this.file.made, this.introduction = element("p", { class: "quiet" }, EXPLANATION),
        this.progressRow(), this.comparison()));
    this.resized = new ResizeObserver(() => this.drawAll());
    for (const { pictures } of Object.values(this.panels)) this.resized.observe(pictures);
    this.listen();
    this.update();
  }

  get model() {
    return this.all.find(({ id }) => id === this.chosen);
  }

  progressRow() {
    this.bar = element("progress", { max: 1, value: 0, "aria-label": "The copy that is made" });
    this.line = element("p", { class: "numbers quiet" });
    this.cancel = element("button", { type: "button", onclick: () => this.cancelled() }, "Cancel");
    this.save = element("button", { type: "button", onclick: () => this.download() },
      "Download copy");
    this.progress = element("div", { class: "making", hidden: true }, this.bar,
      element("div", { class: "row" }, this.line, this.cancel, this.save));
    return this.progress;
  }

  comparison() {
    this.play = element("button", { type: "button", class: "main", title: "Space",
      onclick: () => this.toggle() }, "Play");
    const choice = (name, title, keys) => element("button", { type: "button", title: keys,
      "aria-pressed": "false", onclick: (event) => {
        this.hear(name);
        this.playWithSpace(event);
      } }, title);
    this.choices = {
      original: choice("original", "Original", "Hear the original: A, or X for the other one"),
      copy: choice("copy", "Copy", "Hear the copy: B, or X for the other one"),
    };
    this.loop = element("button", { type: "button", "aria-pressed": "false", title: "L",
      onclick: (event) => {
        this.repeat();
        this.playWithSpace(event);
      } }, "Loop");
    this.time = element("span", { class: "numbers quiet" });
    this.spoken = element("p", { class: "visually-hidden", role: "status" });
    this.compared = element("div", { class: "compared", hidden: true },
      element("div", { class: "row" }, this.play,
        element("div", { class: "ab", role: "group", "aria-label": "What is heard" },
          Object.values(this.choices)),
        this.loop, this.time),
      element("div", { class: "panels" }, this.panels.original.made, this.panels.copy.made),
      element("p", { class: "hint keys-hint" }, "Space plays, A and B or X switch, L loops; ",
        "a click or the arrow keys on a picture move."),
      this.spoken);
    return this.compared;
  }

  /** After a click of a pointer, Space is to play, and not to press the same button again. */
  playWithSpace(event) {
    if (event.detail > 0) this.play.focus({ preventScroll: true });
  }

  /** What is dropped anywhere, and keys. */
  listen() {
    const { signal } = this.leaving;
    const on = (type, listener) => document.addEventListener(type, listener, { signal });
    const drops = (is) => this.made.classList.toggle("dropping", is);
    on("dragover", (event) => {
      if (![...event.dataTransfer.types].includes("Files")) return;
      event.preventDefault();
      drops(true);
    });
    on("dragleave", (event) => { if (!event.relatedTarget) drops(false); });
    on("drop", (event) => {
      drops(false);
      const [file] = event.dataTransfer.files;
      // What is dropped on the field itself is taken there.
      if (event.defaultPrevented || !file) return;
      event.preventDefault();
      this.file.take(file);
    });
    on("keydown", (event) => this.key(event));
  }

  key(event) {
    const { target, key } = event;
    const hasOther = event.ctrlKey || event.metaKey || event.altKey || event.repeat;
    if (hasOther || !this.pair.original || target.closest(TAKES_LETTERS)) return;
    const aloud = { a: "original", b: "copy", x: this.other }[key.toLowerCase()];
    if (key === " " && !target.closest(TAKES_SPACE)) this.toggle();
    else if (aloud) this.hear(aloud);
    else if (key.toLowerCase() === "l") this.repeat();
    else return;
    event.preventDefault();
  }

  get other() {
    return this.pair.aloud === "copy" ? "original" : "copy";
  }

  select(id) {
    this.chosen = id;
    const { model } = this;
    remember(this.made, `#vocode?model=${encodeURIComponent(id)}`);
    const changed = () => this.update();
    this.label = labelChoice(model, changed);
    this.temperature = slider("Temperature", { min: 0, max: 2, step: 0.01, value: 1,
      says: (x) => x.toFixed(2), hint: "Below 1 calmer, above 1 rougher." }, changed);
    this.seed = seedField();
    this.seed.made.addEventListener("input", changed);
    this.seed.made.addEventListener("click", changed);
    this.again = element("button", { type: "button", class: "main again",
      onclick: () => this.make() }, "Make the copy");
    this.stale = element("p", { class: "hint", role: "status" });
    const parts = [field("Vocoder", modelChoice(this.all, id, (other) => this.select(other)),
      aboutModel(model))];
    if (this.label) parts.push(field("Label", this.label));
    this.controls.replaceChildren(...parts, this.temperature.made, this.seed.made, this.again,
      this.stale);
    this.update();
  }

  settings() {
    const settings = { model: this.chosen, seed: this.seed.value(),
      temperature: Number(this.temperature.input.value) };
    if (this.label) settings.label = this.label.value;
    return settings;
  }

  /** Another recording, or none. */
  take(upload) {
    if (this.leaving.signal.aborted) return;
    this.stop();
    this.pair.clear();
    this.upload = upload;
    this.by = null;
    this.hear("original");
    if (upload) this.make();
    this.update();
  }

  /** Make the copy by the settings as they are. */
  make() {
    return attempt(async () => {
      this.stop();
      const { upload, model, pair } = this;
      const settings = this.settings();
      const wanted = this.wanted = new AbortController();
      this.announce(0, "Getting the model ready …");
      let first = pair.original;
      try {
        if (first?.rate !== model.rate) {
          first = await original(upload.id, model.rate, wanted.signal);
        }
      } catch (error) {
        if (wanted.signal.aborted) return;
        this.stop();
        this.announce(0, "No new copy was made.");
        throw error;
      }
      if (wanted.signal.aborted) return;
      // It is seen and heard before there is a copy.
      if (!pair.original) this.show(first, null, first.end);
      const making = new Making({ ...settings, upload: upload.id }, {
        started: (about) => {
          this.by = { settings, about, model };
          // A copy is as long as its original, but for what rounding does.
          this.show(first, making.recording, Math.max(first.end, about.samples));
        },
        came: () => this.came(making),
        ended: () => this.ended(making),
        failed: (text) => {
          this.stop();
          this.announce(0, "No new copy was made.");
          notice(text, "error");
        },
      });
      this.making = making;
      this.update();
    });
  }

  show(first, copy, length) {
    this.pair.show(first, copy, length, copy === null);
    this.update();
    this.drawAll();
  }

  came({ recording, about, pace }) {
    const seconds = (samples) => (samples / about.rate).toFixed(1);
    const share = recording.end / about.samples;
    this.announce(share, `${seconds(recording.end)} of ${seconds(about.samples)} s, ` +
      `${pace.times.toFixed(1)}x real time`);
    const now = performance.now();
    if (now < (this.drawAgain ?? 0)) return;
    this.panels.copy.draw(this.pair, recording);
    const took = performance.now() - now;
    this.drawAgain = now + Math.max(DRAW_MS, took / MOST_DRAWING);
  }

  ended(making) {
    const { times, seconds } = making.pace;
    this.stop();
    this.announce(1, `Made in ${seconds.toFixed(1)} s, ${times.toFixed(1)}x real time.`);
    // Where it is seen anyway, a line over the pictures would be in the way.
    this.spoken.textContent = "The copy is made";
  }

  cancelled() {
    const made = this.making?.recording;
    this.stop();
    const after = made ? ` after ${(made.end / made.rate).toFixed(1)} s` : "";
    this.announce(0, `Cancelled${after}.`);
    // Its button goes away.
    this.again.focus();
  }

  /** Make no more. What was made stays. */
  stop() {
    this.wanted?.abort();
    this.making?.stop();
    this.wanted = this.making = null;
    this.pair.whole();
    this.update();
    if (this.pair.copy) this.panels.copy.draw(this.pair, this.pair.copy);
  }

  announce(share, text) {
    this.bar.value = share;
    this.line.textContent = text;
  }

  toggle() {
    attempt(() => this.pair.toggle());
  }

  hear(name) {
    if (name === "copy" && !this.pair.copy) return;
    this.pair.choose(name);
    this.spoken.textContent = name === "copy" ? "Copy" : "Original";
    this.update();
  }

  repeat() {
    this.pair.loop(!this.pair.loops);
    this.spoken.textContent = this.pair.loops ? "Loops" : "Does not loop";
    this.update();
  }

  seek(seconds) {
    this.pair.seek(seconds * this.pair.original.rate);
    this.follow(true);
  }

  /** Show on all controls what is the case. */
  update() {
    const { pair, by, upload } = this;
    const isMaking = this.wanted !== null;
    this.progress.hidden = upload === null;
    this.progress.classList.toggle("running", isMaking);
    this.cancel.hidden = !isMaking;
    this.save.hidden = isMaking;
    this.introduction.hidden = upload !== null;
    this.compared.hidden = pair.original === null;
    this.play.textContent = pair.isPlaying ? "Pause" : "Play";
    for (const [name, button] of Object.entries(this.choices)) {
      const isAloud = name === pair.aloud;
      button.setAttribute("aria-pressed", String(isAloud));
      this.panels[name].made.classList.toggle("aloud", isAloud);
    }
    this.choices.copy.disabled = pair.copy === null;
    this.loop.setAttribute("aria-pressed", String(pair.loops));
    this.save.disabled = !pair.copy?.end;
    this.panels.original.says(upload ? upload.name : "");
    this.panels.copy.says(by ? described(by) : isMaking ? "is being made" : "there is none yet");
    if (this.again) this.updateAgain(isMaking);
    this.follow();
  }

  updateAgain(isMaking) {
    const { by, upload, pair } = this;
    const isPart = by && pair.copy.end < by.about.samples;
    const isNew = by && JSON.stringify(this.settings()) !== JSON.stringify(by.settings);
    this.again.textContent = by ? "Make it again" : "Make the copy";
    this.again.disabled = !upload || isMaking;
    this.again.classList.toggle("main", !by || isNew || isPart);
    this.stale.textContent = !upload ? "Choose a recording first."
      : isMaking || !(isNew || isPart) ? ""
        : isNew ? "The copy was made with other settings." : "The copy is only a part.";
  }

  /** Let the playheads be where the sound is, as long as it goes on. */
  follow(isSought = false) {
    cancelAnimationFrame(this.frame);
    const { pair } = this;
    if (!pair.original) return;
    const seconds = pair.position() / pair.original.rate;
    const all = pair.length / pair.original.rate;
    const waits = pair.isPlaying && pair.isWaiting ? ", waiting for the copy" : "";
    const text = `${seconds.toFixed(1)} of ${all.toFixed(1)} s${waits}`;
    if (this.time.textContent !== text) this.time.textContent = text;
    const isSpoken = isSought || !pair.isPlaying;
    for (const panel of Object.values(this.panels)) panel.head(seconds, all, isSpoken);
    if (pair.isPlaying) this.frame = requestAnimationFrame(() => this.follow());
  }

  drawAll() {
    const { pair, panels } = this;
    if (!pair.original) return;
    panels.original.draw(pair, pair.original);
    panels.copy.draw(pair, pair.copy);
    this.follow();
  }

  download() {
    const { copy } = this.pair;
    const { about, model } = this.by;
    const name = `${this.upload.name.replace(/\.[^.]*$/, "")}-${model.name.split("/").pop()}`;
    const file = wavFile(copy.part(0, copy.end), copy.rate, about.comment);
    download(`${name}-${about.seed}.wav`, [file], "audio/wav");
  }

  close() {
    this.leaving.abort();
    this.stop();
    this.pair.clear();
    this.file.stop();
    this.resized.disconnect();
    cancelAnimationFrame(this.frame);
  }
}

/** What a copy was made by. */
function described({ settings, about, model }) {
  const label = settings.label ? `${settings.label}, ` : "";
  const temperature = settings.temperature.toFixed(2);
  return `${model.name}, ${label}temperature ${temperature}, seed ${about.seed}`;
}
