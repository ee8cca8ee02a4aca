// A stream with its buttons and pictures: what Listen and Play have in common.

import { download, element, notice } from "./dom.js";
import { wavFile } from "./recording.js";
import { Scroller } from "./spectrum.js";
import { Stream } from "./stream.js";

// What the pictures show.
const SHOWN_SECONDS = 6;

export class Transport {
  /**
   * `begin()` gives {settings, rate, pace, name} of a new stream. `handlers` may have functions
   * `started`, `from`, `note` and `stopped`.
   */
  constructor(begin, handlers = {}, names = { play: "Play", stop: "Stop" }) {
    this.begin = begin;
    this.handlers = handlers;
    this.names = names;
    this.stream = null;
    this.rate = 0;
    this.play = element("button", { type: "button", class: "main", onclick: () => this.toggle() },
      names.play);
    this.save = element("button", { type: "button", disabled: true,
      onclick: () => this.download() }, "Download");
    this.line = element("p", { class: "quiet numbers" }, " ");
    this.spectrogram = element("canvas", { class: "spectrogram", role: "img",
      "aria-label": "Spectrogram of what is heard, the last six seconds" });
    this.wave = element("canvas", { class: "wave", role: "img",
      "aria-label": "Waveform of what is heard, the last six seconds" });
    this.highest = element("span", { class: "scale top" });
    const marks = [this.highest, element("span", { class: "scale bottom" }, "0 Hz"),
      element("span", { class: "scale bottom newest" }, "now")];
    this.pictures = element("div", { class: "pictures" }, this.wave,
      element("div", { class: "marked" }, this.spectrogram, marks));
    this.scroller = new Scroller(this.spectrogram, this.wave, SHOWN_SECONDS);
    this.frame = 0;
  }

  get isPlaying() {
    return this.stream !== null && !this.stream.isClosed;
  }

  toggle() {
    if (this.isPlaying) this.stop();
    else this.start();
  }

  async start(more = {}) {
    this.stop();
    const begun = this.begin();
    if (!begun) return;
    const { settings, rate, pace, name } = begun;
    const clicked = performance.now();
    this.name = name;
    this.rate = rate;
    this.highest.textContent = `${rate / 2000} kHz`;
    const stream = new Stream({
      started: (about) => { this.about = about; this.handlers.started?.(about); },
      status: (status) => {
        if (!this.latency && status.position > 0) {
          this.latency = performance.now() - clicked;
          this.play.dataset.latency = Math.round(this.latency);
        }
        if (status.isOver) this.stop();
      },
      from: (message) => this.handlers.from?.(message),
      note: (number) => this.handlers.note?.(number),
      noticed: (text) => notice(text),
      failed: (text) => this.failed(text),
    });
    this.stream = stream;
    this.latency = 0;
    this.play.textContent = this.names.stop;
    this.line.textContent = "getting the model ready …";
    try {
      await stream.start({ ...settings, ...more }, rate, pace);
    } catch (error) {
      // Another may have been started meanwhile.
      if (this.stream === stream) this.failed(error.message);
      return;
    }
    // Others may look at what sounds: tests, and the curious.
    window.wavenetStream = stream;
    this.draw(stream);
  }

  stop() {
    if (!this.stream) return;
    this.stream.stop();
    cancelAnimationFrame(this.frame);
    this.play.textContent = this.names.play;
    this.handlers.stopped?.();
  }

  failed(text) {
    this.stop();
    this.line.textContent = " ";
    notice(text, "error");
  }

  draw(stream) {
    const still = window.matchMedia("(prefers-reduced-motion: reduce)").matches;
    let drawn = 0;
    const next = () => {
      if (this.stream !== stream || stream.isClosed) return;
      this.frame = requestAnimationFrame(next);
      if (!stream.about || performance.now() - drawn < (still ? 1000 : 30)) return;
      drawn = performance.now();
      const now = stream.position();
      this.save.disabled = now === 0;
      this.scroller.draw(stream.recording, now);
      this.line.textContent = this.handlers.line?.(stream, now) || describe(stream, now);
    };
    next();
  }

  download() {
    const { recording, about } = this.stream;
    const end = Math.max(recording.begin, this.stream.position());
    const samples = recording.part(recording.begin, end);
    const file = wavFile(samples, recording.rate, about.comment);
    download(`${this.name}-${about.seed}.wav`, [file], "audio/wav");
  }
}

/** How often sound was missing, if ever. */
export function gapsOf(status) {
  if (!status?.gaps) return "";
  return status.gaps === 1 ? ", 1 gap" : `, ${status.gaps} gaps`;
}

/** A stream in one line. */
export function describe({ about, status, recording }, now) {
  const seconds = now / recording.rate;
  const ahead = Math.max(0, recording.end - now) / recording.rate;
  const gaps = gapsOf(status);
  const all = about.samples ? ` of ${(about.samples / recording.rate).toFixed(1)}` : "";
  return `${seconds.toFixed(1)}${all} s, ${ahead.toFixed(2)} s ahead${gaps}; ` +
    `seed ${about.seed}; up to ${about.capacity} streams at once here`;
}
