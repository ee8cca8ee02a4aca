// A line chart of runs: bits per sample over steps or hours, with a crosshair for what is where.
//
// A point is [step, hours, bits]. Colours and marks are the stylesheet's, by the number of a run.

import { element, svg } from "./dom.js";

export const MOST_RUNS = 6;
const LEFT = 46, RIGHT = 14, TOP = 30, BOTTOM = 42;
const MARKS = [
  "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
  "M-3.6 -3.6h7.2v7.2h-7.2z",
  "M0 -5L5 0L0 5L-5 0z",
  "M0 -4.8L4.6 3.6H-4.6z",
  "M0 4.8L4.6 -3.6H-4.6z",
  "M-4.5 -1.5h3v-3h3v3h3v3h-3v3h-3v-3h-3z",
];
// More marks than that would hide their line.
const MOST_MARKS = 60;

/** A mark as legends show it. */
export function markOf(number) {
  const mark = svg("path", { d: MARKS[number % MARKS.length], transform: "translate(14 7)" });
  const line = svg("path", { d: "M1 7H27", class: "validation" });
  const size = { class: `series-${number} swatch`, width: 28, height: 14, "aria-hidden": "true" };
  return svg("svg", size, line, mark);
}

/** Round values that lie in a range, about `count` of them. */
function ticks(low, high, count) {
  const rough = (high - low) / count || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough * 0.999);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let i = Math.ceil(low / step - 1e-9) || 0; i * step <= high + 1e-9 * step; i++)
    found.push({ value: i * step || 0, digits });
  return found;
}

/** The texts of an element's parts. */
function lines(root) {
  return [...root.children].map((part) => part.textContent);
}

function quantile(sorted, part) {
  return sorted[Math.round(part * (sorted.length - 1))];
}

/** From where to where the chart goes. A loss far above all others is cut off, as at the start. */
function ranges(series, at) {
  const points = series.flatMap((s) => [...s.training, ...s.validation]);
  const losses = series.flatMap((s) => s.training.map((p) => p[2])).sort((a, b) => a - b);
  const values = series.flatMap((s) => s.validation.map((p) => p[2]));
  if (losses.length) values.push(quantile(losses, 0.01), quantile(losses, 0.97));
  let low = Math.min(...values), high = Math.max(...values);
  const margin = (high - low) * 0.08 || 0.5;
  low = Math.max(0, low - margin);
  high += margin;
  const last = points.reduce((most, p) => Math.max(most, p[at]), 0);
  return { low, high, last: last || 1 };
}

function nearest(points, at, x) {
  let best = null;
  for (const point of points)
    if (best === null || Math.abs(point[at] - x) < Math.abs(best[at] - x)) best = point;
  return best;
}

/** Hours for a reader: those of short runs in minutes. */
function unitOf(at, last) {
  if (at === 0) return { factor: 1, name: "steps" };
  return last < 1.5 ? { factor: 60, name: "minutes" } : { factor: 1, name: "hours" };
}

