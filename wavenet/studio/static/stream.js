// A stream from the server that is heard while it comes.
//
// The page tells the server where it is and until where it has room, so that only little is made
// ahead; what is changed is then soon heard. What the messages mean, studio/protocol.py says.

import { Connection } from "./api.js";
import { Recording } from "./recording.js";

// What is kept ahead of what is heard, and waited for before it begins, in seconds. What is made
// ahead delays nothing, since it is made anew where something changes; but a model that is played
// keeps fewer moments to go back to.
export const LISTENING = { ahead: 0.9, enough: 0.08 };
export const PLAYING = { ahead: 0.18, enough: 0.06 };

/** What follows a microphone comes in frames; where more than `most` waits, some is left out. */
export function following(frameSeconds) {
  const enough = 0.05 + frameSeconds;
  return { ahead: 0.9 + frameSeconds, enough, most: 0.1 + enough + frameSeconds };
}

let shared = null;

/**
 * A running AudioContext of a rate, to be asked for in answer to a click, before anything else is
 * awaited. There is one at a time, since browsers allow only a few.
 */
export async function contextOf(rate) {
  if (!window.isSecureContext) {
    throw new Error("the browser withholds live sound from this page; see the line at the top");
  }
  if (shared && (shared.context.sampleRate !== rate || shared.context.state === "closed")) {
    shared.context.close();
    shared = null;
  }
  if (!shared) {
    const context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
    const parts = ["static/playback.js", "static/capture.js"];
    shared = { context,
      ready: Promise.all(parts.map((part) => context.audioWorklet.addModule(part))) };
  }
  const mine = shared;
  try {
    await mine.ready;
    await Promise.race([mine.context.resume(), silence()]);
  } catch (error) {
    // The next click tries again.
    if (shared === mine) shared = null;
    throw error;
  }
  return mine.context;
}

/** Fails after a while: without anything to sound from, a context resumes in some browsers never. */
async function silence() {
  await new Promise((done) => setTimeout(done, 5000));
  throw new Error("the browser has nothing to play sound with, or was not allowed to");
}

export class Stream {
  /** `handlers` may have functions to call: started, status, from, end, note, noticed, failed. */
  constructor(handlers) {
    this.handlers = handlers;
    this.recording = null;
    this.about = null;
    this.status = null;
    this.granted = 0;
    // Counts how often what is to come was replaced: reports of an earlier take are of no use.
    this.take = 0;
    // Of a microphone, samples that the server left out.
    this.skipped = 0;
    // Whether the samples that come next are those of a key.
    this.isAnswering = false;
    this.isClosed = false;
  }

  /** Begin. `settings` are those of a `start` message, `pace` how much is kept ahead. */
  async start(settings, rate, pace = LISTENING) {
    this.pace = pace;
    this.context = await contextOf(rate);
    if (this.isClosed) return;
    const processorOptions = { enough: Math.round(pace.enough * rate),
      most: Math.round((pace.most || Infinity) * rate) };
    this.node = new AudioWorkletNode(this.context, "playback", {
      numberOfInputs: 0, outputChannelCount: [1], processorOptions,
    });
    this.analyser = this.context.createAnalyser();
    this.node.connect(this.analyser).connect(this.context.destination);
    this.node.port.onmessage = ({ data }) => this.played(data);
    this.recording = new Recording(rate);
    this.connection = new Connection(settings, {
      hear: (data) => this.hear(data),
      lost: (text) => {
        this.stop();
        this.handlers.failed?.(text);
      },
    });
  }

  /** Other settings from here on. */
  change(settings) {
    this.say({ type: "change", position: this.position(), ...settings });
  }

  /** Press and release notes; and bend what sounds by so many semitones from here on, if given. */
  keys(pressed, released, bend) {
    // Of the first key that has not been answered yet.
    if (pressed.length && this.keyTime === undefined) this.keyTime = this.now();
    this.say({ type: "keys", position: this.position(), pressed, released, bend });
  }

  /** Samples of the microphone that is followed: Int16Array. */
  follow(samples) {
    this.connection?.send(samples);
  }

  branch(seed) {
    this.say({ type: "branch", position: this.position(), seed });
  }

  resume(number, seed) {
    this.say({ type: "resume", number, seed });
  }

  /** End, keeping what was heard. */
  stop() {
    if (this.isClosed) return;
    this.stoppedAt = this.position();
    this.isClosed = true;
    this.connection?.close();
    if (this.node) {
      this.node.port.postMessage({ stop: true });
      this.node.port.onmessage = null;
      this.node.disconnect();
      this.analyser.disconnect();
    }
  }

  /** The number of the sample that is played now. */
  position() {
    const { status } = this;
    if (this.isClosed) return this.stoppedAt;
    if (!status) return 0;
    const since = (this.now() - status.time) * this.context.sampleRate;
    return Math.min(status.end, status.position + Math.max(0, Math.round(since)));
  }

  now() {
    return this.context.currentTime;
  }

  say(message) {
    this.connection?.say(message);
  }

  hear(data) {
    if (data instanceof ArrayBuffer) {
      const samples = new Float32Array(data);
      this.answerKey();
      this.recording.add(samples);
      this.node.port.postMessage({ samples }, [data]);
      return;
    }
    const message = JSON.parse(data);
    if (message.type === "started") {
      this.about = message;
      this.handlers.started?.(message);
      this.grant(0);
    } else if (message.type === "from") {
      const { sample, again } = message;
      const position = Math.min(this.position(), sample);
      this.isAnswering = this.keyTime !== undefined;
      this.recording.goOnFrom(sample);
      this.take += 1;
      this.node.port.postMessage({ from: sample, take: this.take, again });
      if (again) this.status = { ...this.status, position: sample, end: sample, time: this.now() };
      if (message.comment) Object.assign(this.about, { comment: message.comment });
      this.granted = 0;
      this.grant(again ? sample : position);
      this.handlers.from?.(message);
    } else if (message.type === "end") {
      this.node.port.postMessage({ ends: this.recording.end });
      this.handlers.end?.();
    } else if (message.type === "note") {
      this.skipped = message.skipped;
      this.handlers.note?.(message.note);
    } else if (message.type === "notice") {
      this.handlers.noticed?.(message.message);
    } else {
      this.stop();
      this.handlers.failed?.(message.message);
    }
  }

  /** The first samples after a key: it is heard where they begin, or later if that is over. */
  answerKey() {
    if (!this.isAnswering || !this.status) return;
    this.isAnswering = false;
    const ahead = (this.recording.end - this.position()) / this.context.sampleRate;
    this.keyLatency = this.now() - this.keyTime + Math.max(0, ahead) +
      (this.context.outputLatency || this.context.baseLatency);
    this.keyTime = undefined;
  }

  /** What the audio thread reports. */
  played(status) {
    if (status.take !== this.take) return;
    this.status = status;
    this.grant(status.position);
    this.handlers.status?.(status);
  }

  grant(position) {
    const rate = this.context.sampleRate;
    const until = position + Math.round(this.pace.ahead * rate);
    // Not for every block of 128 samples.
    if (!this.about || until < this.granted + 0.15 * this.pace.ahead * rate) return;
    this.granted = until;
    this.say({ type: "credit", until, position });
  }
}
