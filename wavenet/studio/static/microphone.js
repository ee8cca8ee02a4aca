// The microphone, to be recorded, or to be followed while it sounds.

import { attempt, notice } from "./dom.js";
import { contextOf } from "./stream.js";

/** Let the browser no longer listen. */
function release(media) {
  for (const track of media.getTracks()) track.stop();
}

/** The microphone, as it is: a MediaStream that is to be released. */
async function openMicrophone() {
  if (!navigator.mediaDevices) {
    throw new Error("the browser gives no microphone to pages without TLS");
  }
  // A canceller of echoes takes a tone that is held for one.
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
  return navigator.mediaDevices.getUserMedia({ audio })
    .catch(() => { throw new Error("the browser has no microphone, or may not use it"); });
}

/** Samples of the microphone at a rate, some milliseconds at a time. */
export class LiveMicrophone {
  /** Open it, in answer to a click. */
  static async open(rate) {
    const opening = openMicrophone();
    let context;
    try {
      context = await contextOf(rate);
    } catch (error) {
      opening.then(release, () => {});
      throw error;
    }
    return new LiveMicrophone(context, await opening);
  }

  constructor(context, media) {
    this.context = context;
    this.media = media;
    // Samples so far, when the first one was there, and how loud it is, in dB of full scale.
    this.count = 0;
    this.begin = 0;
    this.level = -Infinity;
    try {
      this.source = context.createMediaStreamSource(media);
    } catch {
      release(media);
      throw new Error(`this browser follows no microphone at ${context.sampleRate} Hz; use Hum`);
    }
    const [track] = media.getAudioTracks();
    this.latency = track.getSettings().latency || 0;
    track.onended = () => this.ended?.();
  }

  /** Give samples, Int16Array, to a function from here on, and call `ended` if it is unplugged. */
  listen(hear, ended) {
    this.ended = ended;
    this.node = new AudioWorkletNode(this.context, "capture",
      { numberOfOutputs: 0, channelCount: 1, channelCountMode: "explicit" });
    this.node.port.onmessage = ({ data: { samples, time } }) => {
      if (!this.count) this.begin = time;
      this.count += samples.length;
      const peak = samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
      const fallen = this.level - 60 * samples.length / this.context.sampleRate;
      this.level = Math.max(fallen, 20 * Math.log10(peak / 32768));
      hear(samples);
    };
    this.source.connect(this.node);
  }

  /** How long ago what is the stream's sample `position` now came in, in seconds. */
  behind(position) {
    const { currentTime, sampleRate, outputLatency, baseLatency } = this.context;
    const lag = currentTime - this.begin - position / sampleRate;
    return lag + this.latency + (outputLatency || baseLatency);
  }

  close() {
    this.ended = null;
    release(this.media);
    this.source.disconnect();
    if (!this.node) return;
    this.node.port.onmessage = null;
    this.node.port.postMessage({ stop: true });
  }
}

/**
 * Make a button record the microphone: one click begins, the next one ends. The function that this
 * returns ends it without a recording.
 */
export function recorder(button, take) {
  let running = null;
  let isWanted = true;
  const end = () => { if (running && running.state !== "inactive") running.stop(); };
  button.addEventListener("click", () => attempt(async () => {
    if (running) return end();
    button.disabled = true;
    const source = await openMicrophone().finally(() => { button.disabled = false; });
    const parts = [];
    if (!isWanted) return release(source);
    running = new MediaRecorder(source);
    running.ondataavailable = ({ data }) => parts.push(data);
    running.onstop = () => {
      const { mimeType } = running;
      running = null;
      release(source);
      button.textContent = "Record";
      button.setAttribute("aria-pressed", "false");
      const suffix = mimeType.includes("mp4") ? "m4a" : mimeType.includes("ogg") ? "ogg" : "webm";
      if (isWanted) take(new File(parts, `recorded.${suffix}`, { type: mimeType }));
    };
    running.start();
    button.textContent = "Stop recording";
    button.setAttribute("aria-pressed", "true");
    notice("recording");
  }));
  return () => {
    isWanted = false;
    end();
  };
}
