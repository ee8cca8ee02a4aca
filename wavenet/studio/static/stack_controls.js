// The controls of the stack view. What each setting means and may be is the server's to say.

import { element, field } from "./dom.js";

// What a slider covers; the number beside it takes all that the setting allows.
const USUAL = {
  layers: [1, 60], kernel_size: [2, 8], groups: [1, 16], bottleneck_channels: [0, 128],
  pyramid_window: [2, 1024],
};
// After the last key, until what is typed is drawn.
const TYPING_MS = 350;
// Settings that an explicit list of dilations replaces.
const CYCLE = ["layers", "dilation_cycle", "growth"];
const KINDS = { preset: "Presets", model: "Trained models", run: "Runs" };

// The first sentence of a meaning is shown, and the next with one that is shorter.
const SHORT = 60;

/** What a setting means, in a sentence or two. */
function sentence(meaning) {
  const [first, second] = meaning.replace(/\s+/g, " ").split(/(?<=\.)\s+(?=[A-Z"])/);
  return (first.length < SHORT && second ? `${first} ${second}` : first).replaceAll("`", "");
}

/** Dilations that a slider stops at: each one to 16, then eight to an octave. */
export const STOPS = [...new Set(
  Array.from({ length: 161 }, (_, i) => (i < 32 ? i / 2 + 1 : 2 ** (i / 8))).map(Math.round))]
  .sort((a, b) => a - b);

/** The index of the stop nearest to a value. */
export function nearest(stops, value) {
  let best = 0;
  stops.forEach((stop, i) => {
    if (Math.abs(stop - value) < Math.abs(stops[best] - value)) best = i;
  });
  return best;
}

/** Whether somebody is using a control, which then keeps what it shows. */
const busy = (control) => document.activeElement === control;

/** A setting's value; where the dilations are a list, what that comes to. */
function inForce({ settings, schedule }, name) {
  const listed = { layers: schedule.length, dilation_cycle: Math.max(...schedule) };
  return (settings.dilations && listed[name]) || settings[name];
}

/**
 * The controls: `root` is their element, and `show(answer)` brings them to the server's answer.
 *
 * `change(given)` is called with settings by name; null takes one back to that of the start.
 */
export class Controls {
  constructor(options, change) {
    [this.options, this.about, this.change] = [options, options.settings, change];
    // The latest answer, and what brings each control to one.
    [this.now, this.shown] = [null, []];
    this.root = element("section", { class: "card", "aria-label": "Settings" },
      this.start(),
      this.slider("layers", "Layers"),
      this.slider("dilation_cycle", "Largest dilation", () => this.cycle()),
      this.choice("growth", "Growth"),
      this.slider("kernel_size", "Kernel size"),
      this.typed("dilations", "Dilations", { id: "stack-dilations", placeholder: "4, 4, 4, 4" }),
      this.variants(), this.widths());
  }

  show(answer) {
    this.now = answer;
    for (const bring of this.shown) bring(answer);
  }

  start() {
    const { starts } = this.options;
    const group = ([kind, label]) => {
      const those = starts.filter((start) => start.kind === kind);
      const made = those.map(({ id, name }) => element("option", { value: id }, name));
      return made.length ? element("optgroup", { label }, made) : null;
    };
    const select = element("select", { onchange: () => this.change({ start: select.value }) },
      Object.entries(KINDS).map(group));
    const purpose = element("span", { class: "hint" });
    this.shown.push((answer) => {
      select.value = answer.start;
      purpose.textContent = starts.find((start) => start.id === answer.start)?.about || "";
    });
    return element("label", { class: "field" },
      element("span", { class: "label" }, "Start from"), select, purpose);
  }

  variants() {
    const smooth = element("input", {
      type: "checkbox", onchange: () => this.set("smooth", smooth.checked),
    });
    this.shown.push((answer) => { smooth.checked = answer.settings.smooth; });
    return element("details", {}, element("summary", {}, "Variants"),
      this.choice("layer", "Kind of layer"),
      this.where((now) => now.layer === "bottleneck",
        this.slider("bottleneck_channels", "Bottleneck channels")),
      this.where((now) => now.layer === "dense", this.slider("groups", "Groups")),
      element("label", { class: "field" },
        element("span", { class: "check" }, smooth, "Smooth taps"),
        element("span", { class: "hint" }, sentence(this.about.smooth.meaning))),
      this.choice("context", "Context module"),
      this.where((now) => now.context === "pyramid",
        this.typed("pyramid_dilations", "Pyramid dilations"),
        this.slider("pyramid_window", "Pyramid window")));
  }

  widths() {
    return element("details", {}, element("summary", {}, "Channels, output, sample rate"),
      this.typed("sample_rate", "Sample rate, Hz"),
      this.typed("residual_channels", "Residual channels"),
      this.typed("gate_channels", "Gate channels"),
      this.typed("skip_channels", "Skip channels"),
      this.typed("head_channels", "Head channels"),
      this.choice("output", "Output"),
      this.where((now) => now.output === "mulaw", this.typed("levels", "Levels")),
      this.where((now) => now.output !== "mulaw", this.typed("mixtures", "Mixtures")),
      this.typed("pitch", "Pitch to count periods of, Hz"));
  }

  /** A slider with the number that it stands for. `stops` are its values where not all are. */
  slider(name, label, stops = () => null) {
    const { low = 1, high, unit, meaning } = this.about[name];
    const number = element("input", {
      type: name === "kernel_size" ? "text" : "number", inputmode: "numeric", id: `stack-${name}`,
      min: low, max: high, class: "value", autocomplete: "off",
      onchange: () => number.value && this.set(name, number.value),
    });
    const range = element("input", {
      type: "range", "aria-label": label,
      oninput: () => {
        const values = stops();
        number.value = values ? values[range.value] : range.value;
        range.setAttribute("aria-valuetext", `${number.value} ${unit}`);
        this.set(name, number.value);
      },
    });
    this.shown.push((answer) => {
      const value = inForce(answer, name);
      const first = Array.isArray(value) ? value[0] : value;
      const values = stops();
      if (!busy(number)) number.value = Array.isArray(value) ? value.join(",") : value;
      if (busy(range)) return;
      const [least, most] = values ? [0, values.length - 1] : USUAL[name];
      range.min = least;
      range.max = values ? most : Math.max(most, first);
      range.value = values ? nearest(values, first) : first;
      range.setAttribute("aria-valuetext", `${first} ${unit}`);
    });
    return element("div", { class: "field" },
      element("div", { class: "label" }, element("label", { for: `stack-${name}` }, label), number),
      range, element("span", { class: "hint" }, sentence(meaning)));
  }

  choice(name, label) {
    const { choices, meaning } = this.about[name];
    const select = element("select", { onchange: () => this.set(name, select.value) },
      choices.map((value) => element("option", { value }, value)));
    this.shown.push((answer) => { select.value = answer.settings[name]; });
    return field(label, select, sentence(meaning));
  }

  typed(name, label, attributes = {}) {
    const input = element("input", {
      type: "text", autocomplete: "off", spellcheck: "false", ...attributes,
      onchange: () => this.set(name, input.value),
    });
    // A number or a list that may be whole is drawn while one types.
    let timer = 0;
    input.addEventListener("input", () => {
      clearTimeout(timer);
      const isWhole = /^[\d\s,.]*\d$/.test(input.value);
      if (isWhole) timer = setTimeout(() => this.set(name, input.value), TYPING_MS);
    });
    this.shown.push((answer) => {
      if (busy(input)) return;
      const own = { dilations: answer.schedule, pitch: answer.pitch_hz };
      const value = own[name] ?? answer.settings[name];
      input.value = Array.isArray(value) ? value.join(", ") : value;
    });
    return field(label, input, this.about[name] ? sentence(this.about[name].meaning) : "");
  }

  /** Controls that are there while the settings are so. */
  where(holds, ...children) {
    const part = element("div", {}, ...children);
    this.shown.push((answer) => { part.hidden = !holds(answer.settings); });
    return part;
  }

  /** The dilations that a cycle of the present growth may end with. */
  cycle(growth = this.now?.settings.growth) {
    return this.options.cycles[growth] || this.options.cycles.doubling;
  }

  /** Tell of a setting, and of those that it takes back or does not go with. */
  set(name, value) {
    const given = { [name]: String(value) };
    const { settings } = this.now;
    if (name === "dilations") for (const other of CYCLE) given[other] = null;
    if (CYCLE.includes(name)) given.dilations = null;
    if (name === "growth") {
      const reached = this.cycle(value).filter((dilation) => dilation <= settings.dilation_cycle);
      given.dilation_cycle = String(reached.at(-1));
    }
    if (name === "layer" && value !== "dense" && settings.groups > 1) given.groups = "1";
    if (name === "layer" && value !== "bottleneck" && settings.bottleneck_channels > 0) {
      given.bottleneck_channels = "0";
    }
    this.change(given);
  }
}
