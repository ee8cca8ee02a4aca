// A keyboard on the page, the computer's own keys, and MIDI: notes that are pressed and released.

import { element, notice } from "./dom.js";

const NAMES = ["C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B"];
// Where hands lie on the computer's keys, by their places, whatever letters these have.
const PLACES = ["KeyA", "KeyW", "KeyS", "KeyE", "KeyD", "KeyF", "KeyT", "KeyG", "KeyY", "KeyH",
  "KeyU", "KeyJ", "KeyK", "KeyO", "KeyL", "KeyP", "Semicolon"];
const VELOCITY = 90;
// All of a pitch wheel to either side, in semitones, as General MIDI has it.
const WHEEL_RANGE = 2;
const TURN_MS = 30;
// Of the whole page, once its user has allowed it.
let access = null;
// By the wheel of a MIDI keyboard, in semitones.
let bent = 0;

export function nameOf(note) {
  return `${NAMES[note % 12]}${Math.floor(note / 12) - 1}`;
}

export class Keyboard {
  /**
   * `range` is the lowest and the highest note. `onkeys(pressed, released)` is called for keys, and
   * `onbend(semitones)` when the pitch wheel of a MIDI keyboard is turned.
   */
  constructor(range, onkeys, onbend) {
    this.onkeys = onkeys;
    this.onbend = onbend;
    this.range = range;
    this.held = new Map();
    // The notes of keys of the computer that are down.
    this.places = new Map();
    this.octaves = window.innerWidth < 700 ? 1 : 2;
    const [low, high] = range;
    this.first = 12 * Math.round((low + high) / 24 - this.octaves / 2);
    this.keys = element("div", { class: "keys", role: "group", "aria-label": "Keyboard" });
    this.span = element("span", { class: "quiet" });
    const shift = (by) => () => this.shift(by);
    this.made = element("div", { class: "keyboard" },
      element("div", { class: "row" },
        element("button", { type: "button", onclick: shift(-1) }, "Octave down"),
        element("button", { type: "button", onclick: shift(1) }, "Octave up"), this.span),
      this.keys,
      element("p", { class: "hint" },
        "Keys A W S E D F … of your computer play too, Z and X move by an octave."));
    this.onkey = (event) => this.typed(event);
    window.addEventListener("keydown", this.onkey);
    window.addEventListener("keyup", this.onkey);
    this.onblur = () => this.releaseAll();
    window.addEventListener("blur", this.onblur);
    this.draw();
    if (access) this.attach();
  }

  draw() {
    this.releaseAll();
    const [low, high] = this.range;
    const notes = Array.from({ length: 12 * this.octaves + 1 }, (_, i) => this.first + i);
    this.keys.replaceChildren(...notes.map((note) => this.key(note)));
    this.span.textContent = `${nameOf(notes[0])} to ${nameOf(notes.at(-1))}; ` +
      `the model knows ${nameOf(Math.round(low))} to ${nameOf(Math.round(high))}`;
  }

  key(note) {
    const isBlack = NAMES[note % 12].length > 1;
    const isKnown = note >= this.range[0] - 1 && note <= this.range[1] + 1;
    const key = element("button", {
      type: "button", class: `${isBlack ? "black" : "white"}${isKnown ? "" : " beyond"}`,
      "data-note": note, "aria-label": nameOf(note),
    }, isBlack ? "" : element("span", { "aria-hidden": "true" }, nameOf(note)));
    key.addEventListener("pointerdown", (event) => {
      event.preventDefault();
      key.setPointerCapture(event.pointerId);
      // The lower on a key, the louder.
      const { top, height } = key.getBoundingClientRect();
      const depth = Math.min(1, Math.max(0, (event.clientY - top) / height));
      this.press(note, Math.round(45 + 75 * depth));
    });
    for (const end of ["pointerup", "pointercancel", "lostpointercapture"]) {
      key.addEventListener(end, () => this.release(note));
    }
    const isEnter = ({ key: name }) => name === "Enter" || name === " ";
    key.addEventListener("keydown", (event) => {
      if (!isEnter(event)) return;
      event.preventDefault();
      if (!event.repeat) this.press(note, VELOCITY);
    });
    key.addEventListener("keyup", (event) => { if (isEnter(event)) this.release(note); });
    key.addEventListener("blur", () => this.release(note));
    return key;
  }

