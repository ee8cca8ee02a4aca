// The microphone, to be recorded, or to be followed while it is heard.

import { contextOf } from "./stream.js";

/**
 * The microphone, as it is but for what `changes` ask for. Its tracks are to be stopped, else the
 * browser shows that it listens.
 */
export async function openMicrophone(changes = {}) {
  if (!navigator.mediaDevices) {
    throw new Error("the browser gives no microphone to pages without TLS");
  }
  const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false,
    ...changes };
  return navigator.mediaDevices.getUserMedia({ audio })
    .catch(() => { throw new Error("the browser has no microphone, or may not use it"); });
}

/** Samples of the microphone at a rate, some milliseconds at a time. */
export class LiveMicrophone {
  /** Open it, in answer to a click. What plays on this machine is taken out of what it hears. */
  static async open(rate) {
    const [context, media] = await Promise.all([
      contextOf(rate), openMicrophone({ echoCancellation: true })]);
    const microphone = new LiveMicrophone(context, media);
    try {
      microphone.source = context.createMediaStreamSource(media);
    } catch {
      microphone.close();
      throw new Error(`this browser does not follow a microphone at ${rate} Hz; record it below`);
    }
    return microphone;
  }

  constructor(context, media) {
    this.context = context;
    this.media = media;
    // Samples so far, and when the first one was there.
    this.count = 0;
    this.begin = 0;
  }

  /** Give samples, Int16Array, to a function from here on. */
  listen(hear) {
    this.node = new AudioWorkletNode(this.context, "capture", { numberOfOutputs: 0 });
    this.node.port.onmessage = ({ data: { samples, time } }) => {
      if (!this.count) this.begin = time;
      this.count += samples.length;
      hear(samples);
    };
    this.source.connect(this.node);
  }

  close() {
    for (const track of this.media.getTracks()) track.stop();
    this.source?.disconnect();
    if (!this.node) return;
    this.node.port.onmessage = null;
    this.node.port.postMessage({ stop: true });
  }
}
