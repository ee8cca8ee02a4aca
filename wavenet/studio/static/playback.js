// The audio thread's part: plays samples in the order of their numbers, and says where it is.
//
// It is sent {samples}, which go on where the last ones ended; {from, take}, after which samples
// begin at that number, in place of those that were there, and with {again} are heard from there;
// {ends}, the number after the last one; and {stop}. Its reports name the take that they are of. A
// gap is counted where samples ran out while there should have been some, and where there are more
// than `most` and some are left out, but for the first second. Those that are replaced are still
// played where their replacement comes too late, which is counted as well.

// Between two reports, in blocks of 128 samples.
const REPORT_EVERY = 2;

class Playback extends AudioWorkletProcessor {
  constructor(options) {
    super();
    // Numbers of the next sample to play, and of the next to come.
    this.position = 0;
    this.end = 0;
    this.chunks = [];
    this.replaced = [];
    // So many are waited for before playing begins, and after a gap.
    this.enough = options.processorOptions.enough;
    this.most = options.processorOptions.most;
    this.waiting = true;
    this.ends = Infinity;
    this.number = 0;
    this.isStopped = false;
    this.gaps = 0;
    this.late = 0;
    this.blocks = 0;
    this.port.onmessage = ({ data }) => this.take(data);
  }

  take(data) {
    if (data.samples) {
      this.chunks.push({ start: this.end, samples: data.samples });
      this.end += data.samples.length;
    } else if (data.from !== undefined) {
      this.number = data.take;
      this.goOnFrom(data.from, data.again);
    } else if (data.stop) {
      this.isStopped = true;
    } else if (data.ends !== undefined) {
      this.ends = data.ends;
    }
  }

  goOnFrom(number, again) {
    if (again) {
      // It goes back to what was heard before.
      this.position = number;
      this.waiting = true;
      this.replaced = [];
      this.chunks = [];
    } else if (!this.replaced.length || this.endOf(this.chunks) > this.endOf(this.replaced)) {
      // Of several changes at once, the first has left what bridges the time until they are there.
      this.replaced = this.chunks;
    }
    this.chunks = this.chunks
      .filter(({ start }) => start < number)
      .map(({ start, samples }) => ({ start, samples: samples.subarray(0, number - start) }));
    this.end = number;
    this.ends = Infinity;
  }

  endOf(chunks) {
    const last = chunks.at(-1);
    return last ? last.start + last.samples.length : 0;
  }

  /** Fill the output from number `position` on with samples of these chunks: how many. */
  fill(chunks, output, filled) {
    let count = 0;
    while (filled + count < output.length && chunks.length) {
      const { start, samples } = chunks[0];
      const offset = this.position + count - start;
      if (offset >= samples.length) {
        chunks.shift();
        continue;
      }
      if (offset < 0) break;
      const part = samples.subarray(offset, offset + output.length - filled - count);
      output.set(part, filled + count);
      count += part.length;
    }
    this.position += count;
    return count;
  }

  process(_inputs, [[output]]) {
    const isWhole = this.end >= this.ends;
    if (this.waiting && (this.end - this.position >= this.enough || isWhole)) this.waiting = false;
    let filled = 0;
    if (!this.waiting && this.end - this.position > this.most) {
      if (this.position > sampleRate) this.gaps += 1;
      this.position = this.end - this.enough;
    }
    if (!this.waiting) {
      filled = this.fill(this.chunks, output, 0);
      if (filled < output.length && this.position < this.ends) {
        const late = this.fill(this.replaced, output, filled);
        this.late += late > 0 ? 1 : 0;
        filled += late;
      }
    }
    if (!this.waiting && filled < output.length && this.position < this.ends) {
      this.gaps += 1;
      this.waiting = true;
    }
    this.blocks += 1;
    if (this.blocks % REPORT_EVERY === 0) {
      const { position, end, gaps, late, ends, number } = this;
      this.port.postMessage({ position, end, gaps, late, take: number, time: currentTime,
        isOver: position >= ends });
    }
    // Else it would run for as long as the page is open.
    return !this.isStopped;
  }
}

registerProcessor("playback", Playback);
