// Waveforms and spectrograms, drawn on canvases.

import { colour, sharpContext } from "./dom.js";

const SIZE = 512;
const WINDOW = Float32Array.from({ length: SIZE },
  (_, i) => 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / SIZE));
// Cosines and sines of a whole turn, and in which order a transform reads its input.
const COS = Float32Array.from({ length: SIZE / 2 }, (_, i) => Math.cos((2 * Math.PI * i) / SIZE));
const SIN = Float32Array.from({ length: SIZE / 2 }, (_, i) => Math.sin((2 * Math.PI * i) / SIZE));
const ORDER = Uint16Array.from({ length: SIZE }, (_, i) => {
  let reversed = 0;
  for (let bit = 1; bit < SIZE; bit <<= 1) reversed = (reversed << 1) | (i & bit ? 1 : 0);
  return reversed;
});
// From dark to bright: dB below the loudest that is drawn, and colours.
const FLOOR_DB = -90;
const STOPS = [[4, 10, 14], [20, 52, 74], [18, 118, 120], [108, 182, 92], [240, 214, 90],
  [255, 250, 225]];
const PALETTE = Uint8ClampedArray.from({ length: 256 * 3 }, (_, i) => {
  const place = (Math.floor(i / 3) / 255) * (STOPS.length - 1);
  const low = Math.min(STOPS.length - 2, Math.floor(place));
  const share = place - low;
  return STOPS[low][i % 3] * (1 - share) + STOPS[low + 1][i % 3] * share;
});

/** Magnitudes in dB of SIZE samples under a Hann window: SIZE / 2 bins, 0 for a full sine. */
export function spectrum(samples) {
  const re = new Float32Array(SIZE);
  const im = new Float32Array(SIZE);
  for (let i = 0; i < SIZE; i++) re[i] = samples[ORDER[i]] * WINDOW[ORDER[i]];
  for (let half = 1; half < SIZE; half *= 2) {
    const turn = SIZE / 2 / half;
    for (let start = 0; start < SIZE; start += 2 * half) {
      for (let k = 0; k < half; k++) {
        const a = start + k;
        const b = a + half;
        const x = re[b] * COS[k * turn] + im[b] * SIN[k * turn];
        const y = im[b] * COS[k * turn] - re[b] * SIN[k * turn];
        re[b] = re[a] - x;
        im[b] = im[a] - y;
        re[a] += x;
        im[a] += y;
      }
    }
  }
  return Float32Array.from({ length: SIZE / 2 },
    (_, i) => 20 * Math.log10(4 * Math.hypot(re[i], im[i]) / SIZE + 1e-9));
}

/** One column of a spectrogram, from the highest frequency down, as an ImageData. */
function column(recording, middle, height) {
  const bins = spectrum(recording.part(middle - SIZE / 2, middle + SIZE / 2));
  const image = new ImageData(1, height);
  for (let y = 0; y < height; y++) {
    // The loudest of the bins that share a pixel.
    const top = Math.floor(((height - y) / height) * bins.length);
    const low = Math.min(top, Math.floor(((height - 1 - y) / height) * bins.length));
    let db = FLOOR_DB;
    for (let i = low; i < Math.max(top, low + 1) && i < bins.length; i++) db = Math.max(db, bins[i]);
    const shade = Math.round(255 * Math.min(1, Math.max(0, 1 - db / FLOOR_DB)));
    for (let c = 0; c < 3; c++) image.data[4 * y + c] = PALETTE[3 * shade + c];
    image.data[4 * y + 3] = 255;
  }
  return image;
}

/** Draw the waveform of samples `from` to `to` of a recording. */
export function drawWave(canvas, recording, from, to) {
  const { context, width, height } = sharpContext(canvas);
  const samples = recording.part(from, to);
  context.clearRect(0, 0, width, height);
  context.fillStyle = colour("--canvas-ink");
  const step = samples.length / width;
  for (let x = 0; x < width; x++) {
    let low = 0;
    let high = 0;
    for (let i = Math.floor(x * step); i < Math.floor((x + 1) * step); i++) {
      low = Math.min(low, samples[i]);
      high = Math.max(high, samples[i]);
    }
    const top = (1 - high) * height / 2;
    context.fillRect(x, top, 1, Math.max(1, ((high - low) * height) / 2));
  }
}

/** Draw the spectrogram of all of a recording. */
export function drawSpectrogram(canvas, recording) {
  const { clientWidth: width, clientHeight: height } = canvas;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const step = (recording.end - recording.begin) / Math.max(1, width);
  for (let x = 0; x < width; x++) {
    const middle = recording.begin + Math.round((x + 0.5) * step);
    context.putImageData(column(recording, middle, height), x, 0);
  }
}

/** A spectrogram that moves on with what is heard: the newest stands on the right. */
export class Scroller {
  constructor(canvas, wave, seconds) {
    this.canvas = canvas;
    this.wave = wave;
    this.seconds = seconds;
    this.columns = null;
  }

  /** Draw what was heard of a recording until sample `now`. */
  draw(recording, now) {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width || !height) return;
    if (this.canvas.width !== width || this.canvas.height !== height) {
      this.canvas.width = width;
      this.canvas.height = height;
      this.columns = null;
    }
    const hop = (this.seconds * recording.rate) / width;
    const newest = Math.floor(now / hop);
    const context = this.canvas.getContext("2d");
    if (this.recording !== recording || this.columns === null || newest < this.columns) {
      this.columns = newest - width;
      this.recording = recording;
    }
    const missing = Math.min(width, newest - this.columns);
    if (missing > 0) {
      context.drawImage(this.canvas, -missing, 0);
      for (let i = 0; i < missing; i++) {
        const middle = Math.round((newest - missing + i + 0.5) * hop);
        context.putImageData(column(recording, middle, height), width - missing + i, 0);
      }
      this.columns = newest;
      drawWave(this.wave, recording, Math.round((newest - width) * hop), Math.round(newest * hop));
    }
  }
}
