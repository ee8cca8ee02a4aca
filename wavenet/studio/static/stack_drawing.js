// The drawing of a stack: the tree of taps below one output, how many paths lead to each sample,
// and where it was measured how much each counts. Time runs to the right; lag 0 is the newest.
//
// Everything drawn comes from the server. Here it only gets its place and its colour.

import { svg } from "./dom.js";

const LEFT = 60;
const RIGHT = 18;
const STRIP = 54;
// A drawing that is narrower is on a phone, where it leaves room for the settings below it.
const NARROW = 480;
// A sample of a short field is at most this wide, and columns from here on are drawn as circles.
const WIDEST = 56;
const CIRCLES = 4.5;
const FONT = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif";
// The least influence that is drawn is a millionth of the largest.
const DECADES = 6;
// From this many paths to a sample on, bars are logarithmic.
const MOST_LINEAR_LOG2 = 5;

/**
 * The drawing of an answer of /api/stack, with `lagAt(x, y)` and its height.
 *
 * `paint("--accent")` gives the colour of that name. `selected` is an answer of /api/stack/paths,
 * `influence` one of /api/stack/measure, either may be null. `title` stands above if there is one.
 */
export function figure(answer, { width, paint, selected, influence, title }) {
  const to = { answer, paint, selected, influence, width, root: svg("svg"), y: title ? 58 : 26 };
  const size = answer.receptive_field;
  const newest = answer.tree.newest || size;
  const room = width - LEFT - RIGHT;
  to.right = width - RIGHT;
  to.size = size;
  to.whole = Math.min(room / size, newest === size ? WIDEST : Infinity);
  to.perLag = newest === size ? to.whole : Math.min(room / newest, WIDEST);
  to.newest = newest;
  to.strips = [];
  if (title) to.root.append(text(to, title, { x: 12, y: 24, size: 15, weight: 600, ink: "--ink" }));
  let treeEnd = 0;
  if (answer.tree.levels) {
    tree(to);
    treeEnd = to.y;
    if (newest < size) zoomed(to, newest);
  }
  paths(to);
  if (influence) influenceStrip(to);
  axis(to, to.whole, size, to.y);
  to.y += 40;
  marker(to);
  const height = Math.ceil(to.y);
  const box = { viewBox: `0 0 ${width} ${height}`, width, height, "font-family": FONT };
  for (const [name, value] of Object.entries(box)) to.root.setAttribute(name, value);
  const lagAt = (x, y) => {
    const [scale, count] = y < treeEnd ? [to.perLag, newest] : [to.whole, size];
    return Math.max(0, Math.min(count - 1, Math.floor((to.right - x) / scale)));
  };
  return { root: to.root, lagAt, height };
}

function text(to, words, { x, y, size = 11, anchor = "start", ink = "--quiet", weight = 400 }) {
  const place = { x, y, "font-size": size, "text-anchor": anchor, "font-weight": weight };
  return svg("text", { ...place, fill: to.paint(ink) }, words);
}

/** Pairs of a flat list: [1, 2, 3, 4] gives [1, 2] and [3, 4]. */
function* pairs(flat) {
  for (let i = 0; i < flat.length; i += 2) yield [flat[i], flat[i + 1]];
}

function circle(x, y, r) {
  return `M${x - r} ${y}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0`;
}

const rounded = (x) => Math.round(x * 10) / 10;

