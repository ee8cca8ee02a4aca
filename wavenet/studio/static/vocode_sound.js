// A copy as it is made, and two recordings of which one or the other sounds at the same place.

import { Connection, getBytes } from "./api.js";
import { Recording } from "./recording.js";
import { contextOf } from "./stream.js";

// How far a copy may get ahead of what the page has, which the server limits to as much, and how
// often that is reported.
const AHEAD_SECONDS = 5;
const REPORT_SECONDS = 0.5;
// From one sound to another, and to what begins, so that neither clicks.
const FADE_SECONDS = 0.01;
const SOON_SECONDS = 0.04;
const TICK_MS = 100;
// What is left of what was there when a copy began to sound, when it goes on with what came since;
// and what is waited for once there is no more.
const LEFT_SECONDS = 1.2;
const MORE_SECONDS = 0.3;
const ENOUGH_SECONDS = 0.6;

/** The original of a recording that was sent, as the studio plays it at a rate. */
export async function original(id, rate, signal) {
  const file = await getBytes(`uploads/${id}`, { rate }, { signal });
  const recording = new Recording(rate);
  recording.add(samplesOf(file));
  return recording;
}

/** The samples of a mono 16-bit wav file. */
function samplesOf(file) {
  const view = new DataView(file);
  let at = 12;
  let bytes = view.getUint32(at + 4, true);
  // Chunks until "data". Each is as long as it says, and a byte more where that is odd.
  while (view.getUint32(at) !== 0x64617461) {
    at += 8 + bytes + (bytes % 2);
    bytes = view.getUint32(at + 4, true);
  }
  return Float32Array.from({ length: bytes >> 1 },
    (_, i) => view.getInt16(at + 8 + 2 * i, true) / 32768);
}

/** What a model makes of something, as fast as it comes. */
export class Making {
  /** `handlers` has functions to call: started, came, ended, failed. */
  constructor(settings, handlers) {
    this.handlers = handlers;
    this.about = null;
    this.recording = null;
    this.granted = 0;
    this.isOver = false;
    this.connection = new Connection(settings, {
      hear: (data) => this.hear(data), lost: (text) => this.fail(text),
    });
  }

  /** How many times as fast as it sounds it was made, and in how many seconds. */
  get pace() {
    const seconds = Math.max(1e-3, (this.now - this.began) / 1000);
    return { times: this.recording.end / this.recording.rate / seconds, seconds };
  }

  /** End, with what there is. */
  stop() {
    this.isOver = true;
    this.connection.close();
  }

  fail(text) {
    if (this.isOver) return;
    this.stop();
    this.handlers.failed(text);
  }

  hear(data) {
    if (this.isOver) return;
    this.now = performance.now();
    if (data instanceof ArrayBuffer) {
      this.recording.add(new Float32Array(data));
      this.grant();
      this.handlers.came();
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "started") {
      this.began = this.now;
      this.about = message;
      this.recording = new Recording(message.rate);
      this.grant();
      this.handlers.started(message);
    } else if (message.type === "end") {
      this.stop();
      this.handlers.ended();
    } else {
      this.fail(message.message);
    }
  }

  grant() {
    const { end: position, rate } = this.recording;
    const until = position + AHEAD_SECONDS * rate;
    if (until < this.granted + REPORT_SECONDS * rate) return;
    this.granted = until;
    this.connection.say({ type: "credit", until, position });
  }
}

/**
 * Two recordings that sound together, one of them aloud. The second may still be coming: then it
 * is waited for where it has not come to yet. Places are in samples.
 */
export class Pair {
  /** `changed` is called when it begins, stops or waits. */
  constructor(changed) {
    this.changed = changed;
    this.aloud = "original";
    this.loops = false;
    this.isPlaying = false;
    this.isWaiting = false;
    this.place = 0;
    this.sounding = null;
    this.sides = null;
    this.original = null;
    this.copy = null;
    this.length = 0;
    // Whether all of the copy is there that there will be.
    this.isWhole = true;
  }

  /** What sounds from now on; it stays at its place, in seconds. */
  show(first, copy, length, isWhole) {
    const seconds = this.position() / (this.original?.rate ?? 1);
    const hasOtherRate = this.original?.rate !== first.rate;
    if (hasOtherRate || (copy && this.aloud === "copy")) this.pause();
    Object.assign(this, { original: first, copy, length, isWhole, buffers: {} });
    this.place = Math.min(Math.round(seconds * first.rate), length);
    if (this.sounding) this.goOn();
  }

  /** Nothing sounds any more. */
  clear() {
    this.pause();
    this.original = this.copy = null;
    this.place = this.length = 0;
    this.isWhole = true;
  }

  /** The copy has come to its end, or goes no further. */
  whole() {
    if (this.isWhole) return;
    this.isWhole = true;
    // From here on it can loop.
    if (this.sounding) this.goOn();
    else this.tick();
  }

  /** Where it is. */
  position() {
    if (!this.sounding) return this.place;
    const { from, time, loops } = this.sounding;
    const at = from + Math.max(0, (this.context.currentTime - time) * this.original.rate);
    return Math.round(loops ? at % this.length : Math.min(at, this.length));
  }

  get canLoop() {
    return this.loops && this.isWhole;
  }

