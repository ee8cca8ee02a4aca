// The pictures of one of the two recordings that Vocode compares.

import { element } from "./dom.js";
import { drawSpectrogram, drawWave } from "./spectrum.js";

// Steps of the keys on a picture, in seconds.
const STEP_SECONDS = 0.5;
const LEAP_SECONDS = 5;

/** The pictures of a recording, with a head that says where it sounds and can be moved. */
export class Panel {
  /** `seek` is given a place in seconds. */
  constructor(name, seek) {
    this.seek = seek;
    this.seconds = this.all = 0;
    this.dragged = null;
    this.wave = element("canvas", { class: "wave" });
    this.spectrogram = element("canvas", { class: "spectrogram" });
    this.line = element("div", { class: "playhead" });
    this.pictures = element("div", { class: "pictures", role: "slider", tabindex: 0,
      "aria-label": `Place in the waveform and spectrogram: ${name}`, "aria-valuemin": 0,
      onkeydown: (event) => this.key(event),
      onpointerdown: (event) => this.drag(event, true),
      onpointermove: (event) => this.drag(event, this.dragged !== null),
      onpointerup: () => this.drop(),
      onpointercancel: () => { this.dragged = null; },
    }, this.wave, this.spectrogram, this.line);
    this.text = element("p", { class: "hint" });
    this.made = element("section", { class: "panel", "aria-label": name },
      element("h2", {}, name), this.text, this.pictures);
  }

  says(text) {
    this.text.textContent = text;
    this.text.title = text;
  }

  key(event) {
    const steps = { ArrowLeft: -STEP_SECONDS, ArrowDown: -STEP_SECONDS, ArrowRight: STEP_SECONDS,
      ArrowUp: STEP_SECONDS, PageDown: -LEAP_SECONDS, PageUp: LEAP_SECONDS,
      Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    this.seek(Math.max(0, Math.min(this.all, this.seconds + steps[event.key])));
  }

  /** The head goes with a pointer; the sound follows when it is let go. */
  drag(event, isDragged) {
    if (!isDragged || event.button > 0) return;
    const { left, width } = this.pictures.getBoundingClientRect();
    this.dragged = Math.max(0, Math.min(1, (event.clientX - left) / width)) * this.all;
    if (event.type === "pointerdown") this.pictures.setPointerCapture(event.pointerId);
    this.head(this.seconds, this.all, false);
  }

  drop() {
    if (this.dragged === null) return;
    const seconds = this.dragged;
    this.dragged = null;
    this.seek(seconds);
  }

  /** Where it sounds. A screen reader is not told of all that passes while it plays. */
  head(seconds, all, isSpoken) {
    this.seconds = seconds;
    this.all = all;
    const share = (this.dragged ?? seconds) / all;
    this.line.style.transform = `translateX(${share * this.pictures.clientWidth}px)`;
    const text = `${seconds.toFixed(1)} of ${all.toFixed(1)} s`;
    if (!isSpoken || this.pictures.getAttribute("aria-valuetext") === text) return;
    this.pictures.setAttribute("aria-valuemax", all.toFixed(1));
    this.pictures.setAttribute("aria-valuenow", seconds.toFixed(1));
    this.pictures.setAttribute("aria-valuetext", text);
  }

  /** Draw a recording, or as much as there is of it, over the whole length of a pair. */
  draw({ length }, recording) {
    if (!this.spectrogram.clientWidth) return;
    const part = (from, to) => recording?.part(from, to) ?? new Float32Array(to - from);
    const all = { part, begin: 0, end: length };
    drawWave(this.wave, all, 0, length);
    drawSpectrogram(this.spectrogram, all);
  }
}
