// The models there are, and the controls that all views of a model share.

import { get, post } from "./api.js";
import { attempt, element, field, notice } from "./dom.js";
import { recorder } from "./microphone.js";

/** The models that a view can use, for which `suits` is true. */
export async function models(suits) {
  const { models: all } = await get("models");
  return all.filter(suits);
}

/** A choice among models; `chosen` is an id that is looked for first. */
export function modelChoice(all, chosen, onchange) {
  const group = (label, some) => some.length
    ? element("optgroup", { label }, some.map(({ id, name }) =>
      element("option", { value: id, selected: id === chosen }, name)))
    : null;
  const select = element("select", { id: "model", onchange: () => onchange(select.value) },
    group("Your runs", all.filter((model) => !model.comes_with)),
    group("Come with the program", all.filter((model) => model.comes_with)));
  return select;
}

/** What is said of a model below its name. */
export function aboutModel(model) {
  const about = model.about ? `${model.about}. ` : "";
  return `${about}${model.rate.toLocaleString("en")} Hz, hears ${model.hears_ms} ms, ` +
    `step ${model.step.toLocaleString("en")}.`;
}

/** A slider whose value is shown beside its name, and to a screen reader in words. */
export function slider(name, { min, max, step, value, hint, says = String }, onchange) {
  // Not an output: a label would name that in place of the slider.
  const output = element("span", { class: "value" }, says(value));
  const input = element("input", {
    type: "range", min, max, step, value, "aria-valuetext": says(value),
  });
  input.addEventListener("input", () => {
    output.textContent = says(Number(input.value));
    input.setAttribute("aria-valuetext", output.textContent);
  });
  // While it is dragged, often enough to be heard moving.
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(onchange, 60);
  });
  const made = field("", input, hint);
  made.querySelector(".label").replaceChildren(element("span", {}, name), output);
  return { made, input };
}

/** Sliders for how samples are drawn. `values()` are those of messages. */
export function samplingControls(model, onchange) {
  const parts = { temperature: slider("Temperature",
    { min: 0, max: 2, step: 0.01, value: 1, says: (x) => x.toFixed(2),
      hint: "Below 1 calmer, above 1 wilder." }, onchange) };
  if (model.levels) {
    const all = model.levels;
    parts.top_k = slider("Top-k", { min: 1, max: all, step: 1, value: all,
      says: (k) => (k === all ? "all levels" : `${k} of ${all}`),
      hint: "Draw from this many of the likeliest levels." }, onchange);
    parts.top_p = slider("Top-p", { min: 0.05, max: 1, step: 0.01, value: 1,
      says: (p) => (p === 1 ? "all" : `${Math.round(100 * p)} %`),
      hint: "Draw from the fewest levels that hold this probability." }, onchange);
  }
  const reset = element("button", { type: "button", onclick: () => {
    parts.temperature.input.value = 1;
    if (parts.top_k) parts.top_k.input.value = model.levels;
    if (parts.top_p) parts.top_p.input.value = 1;
    for (const { input } of Object.values(parts)) input.dispatchEvent(new Event("input"));
  } }, "As the model is");
  const made = element("div", {}, Object.values(parts).map((part) => part.made), reset);
  const values = () => {
    const given = { temperature: Number(parts.temperature.input.value) };
    if (parts.top_k) {
      const k = Number(parts.top_k.input.value);
      given.top_k = k === model.levels ? 0 : k;
      given.top_p = Number(parts.top_p.input.value);
    }
    return given;
  };
  return { made, values };
}

/** A choice of a label, or null for a model that knows none. */
export function labelChoice(model, onchange) {
  if (!model.labels.length) return null;
  const select = element("select", { onchange }, model.labels.map((label) =>
    element("option", { value: label }, label)));
  return select;
}

/** A seed, and a button for a new one. */
export function seedField() {
  const input = element("input", { type: "number", min: 0, max: 999999, step: 1, value: newSeed(),
    "aria-label": "Seed" });
  const button = element("button", { type: "button", title: "A new seed",
    onclick: () => { input.value = newSeed(); } }, "New");
  const made = element("div", { class: "field" }, element("span", { class: "label" }, "Seed"),
    element("div", { class: "row seed" }, input, button),
    element("span", { class: "hint" }, "The same seed gives the same audio."));
  const value = () => Math.min(Number.MAX_SAFE_INTEGER, Math.max(0, Math.round(input.value) || 0));
  return { made, input, value };
}

export function newSeed() {
  return Math.floor(Math.random() * 1000000);
}

/** Send a file to the studio: {id, name, seconds}. */
export function send(file) {
  return post("uploads", file, { name: file.name });
}

/** The view that a model is for. */
export function viewOf({ follows }) {
  if (follows.includes("mel")) return "vocode";
  return follows.includes("pitch") ? "play" : "listen";
}

/**
 * A recording to be chosen, dropped or recorded. `onready` is given {id, name, seconds} and the
 * file, or null when it is taken away again.
 */
export function recordingField(label, hint, onready, accept = "audio/*,video/*") {
  const file = element("input", { type: "file", accept, "aria-label": label });
  const status = element("span", { class: "hint", "aria-live": "polite" }, hint);
  const record = element("button", { type: "button", "aria-pressed": "false" }, "Record");
  const clear = element("button", { type: "button", hidden: true }, "Remove");
  const made = element("div", { class: "field drop" }, element("span", { class: "label" }, label),
    element("div", { class: "row" }, file, record, clear), status);

  let isWanted = true;
  const take = (chosen) => attempt(async () => {
    status.textContent = `sending ${chosen.name} …`;
    try {
      const about = await send(chosen);
      if (!isWanted) return;
      const length = about.seconds === null ? "" : `, ${about.seconds.toFixed(1)} s`;
      status.textContent = `${about.name}${length}`;
      clear.hidden = false;
      onready(about, chosen);
    } catch (error) {
      status.textContent = hint;
      throw error;
    }
  });
  file.addEventListener("change", () => { if (file.files[0]) take(file.files[0]); });
  made.addEventListener("dragover", (event) => event.preventDefault());
  made.addEventListener("drop", (event) => {
    event.preventDefault();
    if (event.dataTransfer.files[0]) take(event.dataTransfer.files[0]);
  });
  clear.addEventListener("click", () => {
    file.value = "";
    clear.hidden = true;
    status.textContent = hint;
    onready(null, null);
  });
  const stopRecording = recorder(record, take);
  const stop = () => {
    isWanted = false;
    stopRecording();
  };
  return { made, take, stop };
}
