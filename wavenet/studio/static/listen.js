// Listen: a model sounds, and what is changed is heard at once.

import { element, field, notice, remember } from "./dom.js";
import { aboutModel, labelChoice, modelChoice, models, newSeed, recordingField, samplingControls,
  seedField } from "./models.js";
import { LISTENING } from "./stream.js";
import { Transport } from "./transport.js";

// Notes to begin with, for a model that plays some.
const TUNE = "C5:0.4 E5 G5 C6:0.8 G5:0.4 E5 C5:0.8";

export async function open(root, parameters) {
  const all = await models((model) => !model.follows.includes("mel"));
  const chosen = parameters.get("model") || "demo-voice";
  const view = new Listen(all);
  root.append(element("h1", { class: "visually-hidden" }, "Listen"),
    element("div", { class: "split" }, view.controls, view.stage));
  view.select(all.some(({ id }) => id === chosen) ? chosen : all[0].id);
  return () => view.close();
}

class Listen {
  constructor(all) {
    this.all = all;
    this.prompt = null;
    this.transport = new Transport(() => this.begin(), {
      started: (about) => this.started(about),
      from: (message) => this.branched(message),
    });
    this.controls = element("section", { class: "card", "aria-label": "Settings" });
    const { play, save, line, pictures } = this.transport;
    const again = element("button", { type: "button", onclick: () => this.again() }, "Again");
    const other = element("button", { type: "button", onclick: () => this.other() }, "New seed");
    const branch = element("button", { type: "button", onclick: () => this.branch() }, "Branch here");
    again.title = "From the beginning, with the same seed";
    other.title = "From the beginning, with another seed";
    branch.title = "Go on from here with another seed; the future that was is kept";
    this.branches = element("div", { class: "branches" });
    this.stage = element("section", { class: "card stage", "aria-label": "Sound" },
      element("div", { class: "row" }, play, again, other, branch, save), line, pictures,
      this.branches);
  }

  get model() {
    return this.all.find(({ id }) => id === this.chosen);
  }

  select(id) {
    this.transport.stop();
    this.file?.stop();
    this.chosen = id;
    this.prompt = this.upload = null;
    const { model } = this;
    remember(this.stage, `#listen?model=${encodeURIComponent(id)}`);
    const changed = () => this.change();
    this.sampling = samplingControls(model, changed);
    this.label = labelChoice(model, changed);
    this.seed = seedField();
    const parts = [field("Model", modelChoice(this.all, id, (other) => this.select(other)),
      aboutModel(model))];
    if (this.label) parts.push(field("Label", this.label));
    if (model.follows.length) parts.push(...this.followed(model));
    else parts.push(this.continued());
    parts.push(this.sampling.made, this.seed.made);
    this.controls.replaceChildren(...parts);
    this.branches.replaceChildren();
  }

  /** What a model that follows something is to play. */
  followed(model) {
    const isOfSegments = model.follows.includes("segments");
    const text = isOfSegments ? model.segments.slice(0, 8).map((l) => `${l}:0.4`).join(" ") : TUNE;
    const isTyped = isOfSegments || model.follows.includes("pitch");
    const later = () => { if (this.transport.isPlaying) notice("heard from the next Play on"); };
    this.text = element("input", { type: "text", value: text, spellcheck: "false",
      onchange: later });
    const hint = isTyped ? "Played in place of the notes: hummed, MIDI or a recording."
      : `This model follows ${model.follows.join(" and ")}: send a file to follow.`;
    this.file = recordingField("Recording or file", hint, (about) => { this.upload = about; later(); },
      "audio/*,.mid,.midi,.csv,.txt,.TextGrid,.npy");
    const name = isOfSegments ? "Segments" : "Notes";
    return [...(isTyped ? [field(name, this.text, "A name, and behind a colon its seconds.")] : []),
      this.file.made];
  }

  continued() {
    this.text = null;
    this.file = recordingField("Prompt", "A recording to continue; without one, from silence.",
      (about) => { this.prompt = about; });
    return this.file.made;
  }

  begin() {
    const { model } = this;
    const settings = { model: model.id, seed: this.seed.value(), ...this.sampling.values() };
    if (this.label) settings.label = this.label.value;
    if (this.prompt) settings.prompt = this.prompt.id;
    if (this.upload && model.follows.length) settings.upload = this.upload.id;
    else if (this.text) settings.text = this.text.value;
    return { settings, rate: model.rate, pace: LISTENING, name: model.name.split("/").pop() };
  }

  started(about) {
    this.lead = about.lead_in;
    this.branches.replaceChildren();
    this.futures = new Map();
    this.current = about.seed;
  }

  change() {
    if (!this.transport.isPlaying) return;
    const settings = this.sampling.values();
    if (this.label) settings.label = this.label.value;
    this.transport.stream.change(settings);
  }

  again() {
    this.transport.start();
  }

  other() {
    this.seed.input.value = newSeed();
    this.again();
  }

  branch() {
    if (!this.transport.isPlaying) {
      notice("press Play first; a branch goes on from what is heard");
      return;
    }
    this.transport.stream.branch(newSeed());
  }

  /** A branch was made, or gone back to. */
  branched({ branch: number, sample, seed }) {
    if (number === undefined) return;
    if (!this.futures.has(number)) {
      const seconds = (sample / this.transport.rate).toFixed(1);
      const futures = element("div", { class: "row" });
      this.futures.set(number, { futures, seeds: [] });
      this.branches.append(element("div", { class: "branch" },
        element("h2", {}, `From ${seconds} s`), futures,
        element("button", { type: "button", onclick: () => this.resume(number, newSeed()) },
          "One more")));
      this.addFuture(number, this.current);
    }
    this.addFuture(number, seed);
    for (const button of this.branches.querySelectorAll("button[data-seed]")) {
      const isThis = button.dataset.branch === String(number) && button.dataset.seed === String(seed);
      button.setAttribute("aria-pressed", String(isThis));
    }
    this.current = seed;
  }

  addFuture(number, seed) {
    const { futures, seeds } = this.futures.get(number);
    if (seeds.includes(seed)) return;
    seeds.push(seed);
    futures.append(element("button", { type: "button", "data-seed": seed, "data-branch": number,
      onclick: () => this.resume(number, seed) }, `Future ${seeds.length} (seed ${seed})`));
  }

  resume(number, seed) {
    if (this.transport.isPlaying) this.transport.stream.resume(number, seed);
    else notice("the stream has stopped; press Play and branch again");
  }

  close() {
    this.transport.stop();
    this.file?.stop();
  }
}
