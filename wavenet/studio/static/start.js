// The form that starts a training: on which recordings, from what, for how long.

import { get, post } from "./api.js";
import { attempt, element, field } from "./dom.js";

/** The form. `started` is called with the run that begins. */
export function startForm(started) {
  const folder = element("select", { name: "folder" });
  const begin = element("select", { name: "begin" });
  const purpose = element("span", { class: "hint" });
  const minutes = element("input", {
    type: "number", name: "minutes", value: "10", min: "1", step: "any", inputmode: "decimal",
  });
  const name = element("input", {
    type: "text", name: "name", maxlength: "60", autocomplete: "off", spellcheck: "false",
    placeholder: "chosen for you",
  });
  const error = element("p", { class: "bad", role: "alert" });
  const found = element("p", { class: "hint" });
  const button = element("button", { class: "main", type: "submit" }, "Start training");
  let starts = [];

  function explain() {
    const chosen = starts.find((start) => start.name === begin.value);
    purpose.textContent = chosen ? sentence(chosen.purpose) : "";
  }

  async function load() {
    const choices = await get("trainings");
    starts = choices.starts;
    fill(folder, choices.folders.map((f) => option(f.id, `${f.name} (${files(f.files)})`)));
    fill(begin, [
      group("A trained model, in minutes", starts.filter((start) => start.is_model)),
      group("Nothing, in hours", starts.filter((start) => !start.is_model)),
    ]);
    minutes.max = choices.minutes.most;
    found.textContent = where(choices);
    button.disabled = !choices.folders.length;
    explain();
  }

  async function submit(event) {
    event.preventDefault();
    error.textContent = "";
    button.disabled = true;
    try {
      const minutesGiven = minutes.valueAsNumber;
      const given = { folder: folder.value, begin: begin.value, minutes: minutesGiven };
      const run = await post("trainings", { ...given, name: name.value.trim() });
      name.value = "";
      started(run);
    } catch (e) {
      error.textContent = e.message;
    } finally {
      button.disabled = false;
    }
  }

  begin.addEventListener("change", explain);
  const again = element("button", { type: "button", onclick: () => attempt(load) }, "Look again");
  const form = element("form", { class: "start", onsubmit: submit, novalidate: true },
    field("Recordings", folder),
    element("div", { class: "row found" }, found, again),
    element("div", { class: "field" },
      element("label", { class: "field bare" },
        element("span", { class: "label" }, "Begin from"), begin),
      purpose),
    field("Minutes", minutes),
    field("Name of the run", name, "Letters, digits, - _ and . Leave it empty and it gets one."),
    button,
    error,
    element("p", { class: "hint after" },
      "It goes on when you close this page, and when the studio ends. One at a time."));
  return { form, load };
}

/** Put options into a list, and keep what was chosen. */
function fill(select, options) {
  const before = select.value;
  select.replaceChildren(...options);
  if (before && [...select.options].some((o) => o.value === before)) select.value = before;
}

function option(value, text) {
  return element("option", { value }, text);
}

function group(label, starts) {
  return element("optgroup", { label }, starts.map((start) => option(start.name, start.name)));
}

function files(count) {
  return count === 1 ? "1 file" : `${count.toLocaleString("en")} files`;
}

function sentence(text) {
  return `${text.charAt(0).toUpperCase()}${text.slice(1)}.`;
}

function where({ folders, is_all: isAll, root }) {
  if (!folders.length)
    return `There is no audio in ${root}. Put a folder with WAV, FLAC or MP3 files there.`;
  return isAll ? `Folders in ${root}` : `Some of the folders in ${root}: there are too many for all`;
}