  typed(event) {
    if (event.type === "keyup") {
      // Wherever one writes by now, and whatever else is down.
      if (this.places.has(event.code)) this.release(this.places.get(event.code));
      this.places.delete(event.code);
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
    const takesKeys = "select, textarea, input:not([type=range], [type=file])";
    if (event.target.matches?.(takesKeys)) return;
    if ((event.code === "KeyZ" || event.code === "KeyX")) {
      this.shift(event.code === "KeyZ" ? -1 : 1);
      return;
    }
    const place = PLACES.indexOf(event.code);
    if (place < 0) return;
    this.places.set(event.code, this.first + place);
    this.press(this.first + place, VELOCITY);
  }

  shift(by) {
    const first = this.first + 12 * by;
    if (first < 12 || first + 12 * this.octaves > 120) return;
    this.first = first;
    this.draw();
  }

  press(note, velocity) {
    if (this.held.has(note)) return;
    this.held.set(note, velocity);
    this.show(note, true);
    this.onkeys([[note, Math.min(127, Math.max(1, velocity))]], []);
  }

  release(note) {
    if (!this.held.delete(note)) return;
    this.show(note, false);
    this.onkeys([], [note]);
  }

  releaseAll() {
    for (const note of [...this.held.keys()]) this.release(note);
  }

  show(note, isHeld) {
    this.keys.querySelector(`[data-note="${note}"]`)?.classList.toggle("held", isHeld);
  }

  /** Let every MIDI keyboard that is plugged in play, now or later. */
  async listenToMidi() {
    if (!navigator.requestMIDIAccess) {
      throw new Error("this browser gives no MIDI to this page");
    }
    access = await navigator.requestMIDIAccess()
      .catch(() => { throw new Error("the browser was not allowed to use MIDI"); });
    this.attach();
    const count = access.inputs.size;
    notice(count ? `${count} MIDI ${count === 1 ? "input plays" : "inputs play"}`
      : "no MIDI keyboard yet: plug one in");
  }

  /** Let the MIDI keyboards that are there now, and those that come, play this one. */
  attach() {
    for (const input of access.inputs.values()) {
      input.onmidimessage = ({ data }) => this.midi(data);
    }
    access.onstatechange = ({ port }) => {
      if (port.state === "disconnected") {
        this.releaseAll();
        this.turn(8192);
      }
      this.attach();
    };
  }

  /** How many semitones the wheel bends notes by. */
  get bent() {
    return bent;
  }

  midi([status, note, velocity]) {
    const kind = status & 0xf0;
    if (kind === 0x90 && velocity) this.press(note, velocity);
    else if (kind === 0x80 || kind === 0x90) this.release(note);
    else if (kind === 0xe0) this.turn((velocity << 7) | note);
  }

  /** Turn the wheel to a position, 0 to 16383, of which 8192 is its rest. */
  turn(position) {
    bent = WHEEL_RANGE * (position - 8192) / 8192;
    // A wheel says a hundred times a second where it is, and each time audio is made anew.
    this.turning ??= setTimeout(() => {
      this.turning = undefined;
      this.onbend(bent);
    }, TURN_MS);
  }

  close() {
    clearTimeout(this.turning);
    window.removeEventListener("keydown", this.onkey);
    window.removeEventListener("keyup", this.onkey);
    window.removeEventListener("blur", this.onblur);
    if (!access) return;
    access.onstatechange = null;
    for (const input of access.inputs.values()) input.onmidimessage = null;
  }
}
