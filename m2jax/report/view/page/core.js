"use strict";
/* What all of the page is made with: elements, numbers in words, parts of the data, and the address.

   Text of runs enters the page as text nodes alone (`el`), never as markup.  A part of the data is a script that calls
   M2.got; M2.load adds its tag.  The address (#/view?name=value) holds everything that is chosen, so a link brings back
   what its sender saw. */

const M2 = { parts: {}, views: {}, runs: [], state: { view: "runs", at: {} } };

M2.WHEN = {
  before: "Before training",
  training: "During training",
  after: "After training",
  watch: "Judge watched",
  talk: "Talk",
};
M2.KIND = { reply: "Reply", consultation: "Consultation", episode: "Whole consultation", watch: "Reply", talk: "Talk" };

/** An element: el("p.hint", {id: "x", onclick: f}, "text", child, null). */
function el(what, given, ...children) {
  const [tag, ...classes] = what.split(".");
  const made = document.createElement(tag || "div");
  if (classes.length) made.className = classes.join(" ");
  for (const [name, value] of Object.entries(given || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (name === "value") made.value = value;
    else made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** An SVG element. */
function svg(tag, given, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(given || {})) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

const minus = (text) => text.replace("-", "−");
/** A share as a score from 0 to 100. */
const of100 = (share) => (share === null || share === undefined ? "–" : minus((100 * share).toFixed(1)));
const signed = (share) => (share === null || share === undefined ? "–" : (share >= 0 ? "+" : "") + of100(share));
const short = (x) => (x === null || x === undefined ? "–" : minus(String(+x.toPrecision(4))));
const plain = (x) => (x === null || x === undefined ? "–" : minus(x.toFixed(3)));
const withSign = (x) => (x > 0 ? "+" : "") + plain(x);
const points = (x) => (x > 0 ? "+" : "") + minus(String(x));
const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1).replace(/[-_]/g, " ");

function duration(seconds) {
  if (seconds < 90) return `${Math.round(seconds)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 90 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, "0")} min`;
}

function debounced(wait, act) {
  let timer = 0;
  return (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => act(...given), wait);
  };
}

/* ---- Parts of the data */

M2.loading = new Map();
M2.got = (name, value) => {
  M2.parts[name] = value;
};

/** The part of a name, loaded once; `fresh`: from anew, for a run that has grown. */
M2.load = (name, fresh = "") => {
  if (!fresh && name in M2.parts) return Promise.resolve(M2.parts[name]);
  const key = name + fresh;
  if (!M2.loading.has(key)) {
    M2.loading.set(
      key,
      new Promise((done, failed) => {
        const tag = el("script", { src: `data/${name}.js${fresh ? `?${fresh}` : ""}` });
        tag.onload = () => {
          tag.remove();
          M2.loading.delete(key);
          done(M2.parts[name]);
        };
        tag.onerror = () => {
          tag.remove();
          M2.loading.delete(key);
          failed(new Error(`data/${name}.js did not load`));
        };
        document.head.append(tag);
      }),
    );
  }
  return M2.loading.get(key);
};

/** A dialogue, whole. */
M2.body = async (row) => {
  const chunk = Math.floor(row.n / M2.size.chunk);
  return (await M2.load(`bodies-${row.run}-${chunk}`))[row.n % M2.size.chunk];
};

/* ---- The address */

M2.read = () => {
  const [path, query = ""] = location.hash.replace(/^#\/?/, "").split("?");
  return { view: Object.hasOwn(M2.views, path) ? path : "runs", at: Object.fromEntries(new URLSearchParams(query)) };
};

M2.link = (view, at) => {
  const kept = Object.entries(at).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const query = new URLSearchParams(kept).toString();
  return `#/${view}${query ? `?${query}` : ""}`;
};

/** Goes on with some values changed; a new entry of the browser's history unless `replace`. */
M2.go = (changes, { view = M2.state.view, replace = false, afresh = false } = {}) => {
  const link = M2.link(view, afresh ? changes : { ...M2.state.at, ...changes });
  if (link === location.hash) return;
  if (replace) history.replaceState(null, "", link);
  else history.pushState(null, "", link);
  M2.state = M2.read();
  M2.show();
};

/** The runs that are looked at: all, or those that the address names. */
M2.chosen = () => {
  const named = (M2.state.at.runs || "").split("|").filter(Boolean);
  return M2.runs.filter((run) => !named.length || named.includes(run.name));
};

/* ---- Small parts that several views have */

M2.select = (label, value, choices, change, given = {}) =>
  el(
    "label.field",
    given,
    el("span", null, label),
    el(
      "select",
      { "aria-label": label, onchange: (e) => change(e.target.value) },
      choices.map(([key, said]) => el("option", { value: key, selected: String(key) === String(value ?? "") }, said)),
    ),
  );

const named = (one) =>
  `${one.tagName} ${one.id || one.getAttribute("aria-label") || (one.closest("label") || one).textContent}`;

/** Does what makes the elements in `root` anew; the focus goes to the one that is called as that which had it. */
M2.keepFocus = (root, act) => {
  const had = document.activeElement;
  const name = root !== had && root.contains(had) && named(had);
  act();
  if (!name) return;
  const all = [...root.querySelectorAll("a, button, input, select, summary, [tabindex]")];
  all.find((one) => named(one) === name)?.focus({ preventScroll: true });
};

M2.heads = (texts) =>
  el(
    "thead",
    null,
    el(
      "tr",
      null,
      texts.map((text) => el("th", { scope: "col" }, text)),
    ),
  );

M2.empty = (text) => el("p.empty", null, text);

/** A bar with its number: share from 0 to 1, with an interval where there is one. */
M2.bar = (label, tone, { score, low, high }) => {
  const at = (share) => `${100 * Math.min(Math.max(share, 0), 1)}%`;
  const fill = el("i");
  fill.style.width = at(score);
  const track = el(`span.track.${tone}`, { "aria-hidden": "true" }, fill);
  if (typeof low === "number" && typeof high === "number") {
    const whisker = el("b");
    whisker.style.left = at(low);
    whisker.style.width = `calc(${at(high)} - ${at(low)})`;
    track.append(whisker);
  }
  return [el("span.label", null, label), track, el("span.num", null, of100(score))];
};

/** Boxes to choose runs with, where there are several; each has the line that stands for it in curves. */
M2.runBoxes = () => {
  if (M2.runs.length < 2) return null;
  const on = new Set(M2.chosen().map((run) => run.name));
  const change = (name) => (e) => {
    if (e.target.checked) on.add(name);
    else on.delete(name);
    M2.go({ runs: on.size === M2.runs.length || !on.size ? "" : [...on].join("|") });
  };
  return el(
    "fieldset.boxes",
    null,
    el("legend", null, "Runs"),
    M2.runs
      .filter((run) => !run.talk)
      .map((run) =>
        el(
          "label",
          null,
          el("input", { type: "checkbox", checked: on.has(run.name), onchange: change(run.name) }),
          M2.sample(run.r),
          run.name,
        ),
      ),
  );
};

/** A short piece of the line of run r: colour and dashes. */
M2.sample = (r) => {
  const line = svg("line", { x1: 1, x2: 27, y1: 5, y2: 5, class: `run run-${r % 6}` });
  return svg("svg", { class: "sample", viewBox: "0 0 28 10", width: 28, height: 10, "aria-hidden": "true" }, line);
};
