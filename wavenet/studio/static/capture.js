// The audio thread's part of following a microphone: hands on what it hears.
//
// It sends {samples}, 16 bits each, and the {time} of the first; it is sent {stop}.

// What is handed on together, in seconds.
const CHUNK_SECONDS = 0.012;

class Capture extends AudioWorkletProcessor {
  constructor() {
    super();
    this.samples = new Int16Array(Math.ceil(CHUNK_SECONDS * sampleRate));
    this.filled = 0;
    this.time = 0;
    this.isStopped = false;
    this.port.onmessage = () => { this.isStopped = true; };
  }

  process([[input]]) {
    // Until something is connected there is no channel.
    const block = input || new Float32Array(128);
    for (let i = 0; i < block.length; i += 1) {
      if (!this.filled) this.time = currentTime + i / sampleRate;
      const sample = Math.round(32768 * block[i]);
      this.samples[this.filled] = Math.max(-32768, Math.min(32767, sample));
      this.filled += 1;
      if (this.filled === this.samples.length) {
        this.port.postMessage({ samples: this.samples, time: this.time });
        this.filled = 0;
      }
    }
    return !this.isStopped;
  }
}

registerProcessor("capture", Capture);