/** The rows of nodes and the lines between them. */
function tree(to) {
  const { levels, edges, unit, uncovered } = to.answer.tree;
  const n = levels.length - 1;
  const narrow = to.width < NARROW;
  const dy = Math.max(narrow ? 7 : 8, narrow ? Math.min(36, 210 / n) : Math.min(52, 400 / n));
  const column = unit * to.perLag;
  const top = to.y;
  const x = (c) => rounded(to.right - (c + 0.5) * column);
  const y = (level) => rounded(top + (n - level) * dy);
  const radius = Math.max(1.3, Math.min(6.5, 0.36 * column, 0.27 * dy));
  const shape = { x, y, column, dy, radius };
  const traced = to.selected && to.selected.edges.length > 0;
  to.root.append(clip(to, top - 12, n * dy + 30));
  const lines = svg("g", { "clip-path": "url(#stack-clip)", fill: "none" });
  edges.forEach((flat, i) => lines.append(taps(to, shape, flat, i + 1, "--accent", traced)));
  if (traced) {
    to.selected.edges.forEach((flat, i) => lines.append(taps(to, shape, flat, i + 1, "--second")));
  }
  to.root.append(lines);
  if (column >= CIRCLES && to.newest <= 96) to.root.append(others(to, shape, n));
  levels.forEach((runs, i) => to.root.append(nodes(to, shape, runs, i, "--accent", traced)));
  if (uncovered.length) to.root.append(nodes(to, shape, uncovered, 0, "--gap"));
  if (traced) {
    to.selected.levels.forEach((runs, i) => to.root.append(nodes(to, shape, runs, i, "--second")));
  }
  const output = { d: circle(x(0), y(n), radius + 2.5), fill: to.paint("--second") };
  const label = { x: to.right, y: top - 12, anchor: "end", ink: "--second", weight: 600 };
  to.root.append(svg("path", output), text(to, "output", label));
  layerLabels(to, y, n, dy);
  to.sampleY = y(0);
  to.radius = radius;
  to.y = y(0) + 20;
}

function clip(to, y, height) {
  const room = svg("rect", { x: LEFT - 4, y, width: to.right - LEFT + 14, height });
  return svg("defs", {}, svg("clipPath", { id: "stack-clip" }, room));
}

function taps(to, { x, y }, flat, level, ink, faded = false) {
  const lines = [];
  const [upper, lower] = [y(level), y(level - 1)];
  for (const [from, end] of pairs(flat)) lines.push(`M${x(from)} ${upper}L${x(end)} ${lower}`);
  const above = ink === "--second";
  const dense = Math.max(0.22, Math.min(0.85, 9 / Math.sqrt(lines.length + 1)));
  const opacity = above ? Math.max(0.35, dense) : dense * (faded ? 0.4 : 1);
  const wide = above && lines.length < 100 ? 1.8 : 1.1;
  const stroke = { stroke: to.paint(ink), "stroke-width": wide, "stroke-opacity": opacity };
  return svg("path", { d: lines.join(""), ...stroke });
}

/** Nodes that the output does not depend on, as small dots. */
function others(to, { x, y, radius }, n) {
  const dots = [];
  const small = Math.max(0.8, radius * 0.4);
  for (let level = 1; level <= n; level++) {
    for (let c = 0; c < to.newest; c++) dots.push(circle(x(c), y(level), small));
  }
  return svg("path", { d: dots.join(""), fill: to.paint("--line") });
}

/** A row of nodes as circles, or as bars where there is no room. Gaps are rings, or lie below. */
function nodes(to, { x, y, column, dy, radius }, runs, level, ink, faded = false) {
  const gap = ink === "--gap";
  const shapes = [];
  const half = Math.max(1, Math.min(2.5, 0.16 * dy));
  for (const [first, last] of pairs(runs)) {
    if (column >= CIRCLES) {
      const r = gap ? radius - 0.6 : radius;
      for (let c = first; c <= last; c++) shapes.push(circle(x(c), y(level), r));
    } else if (first === last && !gap) {
      shapes.push(circle(x(first), y(level), half));
    } else {
      const left = to.right - Math.min((last + 1) * column, to.newest * to.perLag);
      const wide = Math.max(1.6, to.right - first * column - left);
      const at = gap ? y(0) + 6 : y(level) - half;
      shapes.push(`M${rounded(left)} ${at}h${rounded(wide)}v${2 * half}h${-rounded(wide)}z`);
    }
  }
  const hollow = gap && column >= CIRCLES;
  const fill = hollow ? to.paint("--card") : to.paint(ink);
  const ring = hollow ? { stroke: to.paint(ink), "stroke-width": 1.8 } : {};
  return svg("path", { d: shapes.join(""), fill, "fill-opacity": faded ? 0.55 : 1, ...ring });
}

