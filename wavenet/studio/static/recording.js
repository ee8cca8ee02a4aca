// What came of a stream, for pictures and to be kept; and wav files.

// Of what was heard, so much is kept: the newest.
const MOST_SECONDS = 900;

export class Recording {
  constructor(rate) {
    this.rate = rate;
    this.samples = new Float32Array(rate * 4);
    // Numbers of the first that is kept, and of the next to come.
    this.begin = 0;
    this.end = 0;
  }

  add(samples) {
    const needed = this.end - this.begin + samples.length;
    if (needed > this.samples.length) this.makeRoom(needed);
    this.samples.set(samples, this.end - this.begin);
    this.end += samples.length;
  }

  /** What follows begins at a number, in place of what there is. */
  goOnFrom(number) {
    // What is no longer kept is made again.
    if (number < this.begin) this.begin = this.end = number;
    else this.end = Math.min(this.end, number);
  }

  /** The samples from one number to another; 0 where there are none. */
  part(from, to) {
    const part = new Float32Array(to - from);
    const first = Math.max(from, this.begin);
    const last = Math.min(to, this.end);
    if (last > first) {
      part.set(this.samples.subarray(first - this.begin, last - this.begin), first - from);
    }
    return part;
  }

  makeRoom(needed) {
    const most = MOST_SECONDS * this.rate;
    const kept = this.samples.subarray(0, this.end - this.begin);
    if (needed > most) {
      const dropped = Math.round(most / 4);
      this.samples.copyWithin(0, dropped, kept.length);
      this.begin += dropped;
      return;
    }
    const larger = new Float32Array(Math.min(most, Math.max(needed, 2 * this.samples.length)));
    larger.set(kept);
    this.samples = larger;
  }
}

/** A mono 16-bit wav file with a comment that says where it comes from: an ArrayBuffer. */
export function wavFile(samples, rate, comment) {
  const text = new TextEncoder().encode(`${comment}\0`);
  const padded = text.length + (text.length % 2);
  const info = 4 + 8 + padded;
  const bytes = 2 * samples.length;
  const view = new DataView(new ArrayBuffer(44 + 8 + info + bytes));
  let at = 0;
  const name = (letters) => { for (const c of letters) view.setUint8(at++, c.charCodeAt(0)); };
  const long = (n) => { view.setUint32(at, n, true); at += 4; };
  const short = (n) => { view.setUint16(at, n, true); at += 2; };
  name("RIFF"); long(view.byteLength - 8); name("WAVE");
  name("fmt "); long(16); short(1); short(1); long(rate); long(2 * rate); short(2); short(16);
  name("LIST"); long(info); name("INFO"); name("ICMT"); long(padded);
  text.forEach((byte, i) => view.setUint8(at + i, byte));
  at += padded;
  name("data"); long(bytes);
  for (const sample of samples) {
    view.setInt16(at, Math.round(Math.max(-32768, Math.min(32767, sample * 32768))), true);
    at += 2;
  }
  return view.buffer;
}
