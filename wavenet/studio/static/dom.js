// Elements made in one call, and what the page tells its user.

/**
 * An element with attributes and children. Attributes that begin with "on" are listeners, and
 * true or false sets or leaves out a boolean one. Children are elements or texts; texts are never
 * read as HTML.
 */
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined)
      made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}

/** An SVG element, as `element` makes those of HTML. */
export function svg(tag, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.flat());
  return made;
}

/** A labelled control: the label's text, the control, and a hint below it if there is one. */
export function field(label, control, hint = "") {
  const text = element("span", { class: "label" }, label);
  const below = hint ? element("span", { class: "hint" }, hint) : null;
  return element("label", { class: "field" }, text, control, below);
}

let forget = 0;

/** Tell the user something, in a line at the bottom that a screen reader speaks. */
export function notice(text, kind = "info") {
  const line = document.getElementById("notice");
  line.textContent = text;
  line.dataset.kind = kind;
  clearTimeout(forget);
  forget = setTimeout(() => { line.textContent = ""; }, kind === "error" ? 12000 : 5000);
}

/** Run what a control was asked for, and say what went wrong with it. */
export async function attempt(work) {
  try {
    return await work();
  } catch (error) {
    notice(error.message, "error");
    return undefined;
  }
}

/** Offer bytes or a text as a file. */
export function download(name, parts, type) {
  const address = URL.createObjectURL(new Blob(parts, { type }));
  element("a", { href: address, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}

/** A colour of the stylesheet, such as "--accent", as canvases need it. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** A canvas's context, with as many pixels as the screen has for it; sizes are in CSS pixels. */
export function sharpContext(canvas) {
  const ratio = window.devicePixelRatio || 1;
  const { clientWidth: width, clientHeight: height } = canvas;
  if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
  if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  return { context, width, height };
}

/** Let the address name what a view shows, unless another view has been opened meanwhile. */
export function remember(view, address) {
  if (view.isConnected) history.replaceState(null, "", address);
}
