// What stands beside the drawing of a stack: its figures, advice, layers, and what it really uses.

import { attempt, element } from "./dom.js";
import { post } from "./api.js";
import { nearest, STOPS } from "./stack_controls.js";

const MOST_ROWS = 64;
const whole = (n) => Number(n).toLocaleString("en");

function bytes(n) {
  return n < 1e4 ? `${whole(n)} bytes` : `${whole(Math.round(n / 1000))} kB`;
}

/** The three figures that matter most, above the drawing. */
export function headline(answer) {
  const { coverage } = answer;
  const uncovered = coverage ? coverage.uncovered : null;
  const tile = (value, unit, kind = "") => element("div", { class: `tile ${kind}` },
    element("dd", {}, value), element("dt", {}, unit));
  let gaps = tile("?", "gaps are not counted");
  if (uncovered === 0) gaps = tile("0", "gaps: every sample is heard");
  else if (uncovered) {
    const where = coverage.gap_count === 1 ? "1 gap" : `${whole(coverage.gap_count)} gaps`;
    gaps = tile(whole(uncovered), `samples never heard, in ${where}`, "gap");
  }
  return [
    tile(whole(answer.receptive_field), "samples of receptive field"),
    tile(`${answer.ms} ms`, `${answer.pitch_periods.toFixed(1)} periods of ${answer.pitch_hz} Hz`),
    gaps,
  ];
}

export function facts(answer) {
  const { coverage, receptive_field: size } = answer;
  const rows = [
    ["Layers", whole(answer.layers.length)],
    ["Parameters", whole(answer.parameters)],
    ["Multiply-adds per sample", whole(answer.macs_per_sample)],
    answer.computed_macs_per_sample
      ? ["Multiply-adds as computed here", whole(answer.computed_macs_per_sample)] : null,
    ["State per stream", bytes(answer.state_bytes)],
    coverage ? ["Samples heard", `${whole(coverage.covered)} of ${whole(size)}`] : null,
    coverage ? ["Paths to one sample", `${coverage.most_paths} at most`] : null,
  ].filter(Boolean);
  return rows.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]);
}

export function advice(answer) {
  return answer.advice.map((line) => element("li", {}, line));
}

/** A description of the drawing for whoever does not see it. */
export function description(answer) {
  const { coverage, schedule } = answer;
  const some = schedule.slice(0, 12).join(", ") + (schedule.length > 12 ? " and so on" : "");
  let gaps = "Gaps are not counted.";
  if (coverage) gaps = coverage.gaps_in_words ? `${coverage.gaps_in_words}.` : "No gaps.";
  return `The tree of taps of ${schedule.length} layers with dilations ${some}, from one output ` +
    `down to ${whole(answer.receptive_field)} samples. ${gaps} Arrow keys move from sample to ` +
    "sample, Page Up and Page Down further, Home to the oldest, End to the newest.";
}