function layerLabels(to, y, n, dy) {
  const every = Math.ceil(11 / dy);
  const size = dy < 14 ? 10 : 11.5;
  for (let level = n; level >= 1; level--) {
    if ((level - 1) % every) continue;
    const at = y(level) + dy / 2 + 4;
    const label = to.answer.labels[level - 1];
    to.root.append(text(to, label, { x: LEFT - 12, y: at, size, anchor: "end", ink: "--ink" }));
  }
  to.root.append(text(to, "dilation", { x: LEFT - 12, y: y(n) - 12, anchor: "end" }));
  to.root.append(text(to, "samples", { x: LEFT - 12, y: y(0) + 11, anchor: "end", size: 10 }));
}

/** The axis of a tree of the newest samples alone, and where these lie in the whole field. */
function zoomed(to, newest) {
  to.y += 4;
  axis(to, to.perLag, newest, to.y - 6);
  to.y += 30;
  const [left, end] = [to.right - newest * to.perLag, to.right - newest * to.whole];
  const d = `M${left} ${to.y}L${end} ${to.y + 20}H${to.right}V${to.y}z`;
  to.root.append(svg("path", { d, fill: to.paint("--accent-soft"), "fill-opacity": 0.7 }));
  to.y += 20;
  const window = { x: end, y: to.y, width: to.right - end, height: STRIP + 32 };
  to.root.append(svg("rect", { ...window, fill: to.paint("--accent-soft"), "fill-opacity": 0.7 }));
}

/** The bars of a strip as one shape, from a height in 0 ... 1 for each; the newest is the last. */
function stairs(to, heights, samples, bottom) {
  const parts = [`M${rounded(to.right)} ${bottom}`];
  heights.forEach((height, i) => {
    const [near, far] = [i * samples, Math.min((i + 1) * samples, to.size)];
    // Bars that are wide enough stand apart.
    const apart = samples * to.whole > 8 ? samples * to.whole * 0.14 : 0;
    const y = rounded(bottom - height * STRIP);
    parts.push(`H${rounded(to.right - near * to.whole - apart)}V${y}`);
    parts.push(`H${rounded(to.right - far * to.whole + apart)}V${bottom}`);
  });
  return `${parts.join("")}z`;
}

function caption(to, words, ink = "--quiet") {
  to.root.append(text(to, words, { x: LEFT, y: to.y + 14, ink }));
  to.y += 22;
  to.strips.push(to.y);
}

/** How many paths lead to each sample of the whole field, and below it the gaps. */
function paths(to) {
  const { coverage } = to.answer;
  if (!coverage) {
    caption(to, "paths are not counted: the field is too long");
    to.strips.pop();
    return;
  }
  const { samples, log2_paths, uncovered } = coverage.bars;
  caption(to, `paths to each sample: ${coverage.most_paths} at most`);
  const most = log2_paths.reduce((a, b) => Math.max(a, b === null ? 0 : b), 0);
  const linear = most < MOST_LINEAR_LOG2;
  const height = (p) => (linear ? 2 ** p / 2 ** most : (1 + p) / (1 + most));
  const heights = log2_paths.map((p) => (p === null ? 0 : height(p)));
  const bottom = to.y + STRIP;
  const marks = uncovered.map((count, i) => gapMark(to, count, i, samples, bottom)).join("");
  if (marks) {
    to.root.append(svg("path", { d: marks, fill: to.paint("--gap") }));
    const [missed, all] = [coverage.uncovered, to.size].map((count) => count.toLocaleString("en"));
    const words = `never heard: ${missed} of ${all}`;
    to.root.append(text(to, words, { x: LEFT, y: bottom + 24, ink: "--gap-ink", weight: 600 }));
  }
  const bars = stairs(to, heights, samples, bottom);
  to.root.append(svg("path", { d: bars, fill: to.paint("--accent") }));
  to.y = bottom + (marks ? 32 : 10);
}

/** A mark below a bar in which samples are never heard, the higher the more of them. */
function gapMark(to, count, i, samples, bottom) {
  if (!count) return "";
  const [near, far] = [i * samples, Math.min((i + 1) * samples, to.size)];
  const [left, wide] = [to.right - far * to.whole, Math.max(1, (far - near) * to.whole)];
  const high = rounded(2 + (6 * count) / (far - near));
  return `M${rounded(left)} ${bottom + 3}h${rounded(wide)}v${high}h${-rounded(wide)}z`;
}