  /** To be called in answer to a click or a key. */
  async play() {
    if (this.isPlaying || !this.original) return;
    this.isPlaying = true;
    this.changed();
    try {
      const context = await contextOf(this.original.rate);
      if (context !== this.context) this.sides = null;
      this.context = context;
    } catch (error) {
      this.pause();
      throw error;
    }
    // It may have been paused meanwhile, and even begun again.
    if (!this.isPlaying || this.isWaiting || this.sounding) return;
    if (this.place >= this.length) this.place = 0;
    this.timer = setInterval(() => this.tick(), TICK_MS);
    this.isWaiting = true;
    this.tick();
  }

  pause() {
    if (!this.isPlaying) return;
    this.place = this.position();
    this.silence();
    clearInterval(this.timer);
    this.isPlaying = this.isWaiting = false;
    this.changed();
  }

  toggle() {
    if (!this.isPlaying) return this.play();
    return this.pause();
  }

  seek(place) {
    const to = Math.max(0, Math.min(this.length, Math.round(place)));
    if (this.sounding) this.begin(Math.min(to, this.length - 1));
    this.place = to;
    this.tick();
  }

  /** Let "original" or "copy" sound. */
  choose(aloud) {
    this.aloud = aloud;
    if (this.sides) {
      const now = this.context.currentTime;
      for (const [name, { gain }] of Object.entries(this.sides)) {
        gain.cancelScheduledValues(now);
        gain.setValueAtTime(gain.value, now);
        gain.linearRampToValueAtTime(Number(name === aloud), now + FADE_SECONDS);
      }
    }
    this.tick();
  }

  loop(loops) {
    this.place = this.position();
    this.loops = loops;
    if (this.sounding) this.goOn();
  }

  /** Wait for the copy, go on with what came of it, or end. */
  tick() {
    if (!this.isPlaying || !this.context) return;
    const at = this.position();
    const end = this.copy?.end ?? 0;
    const ahead = (end - at) / this.original.rate;
    const needsMore = this.aloud === "copy" && !this.isWhole;
    if (this.isWaiting) {
      if (needsMore && ahead < Math.min(ENOUGH_SECONDS, (this.length - at) / this.original.rate))
        return;
      this.isWaiting = false;
      this.begin(at);
      this.changed();
    } else if (at >= this.length && this.loops) {
      this.begin(0);
    } else if (at >= this.length) {
      this.pause();
      this.place = 0;
      this.changed();
    } else if (needsMore && ahead < TICK_MS / 1000) {
      this.place = at;
      this.silence();
      this.isWaiting = true;
      this.changed();
    } else {
      const { until } = this.sounding;
      const { rate } = this.original;
      if (until - at < LEFT_SECONDS * rate && end - until > MORE_SECONDS * rate) this.goOn();
    }
  }

  /** Go on without a break: with what came since, or in a loop. */
  goOn() {
    const { rate } = this.original;
    // A sample that has not sounded yet, at its time.
    const since = this.context.currentTime - this.sounding.time;
    const steps = since < 0 ? 0 : Math.ceil((since + SOON_SECONDS) * rate);
    const at = this.sounding.from + steps;
    const from = this.sounding.loops ? at % this.length : at;
    if (from < this.length) this.begin(from, this.sounding.time + steps / rate);
  }

  /** Begin at a place, in place of what sounds. */
  begin(from, time = this.context.currentTime + SOON_SECONDS) {
    this.silence(time);
    this.sides ??= this.makeSides();
    const { rate } = this.original;
    const fade = this.context.createGain();
    const fades = { original: fade, copy: this.context.createGain() };
    const sources = Object.entries(fades).map(([name, { gain }]) => {
      gain.setValueAtTime(0, time);
      gain.linearRampToValueAtTime(1, time + FADE_SECONDS);
      const source = this.context.createBufferSource();
      const { buffer, begin } = this.buffer(name, from);
      source.buffer = buffer;
      source.loop = this.canLoop;
      source.connect(fades[name]).connect(this.sides[name]);
      source.start(time, (from - begin) / rate);
      return source;
    });
    const until = this.copy?.end ?? 0;
    this.sounding = { from, time, until, sources, fades, loops: this.canLoop };
  }

  /** Let what sounds fade out. */
  silence(time = this.context?.currentTime) {
    if (!this.sounding) return;
    const { sources, fades, time: begins } = this.sounding;
    this.sounding = null;
    if (begins > this.context.currentTime) {
      // It was not heard yet.
      for (const fade of Object.values(fades)) fade.disconnect();
      for (const source of sources) source.stop();
      return;
    }
    for (const { gain } of Object.values(fades)) {
      gain.cancelScheduledValues(time);
      gain.setValueAtTime(1, time);
      gain.linearRampToValueAtTime(0, time + FADE_SECONDS);
    }
    for (const source of sources) source.stop(time + FADE_SECONDS);
  }

  makeSides() {
    return Object.fromEntries(["original", "copy"].map((name) => {
      const side = this.context.createGain();
      side.gain.value = Number(name === this.aloud);
      side.connect(this.context.destination);
      return [name, side];
    }));
  }

  /** A recording as long as both are; while it comes, what there is of it from a place on. */
  buffer(name, from) {
    const { length, original: { rate } } = this;
    const buffer = (begin, end) => {
      const made = this.context.createBuffer(1, Math.max(1, end - begin), rate);
      made.copyToChannel(this[name]?.part(begin, end) ?? new Float32Array(1), 0);
      return { buffer: made, begin };
    };
    if (name === "copy" && !this.isWhole) return buffer(from, this.copy.end);
    this.buffers[name] ??= buffer(0, length);
    return this.buffers[name];
  }
}
