// Play: a model that follows pitch as an instrument, under keys, MIDI, or a hum.

import { attempt, element, field, remember } from "./dom.js";
import { Keyboard, nameOf } from "./keyboard.js";
import { aboutModel, labelChoice, modelChoice, models, newSeed, recordingField,
  samplingControls } from "./models.js";
import { LISTENING, PLAYING } from "./stream.js";
import { Transport, describe, gapsOf } from "./transport.js";

// How long a key sounds that was let go before the model was there.
const TAP_MS = 250;
// Of a model that does not say what it was trained on.
const USUAL_RANGE = [48, 84];

export async function open(root, parameters) {
  const all = await models(({ follows }) => follows.includes("pitch") &&
    follows.every((kind) => kind === "pitch" || kind === "loudness"));
  if (!all.length) {
    root.append(element("p", {}, "No model here follows pitch. The preset instrument trains one."));
    return () => {};
  }
  const chosen = parameters.get("model") || "demo-flute";
  const view = new Play(all);
  root.append(element("h1", { class: "visually-hidden" }, "Play"),
    element("div", { class: "split" }, view.controls, view.stage));
  view.select(all.some(({ id }) => id === chosen) ? chosen : all[0].id);
  return () => view.close();
}

class Play {
  constructor(all) {
    this.all = all;
    this.waiting = [];
    this.released = [];
    this.transport = new Transport(() => this.begin(), {
      started: () => this.flush(),
      line: (stream, now) => this.line(stream, now),
    }, { play: "Start", stop: "Stop" });
    this.controls = element("section", { class: "card", "aria-label": "Settings" });
    const { play, save, line, pictures } = this.transport;
    const midi = element("button", { type: "button",
      onclick: () => attempt(() => this.keyboard.listenToMidi()) }, "MIDI");
    this.place = element("div");
    this.stage = element("section", { class: "card stage", "aria-label": "Instrument" },
      element("div", { class: "row" }, play, midi, save), line, this.place, pictures);
  }

  get model() {
    return this.all.find(({ id }) => id === this.chosen);
  }

  select(id) {
    this.transport.stop();
    this.hum?.stop();
    this.keyboard?.close();
    this.chosen = id;
    const { model } = this;
    remember(this.stage, `#play?model=${encodeURIComponent(id)}`);
    this.sampling = samplingControls(model, () => this.change());
    this.label = labelChoice(model, () => this.change());
    this.hum = recordingField("Hum", "Hum or whistle a tune, or send a recording or a MIDI file: " +
      "it is played when it is there.", (about) => { if (about) this.playBack(about); },
    "audio/*,.mid,.midi");
    this.controls.replaceChildren(
      field("Model", modelChoice(this.all, id, (other) => this.select(other)), aboutModel(model)),
      ...(this.label ? [field("Label", this.label)] : []), this.hum.made, this.sampling.made);
    this.keyboard = new Keyboard(model.notes || USUAL_RANGE,
      (pressed, released) => this.keys(pressed, released));
    this.place.replaceChildren(this.keyboard.made);
  }

  begin() {
    const { model, upload } = this;
    const settings = { model: model.id, seed: newSeed(), ...this.sampling.values() };
    if (this.label) settings.label = this.label.value;
    if (upload) settings.upload = upload;
    else settings.live = true;
    this.upload = null;
    this.isLive = settings.live === true;
    const pace = this.isLive ? PLAYING : LISTENING;
    return { settings, rate: model.rate, pace, name: model.name.split("/").pop() };
  }

  playBack(about) {
    this.upload = about.id;
    this.transport.start();
  }

  keys(pressed, released) {
    if (this.transport.isPlaying && this.isLive && this.transport.stream.about) {
      this.transport.stream.keys(pressed, released);
      return;
    }
    if (!pressed.length) {
      // Who taps a key while the model comes hears it all the same.
      this.released.push(...released);
      return;
    }
    // The first key starts the instrument.
    this.waiting.push(...pressed);
    if (!this.transport.isPlaying || !this.isLive) this.transport.start();
  }

  flush() {
    const { stream } = this.transport;
    const { waiting, released } = this;
    this.waiting = [];
    this.released = [];
    if (!this.isLive || !waiting.length) return;
    stream.keys(waiting, []);
    if (released.length) setTimeout(() => stream.keys([], released), TAP_MS);
  }

  change() {
    if (!this.transport.isPlaying) return;
    const settings = this.sampling.values();
    if (this.label) settings.label = this.label.value;
    this.transport.stream.change(settings);
  }

  line(stream, now) {
    if (!this.isLive) return describe(stream, now);
    const latency = stream.keyLatency
      ? `, key to sound ${Math.round(1000 * stream.keyLatency)} ms` : "";
    const held = [...this.keyboard.held.keys()].map(nameOf).join(" ");
    return `${held || "press a key"}${latency}${gapsOf(stream.status)}`;
  }

  close() {
    this.transport.stop();
    this.keyboard?.close();
    this.hum?.stop();
  }
}