/** How much each sample moves predictions, and within how many the parts of it lie. */
function influenceStrip(to) {
  const { shares, samples, extents, moments, source } = to.influence;
  const lags = (i) => Math.min((i + 1) * samples, to.size) - i * samples;
  const means = shares.map((share, i) => share / lags(i));
  const most = Math.max(...means);
  const heights = means.map((mean) => Math.max(0, 1 + Math.log10(mean / most || 1e-99) / DECADES));
  caption(to, `what it really uses, on a logarithmic scale: ${moments} moments of ${source}`);
  const bottom = to.y + STRIP;
  const bars = stairs(to, heights, samples, bottom);
  to.root.append(svg("path", { d: bars, fill: to.paint("--third") }));
  // The furthest on top, so that no line crosses the words of another.
  [...extents].reverse().forEach(({ part, samples: extent, ms }, row) => {
    const x = rounded(to.right - extent * to.whole);
    const line = { x1: x, x2: x, y1: to.y, y2: bottom + 8 + 13 * row };
    to.root.append(svg("line", { ...line, stroke: to.paint("--ink"), "stroke-width": 1.2 }));
    const after = x < to.width / 2;
    const side = after ? { x: x + 5, anchor: "start" } : { x: x - 5, anchor: "end" };
    const place = { ...side, y: bottom + 13 + 13 * row };
    to.root.append(text(to, `${part} within ${ms} ms`, { ...place, ink: "--ink" }));
  });
  to.y = bottom + 18 + 13 * extents.length;
}

/** Lags in samples, and below them in milliseconds. */
function axis(to, scale, count, y) {
  const ruler = { x1: to.right - count * scale, x2: to.right, y1: y + 4, y2: y + 4 };
  to.root.append(svg("line", { ...ruler, stroke: to.paint("--line") }));
  const step = niceStep(count, (count * scale) / 76);
  for (let lag = 0; lag < count; lag += step) {
    const x = rounded(to.right - (lag + 0.5) * scale);
    const tick = { x1: x, x2: x, y1: y + 4, y2: y + 9, stroke: to.paint("--quiet") };
    to.root.append(svg("line", tick));
    // What is at the edge ends there.
    const edge = !lag && scale < 24;
    const anchor = edge ? "end" : "middle";
    const at = edge ? to.right + 4 : x;
    const ms = (1000 * lag) / to.answer.sample_rate;
    const shown = ms.toLocaleString("en", { maximumSignificantDigits: 3 });
    to.root.append(text(to, lag.toLocaleString("en"), { x: at, y: y + 20, anchor }));
    to.root.append(text(to, lag ? `${shown} ms` : "now", { x: at, y: y + 33, anchor }));
  }
  to.root.append(text(to, "lag", { x: 2, y: y + 20 }));
}

function niceStep(count, most) {
  const least = Math.max(1, count / Math.max(2, most));
  const power = 10 ** Math.floor(Math.log10(least));
  const digit = [1, 2, 5, 10].find((d) => d * power >= least);
  return Math.max(1, Math.round(digit * power));
}

/** The selected sample: a ring in the tree and a line through each strip. */
function marker(to) {
  if (!to.selected || to.selected.lag >= to.size) return;
  const { lag, covered } = to.selected;
  const ink = to.paint(covered === false ? "--gap" : "--second");
  const x = rounded(to.right - (lag + 0.5) * to.whole);
  for (const top of to.strips) {
    const line = { x1: x, x2: x, y1: top - 3, y2: top + STRIP + 9, stroke: ink };
    to.root.append(svg("line", { ...line, "stroke-width": 1.6, "stroke-dasharray": "3 2" }));
  }
  if (to.sampleY === undefined || lag >= to.newest) return;
  const at = rounded(to.right - (lag + 0.5) * to.perLag);
  const ring = { d: circle(at, to.sampleY, to.radius + 4), fill: "none", stroke: ink };
  to.root.append(svg("path", { ...ring, "stroke-width": 2.2 }));
}
