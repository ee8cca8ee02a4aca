// Play: a model that follows pitch as an instrument, under keys, MIDI, or the microphone.

import { attempt, element, field, notice, remember } from "./dom.js";
import { Keyboard, nameOf } from "./keyboard.js";
import { aboutModel, labelChoice, modelChoice, models, newSeed, recordingField,
  samplingControls } from "./models.js";
import { LiveMicrophone } from "./microphone.js";
import { LISTENING, PLAYING, following } from "./stream.js";
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
      started: () => this.started(),
      stopped: () => this.stopped(),
      note: (note) => this.light(note),
      line: (stream, now) => this.line(stream, now),
    }, { play: "Start", stop: "Stop" });
    this.controls = element("section", { class: "card", "aria-label": "Settings" });
    const { play, save, line, pictures } = this.transport;
    const midi = element("button", { type: "button",
      onclick: () => attempt(() => this.keyboard.listenToMidi()) }, "MIDI");
    this.followButton = element("button", { type: "button", "aria-pressed": "false",
      title: "Hum, whistle or play, and the model follows at once",
      onclick: () => attempt(() => this.follow()) }, "Follow microphone");
    this.place = element("div");
    this.stage = element("section", { class: "card stage", "aria-label": "Instrument" },
      element("div", { class: "row" }, play, midi, this.followButton, save),
      line, this.place, pictures);
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
    const hint = "Record a tune that you hum or whistle, or send a recording or a MIDI file: " +
      "it is played when it is there.";
    this.hum = recordingField("Hum", hint, (about) => { if (about) this.playBack(about); },
      "audio/*,.mid,.midi");
    this.controls.replaceChildren(
      field("Model", modelChoice(this.all, id, (other) => this.select(other)), aboutModel(model)),
      ...(this.label ? [field("Label", this.label)] : []), this.hum.made, this.sampling.made);
    this.keyboard = new Keyboard(model.notes || USUAL_RANGE,
      (pressed, released) => this.keys(pressed, released), (semitones) => this.bend(semitones));
    this.place.replaceChildren(this.keyboard.made);
  }

  begin() {
    const { model, upload } = this;
    const settings = { model: model.id, seed: newSeed(), ...this.sampling.values() };
    if (this.label) settings.label = this.label.value;
    if (upload) settings.upload = upload;
    else settings.live = this.opened ? "microphone" : "keys";
    this.upload = null;
    this.live = settings.live;
    this.microphone = this.opened;
    this.opened = null;
    if (this.live !== "keys") {
      this.waiting = [];
      this.released = [];
    }
    const paces = { keys: PLAYING, microphone: following(model.frame_seconds) };
    const pace = paces[this.live] || LISTENING;
    return { settings, rate: model.rate, pace, name: model.name.split("/").pop() };
  }

  playBack(about) {
    this.upload = about.id;
    this.transport.start();
  }

  /** Follow the microphone from now on, or no longer. */
  async follow() {
    if (this.microphone) {
      this.transport.stop();
      return;
    }
    const { model } = this;
    this.followButton.disabled = true;
    try {
      const opened = await LiveMicrophone.open(model.rate);
      if (this.isClosed || this.model !== model) {
        opened.close();
        return;
      }
      this.opened = opened;
    } catch (error) {
      if (!this.isClosed) throw error;
      return;
    } finally {
      this.followButton.disabled = false;
    }
    this.followButton.setAttribute("aria-pressed", "true");
    this.transport.start();
  }

  started() {
    const { stream } = this.transport;
    if (!this.microphone) {
      this.flush();
      return;
    }
    notice("hum, whistle or play; with headphones, else the model follows itself");
    this.microphone.listen((samples) => stream.follow(samples), () => {
      this.transport.stop();
      notice("the microphone is gone", "error");
    });
  }

  stopped() {
    this.microphone?.close();
    this.microphone = null;
    this.light(null);
    if (!this.opened) this.followButton.setAttribute("aria-pressed", "false");
  }

  /** Show the note that the microphone's sound is played as, or none. */
  light(note) {
    // A key that is down stays lit.
    if (this.lit != null) this.keyboard.show(this.lit, this.keyboard.held.has(this.lit));
    if (note != null) this.keyboard.show(note, true);
    this.lit = note;
  }

  keys(pressed, released) {
    if (this.transport.isPlaying && this.live === "keys" && this.transport.stream.about) {
      this.transport.stream.keys(pressed, released);
      return;
    }
    if (!pressed.length) {
      // Who taps a key while the model comes hears it all the same.
      if (this.waiting.length) this.released.push(...released);
      return;
    }
    // The first key starts the instrument.
    this.waiting.push(...pressed);
    if (!this.transport.isPlaying || this.live !== "keys") this.transport.start();
  }

  bend(semitones) {
    if (this.transport.isPlaying && this.live === "keys" && this.transport.stream.about) {
      this.transport.stream.keys([], [], semitones);
    }
  }

  flush() {
    const { stream } = this.transport;
    const { waiting, released } = this;
    this.waiting = [];
    this.released = [];
    const { bent } = this.keyboard;
    if (this.live !== "keys" || !(waiting.length || bent)) return;
    stream.keys(waiting, [], bent);
    if (released.length) setTimeout(() => stream.keys([], released), TAP_MS);
  }

  change() {
    if (!this.transport.isPlaying) return;
    const settings = this.sampling.values();
    if (this.label) settings.label = this.label.value;
    this.transport.stream.change(settings);
  }

  line(stream, now) {
    if (!this.live) return describe(stream, now);
    if (this.live === "microphone") return this.following(stream, now);
    const latency = stream.keyLatency
      ? `, key to sound ${Math.round(1000 * stream.keyLatency)} ms` : "";
    const held = [...this.keyboard.held.keys()].map(nameOf).join(" ");
    return `${held || "press a key"}${latency}${gapsOf(stream.status)}`;
  }

  following(stream, now) {
    const { microphone } = this;
    if (!microphone?.count) return "listening";
    if (this.lit == null) {
      const level = Math.max(-90, Math.round(microphone.level));
      return `no note; the microphone is at ${level} dB of full scale`;
    }
    const behind = Math.round(1000 * microphone.behind(now + stream.skipped));
    return `${nameOf(this.lit)}, about ${behind} ms after you${gapsOf(stream.status)}`;
  }

  close() {
    this.isClosed = true;
    this.transport.stop();
    this.keyboard?.close();
    this.hum?.stop();
  }
}