export class Chart {
  constructor() {
    this.series = [];
    this.at = 0;
    this.plot = svg("svg", { "aria-hidden": "true" });
    this.tip = element("div", { class: "tip", hidden: true });
    this.spoken = element("p", { class: "visually-hidden", "aria-live": "polite" });
    this.root = element("div", {
      class: "chart", tabindex: "0", role: "group", "aria-roledescription": "chart",
      onpointermove: (event) => this.point(event),
      onpointerdown: (event) => this.point(event),
      onpointerleave: () => this.leave(),
      onblur: () => this.leave(),
      onkeydown: (event) => this.key(event),
    }, this.plot, this.tip, this.spoken);
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.root);
  }

  close() {
    this.observer.disconnect();
  }

  /** Show runs, each { name, number, training, validation }; `at` is 0 for steps, 1 for hours. */
  show(series, at) {
    this.series = series.filter((s) => s.training.length || s.validation.length);
    this.at = at;
    this.draw();
  }

  draw() {
    const width = this.root.clientWidth, height = width < 500 ? 260 : 340;
    if (!width) return;
    this.plot.setAttribute("width", width);
    this.plot.setAttribute("height", height);
    this.plot.replaceChildren();
    this.root.setAttribute("aria-label", this.describe());
    if (!this.series.length) {
      const place = { x: width / 2, y: height / 2, "text-anchor": "middle" };
      this.plot.append(svg("text", place, "The first point comes after ten steps"));
      return;
    }
    const { low, high, last } = ranges(this.series, this.at);
    this.last = last;
    this.unit = unitOf(this.at, last);
    this.x = (value) => LEFT + (value / last) * (width - LEFT - RIGHT);
    this.y = (bits) => TOP + ((high - bits) / (high - low)) * (height - TOP - BOTTOM);
    this.value = (x) => ((x - LEFT) / (width - LEFT - RIGHT)) * last;
    this.drawAxes(width, height, low, high);
    const across = width - LEFT - RIGHT + 12, down = height - TOP - BOTTOM + 8;
    const box = svg("rect", { x: LEFT - 6, y: TOP - 6, width: across, height: down });
    const inside = svg("clipPath", { id: "curves-inside" }, box);
    this.plot.append(svg("defs", {}, inside));
    for (const s of this.series) this.plot.append(this.line(s));
    this.cross = svg("g", { class: "cross" });
    this.plot.append(this.cross);
    if (this.cursor !== undefined) this.mark(this.cursor);
  }

  drawAxes(width, height, low, high) {
    const bottom = height - BOTTOM, { factor, name } = this.unit;
    for (const { value, digits } of ticks(low, high, 5)) {
      const y = this.y(value);
      this.plot.append(svg("line", { x1: LEFT, x2: width - RIGHT, y1: y, y2: y, class: "grid" }));
      const place = { x: LEFT - 8, y: y + 4, "text-anchor": "end" };
      this.plot.append(svg("text", place, value.toFixed(digits)));
    }
    for (const { value, digits } of ticks(0, this.last * factor, width < 500 ? 4 : 8)) {
      const x = this.x(value / factor);
      this.plot.append(svg("line", { x1: x, x2: x, y1: bottom, y2: bottom + 5, class: "axis" }));
      const format = { minimumFractionDigits: digits, maximumFractionDigits: digits };
      const place = { x, y: bottom + 19, "text-anchor": "middle" };
      this.plot.append(svg("text", place, value.toLocaleString("en", format)));
    }
    const axis = { x1: LEFT, x2: width - RIGHT, y1: bottom, y2: bottom, class: "axis" };
    this.plot.append(svg("line", axis));
    const place = { x: width - RIGHT, y: height - 6, "text-anchor": "end" };
    this.plot.append(svg("text", place, name));
    this.plot.append(svg("text", { x: 0, y: 12 }, "bits per sample"));
  }

  line({ number, training, validation }) {
    const corner = (p) => `${this.x(p[this.at]).toFixed(1)} ${this.y(p[2]).toFixed(1)}`;
    const path = (points) => `M${points.map(corner).join("L")}`;
    const group = svg("g", { class: `series-${number}`, "clip-path": "url(#curves-inside)" });
    if (training.length) group.append(svg("path", { d: path(training), class: "training" }));
    if (validation.length) group.append(svg("path", { d: path(validation), class: "validation" }));
    const marked = validation.length > MOST_MARKS ? validation.slice(-1) : validation;
    for (const p of marked) group.append(this.dot(number, p));
    return group;
  }

  dot(number, p) {
    const to = `translate(${this.x(p[this.at]).toFixed(1)} ${this.y(p[2]).toFixed(1)})`;
    return svg("path", { d: MARKS[number % MARKS.length], transform: to, class: "mark" });
  }

  /** The chart in a sentence. */
  describe() {
    const parts = this.series.map(({ name, validation, training }) => {
      const [curve, what] = validation.length ? [validation, "validation"] : [training, "training"];
      const first = curve[0], last = curve[curve.length - 1];
      return `${name}: ${what} from ${first[2].toFixed(3)} bits at step ${first[0]} ` +
        `to ${last[2].toFixed(3)} at step ${last[0]}`;
    });
    return `Bits per sample. ${parts.join(". ") || "No points yet"}. Arrow keys read the points.`;
  }

  point(event) {
    if (!this.series.length) return;
    this.mark(this.value(event.clientX - this.root.getBoundingClientRect().left));
  }

  key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (!by || !this.series.length) return;
    event.preventDefault();
    const at = this.at;
    const all = this.series.flatMap((s) => (s.validation.length ? s.validation : s.training));
    const stops = [...new Set(all.map((p) => p[at]))].sort((a, b) => a - b);
    const x = this.cursor ?? (by > 0 ? -1 : Infinity);
    let stop = by > 0 ? stops.find((s) => s > x + 1e-9) : stops.findLast((s) => s < x - 1e-9);
    if (!Number.isFinite(by)) stop = by > 0 ? stops.at(-1) : stops[0];
    if (stop === undefined) return;
    this.mark(stop);
    this.spoken.textContent = lines(this.tip).join(", ");
  }

  leave() {
    this.cursor = undefined;
    this.tip.hidden = true;
    if (this.cross) this.cross.replaceChildren();
  }

  /** Show what the runs have at a step or an hour. */
  mark(x) {
    const at = this.at;
    const parts = [];
    this.cursor = Math.min(Math.max(x, 0), this.last);
    this.cross.replaceChildren();
    for (const { name, number, training, validation } of this.series) {
      const points = [nearest(validation, at, this.cursor), nearest(training, at, this.cursor)];
      const known = points.filter((p) => p !== null);
      const anchor = nearest(known, at, this.cursor);
      const names = ["validation", "training"];
      const texts = points.map((p, i) =>
        p && `${names[i]} ${p[2].toFixed(3)} at step ${p[0].toLocaleString("en")}`);
      const dots = known.map((p) => this.dot(number, p));
      this.cross.append(svg("g", { class: `series-${number}` }, dots));
      parts.push(element("p", {}, markOf(number), element("strong", {}, name)));
      parts.push(...texts.filter(Boolean).map((text) => element("p", {}, text)));
      const after = `after ${(anchor[1] * 60).toFixed(1)} minutes of training`;
      parts.push(element("p", { class: "hint" }, after));
    }
    const px = this.x(this.cursor), height = this.plot.clientHeight;
    this.cross.prepend(svg("line", { x1: px, x2: px, y1: TOP, y2: height - BOTTOM }));
    this.tip.replaceChildren(...parts);
    this.tip.hidden = false;
    const room = this.root.clientWidth - this.tip.offsetWidth;
    const beside = px + 12 > room ? px - 12 - this.tip.offsetWidth : px + 12;
    this.tip.style.left = `${Math.max(0, Math.min(room, beside))}px`;
  }
}