/** The table of layers, with a slider for each dilation; `show(answer)` brings it up to date. */
export function layers(change) {
  const body = element("tbody", {});
  const more = element("p", { class: "hint" });
  let schedule = [];
  let rows = [];

  function row(i) {
    const name = `Dilation of layer ${i + 1}`;
    const number = element("input", {
      type: "number", min: 1, max: 2 ** 20, class: "value", "aria-label": `${name}, as a number`,
      onchange: () => number.value && move(i, number.value),
    });
    const range = element("input", {
      type: "range", min: 0, "aria-label": name,
      oninput: () => {
        number.value = STOPS[range.value];
        move(i, number.value);
      },
    });
    const kernel = element("td", { class: "number" });
    const reach = element("td", { class: "number" });
    const line = element("tr", {}, element("th", { scope: "row" }, i + 1),
      element("td", { class: "slide" }, range), element("td", {}, number), kernel, reach);
    return { line, number, range, kernel, reach };
  }

  function move(i, value) {
    schedule[i] = Number(value);
    list(schedule);
  }

  function list(dilations) {
    const given = { dilations: dilations.join(",") };
    change({ ...given, layers: null, dilation_cycle: null, growth: null });
  }

  const button = (label, onclick) => element("button", { type: "button", onclick }, label);
  const root = element("section", { class: "card layers", "aria-labelledby": "stack-layers" },
    element("h2", { id: "stack-layers" }, "Layers"),
    element("p", { class: "hint" },
      "The first is at the bottom of the drawing. Move a dilation, and see what is heard."),
    element("table", {},
      element("thead", {}, element("tr", {},
        element("th", { scope: "col" }, "#"),
        element("th", { scope: "col", colspan: 2 }, "dilation"),
        element("th", { scope: "col", class: "number" }, "taps"),
        element("th", { scope: "col", class: "number" }, "reach so far"))),
      body),
    more,
    element("p", { class: "row" },
      button("Add a layer", () => list([...schedule, Math.min(2 ** 20, 2 * schedule.at(-1))])),
      button("Remove the last", () => schedule.length > 1 && list(schedule.slice(0, -1)))));

  return {
    root,
    show(answer) {
      schedule = [...answer.schedule];
      const count = Math.min(MOST_ROWS, schedule.length);
      while (rows.length > count) rows.pop().line.remove();
      while (rows.length < count) {
        rows.push(row(rows.length));
        body.append(rows.at(-1).line);
      }
      const longest = nearest(STOPS, 2 * Math.max(16, ...schedule));
      rows.forEach(({ number, range, kernel, reach }, i) => {
        const { dilation, kernel_size: taps, reach: samples } = answer.layers[i];
        if (document.activeElement !== number) number.value = dilation;
        if (document.activeElement !== range) {
          range.max = longest;
          range.value = nearest(STOPS, dilation);
        }
        range.setAttribute("aria-valuetext", `${dilation}`);
        kernel.textContent = taps;
        const ms = ((1000 * samples) / answer.sample_rate).toPrecision(3);
        reach.replaceChildren(whole(samples), element("small", {}, `${Number(ms)} ms`));
      });
      const left = schedule.length - count;
      more.textContent = left > 0 ? `${whole(left)} more layers are not listed.` : "";
    },
  };
}

/** The part for a trained model: a button that measures what it uses of its field. */
export function measuring(getAnswer, found) {
  const on = element("select", { "aria-label": "Recordings to measure on" });
  const say = element("ul", { class: "advice" });
  const button = element("button", { type: "button", onclick: () => attempt(measure) }, "Measure");
  const doing = element("p", { class: "hint", role: "status" });
  const root = element("section", { class: "card", "aria-labelledby": "stack-uses", hidden: true },
    element("h2", { id: "stack-uses" }, "What it really uses"),
    element("p", { class: "hint" },
      "How much each past sample moves the predictions of the trained network, measured on " +
      "recordings. Takes some seconds."),
    element("div", { class: "row" }, on, button), doing, say);

  async function measure() {
    const { start, pitch_hz: pitch, kind } = getAnswer();
    button.disabled = true;
    doing.textContent = "Measuring …";
    try {
      const given = { start, pitch };
      if (kind === "model") given.on = on.value;
      const influence = await post("stack/measure", given);
      found(start, influence);
    } finally {
      button.disabled = false;
      doing.textContent = "";
    }
  }

  return {
    root,
    show(answer, influence) {
      root.hidden = answer.kind === "preset";
      const names = answer.measurable_on;
      if (on.dataset.of !== `${answer.start} ${names}`) {
        on.replaceChildren(...names.map((name) => element("option", { value: name }, name)));
        on.dataset.of = `${answer.start} ${names}`;
      }
      on.hidden = answer.kind !== "model" || !names.length;
      button.hidden = !names.length;
      let lines = influence ? influence.advice : [];
      if (!names.length) {
        const advice = "Choose it again above to take back what was changed of it.";
        lines = [`It is measured as it was trained, on recordings that are there. ${advice}`];
      }
      say.replaceChildren(...lines.map((line) => element("li", {}, line)));
    },
  };
}
