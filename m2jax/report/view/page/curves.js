"use strict";
/* The curves of metrics.jsonl, runs over each other: values faint, their running mean strong. */
(() => {
  const MAIN = {
    // shown first, each with what it is
    "reward/score": "Mean rubric score of the training replies. 1 is the best.",
    "rollout/length": "Mean length of the training replies, in tokens.",
    "rollout/entropy": "How open the choice of the next token was. Near 0: every reply comes out the same.",
    "update/perplexity": "How many next tokens seemed as likely as the true one, in the chats that were learned from.",
    "update/grad_norm": "Size of the gradient. Sudden jumps: training was unstable.",
    "watch/gap": "How far judge and checks have parted on held-out cases. Rising: the judge may be being fooled.",
  };
  const WIDTH = 600,
    HEIGHT = 160,
    MOST = 600;
  const SMOOTH = "3"; // percent of a curve that its mean runs over, to either side

  M2.views.curves = {
    title: "Curves",
    mount(root) {
      const { at } = M2.state;
      const holder = el("div", { id: "curves" }, M2.empty("Reading the curves …"));
      const find = el("input", {
        type: "search",
        id: "search",
        placeholder: "Find a curve",
        "aria-label": "Find a curve by name",
        "aria-keyshortcuts": "/",
        value: at.curve || "",
        oninput: debounced(150, () => {
          M2.go({ curve: find.value }, { replace: true });
        }),
      });
      const smooth = el("input", {
        type: "range",
        min: 0,
        max: 20,
        value: at.smooth ?? SMOOTH,
        "aria-label": "Smoothing, percent of a curve to either side",
        oninput: debounced(60, () => M2.go({ smooth: smooth.value === SMOOTH ? "" : smooth.value }, { replace: true })),
      });
      root.append(
        el(
          "div.page",
          null,
          el("h1", null, "Curves"),
          el("div.tools", null, find, el("label.field", null, el("span", null, "Smoothing"), smooth)),
          M2.runBoxes(),
          el(
            "p.hint",
            null,
            "Point at a curve, or focus it and use the arrow keys, for its values; click, or press Enter, to read that step's dialogues.",
          ),
          holder,
        ),
      );
      load();
    },
    update: draw,
    renew: load,
  };

  /** Draws with the metrics of all runs there, so that one that is chosen later is drawn at once. */
  async function load() {
    try {
      await Promise.all(M2.runs.filter((run) => !run.talk).map((run) => M2.load(`metrics-${run.r}`)));
    } catch (error) {
      M2.failed(error);
      return;
    }
    draw();
  }

  function draw() {
    const holder = document.getElementById("curves"); // gone where another view came while the metrics were on their way
    if (holder) M2.keepFocus(holder, () => drawInto(holder));
  }

  function drawInto(holder) {
    const { at } = M2.state;
    const runs = M2.chosen().filter((run) => !run.talk && M2.parts[`metrics-${run.r}`]);
    const keys = [...new Set(runs.flatMap((run) => Object.keys(M2.parts[`metrics-${run.r}`])))];
    const wanted = (at.curve || "").toLowerCase();
    if (!keys.length) {
      holder.replaceChildren(M2.empty("No training step was recorded yet."));
      return;
    }
    if (wanted) {
      const found = keys.filter((key) => key.toLowerCase().includes(wanted));
      holder.replaceChildren(
        found.length
          ? el(
              "div.curves",
              null,
              found.map((key) => curve(key, runs)),
            )
          : M2.empty(`No curve has “${at.curve}” in its name.`),
      );
      return;
    }
    const groups = new Map();
    for (const key of keys.filter((k) => !(k in MAIN))) {
      const group = key.includes("/") ? key.split("/")[0] : "run";
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push(key);
    }
    const open = new Set([...holder.querySelectorAll("details[open]")].map((one) => one.dataset.group));
    holder.replaceChildren(
      el(
        "div.curves.main",
        null,
        Object.keys(MAIN)
          .filter((key) => keys.includes(key))
          .map((key) => curve(key, runs)),
      ),
      ...[...groups].map(([group, own]) => folded(group, own, runs, open.has(group))),
    );
  }

  /** A group's curves, drawn when it is opened. */
  function folded(group, keys, runs, open) {
    const inside = el("div.curves");
    const made = el(
      "details",
      { "data-group": group, open },
      el("summary", null, `${capital(group)} (${keys.length})`),
      inside,
    );
    const fill = () => {
      if (made.open && !inside.children.length) inside.append(...keys.map((key) => curve(key, runs)));
    };
    made.addEventListener("toggle", fill);
    fill();
    return made;
  }

  function curve(key, runs) {
    const lines = runs
      .map((run) => ({ run, data: M2.parts[`metrics-${run.r}`][key] }))
      .filter((line) => line.data)
      .map((line) => ({ ...line, mean: means(line.data[1]) }));
    const all = lines.flatMap((line) => line.data[1]);
    const steps = lines.flatMap((line) => [line.data[0][0], line.data[0].at(-1)]);
    const box = {
      low: least(all),
      high: -least(all.map((v) => -v)),
      first: Math.min(...steps),
      last: Math.max(...steps),
    };
    const x = (step) => (box.last > box.first ? ((step - box.first) / (box.last - box.first)) * WIDTH : WIDTH / 2);
    const y = (v) => HEIGHT - (box.high > box.low ? (v - box.low) / (box.high - box.low) : 0.5) * HEIGHT;
    const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", "aria-hidden": "true" });
    for (const { run, data, mean } of lines) {
      const smooth = half(data[1].length) > 0;
      if (smooth) chart.append(svg("path", { class: `run run-${run.r % 6} raw`, d: path(data[0], data[1], x, y) }));
      chart.append(svg("path", { class: `run run-${run.r % 6}`, d: path(data[0], mean, x, y) }));
    }
    const said = lines.map(
      ({ run, data }) => `${lines.length > 1 ? `${run.name}: ` : ""}${short(data[1][0])} → ${short(data[1].at(-1))}`,
    );
    const plot = el(
      "div.plot",
      {
        tabindex: "0",
        role: "slider",
        "aria-label": key,
        "aria-valuemin": box.first,
        "aria-valuemax": box.last,
        "aria-valuenow": box.last,
        "aria-valuetext": `steps ${box.first} to ${box.last}: ${said.join("; ")}`,
      },
      chart,
      el("i.cursor", { hidden: true }),
    );
    const told = el(
      "div.told",
      null,
      said.map((text) => el("span", null, text)),
    );
    follow(plot, told, lines, box, said);
    return el(
      "figure",
      null,
      el("figcaption", null, el("b", null, key)),
      el("div.axis.num", null, el("span", null, short(box.high))),
      plot,
      el("div.axis.num", null, el("span", null, short(box.low)), el("span", null, `steps ${box.first} to ${box.last}`)),
      told,
      key in MAIN ? el("p.hint", null, MAIN[key]) : null,
    );
  }

  /** Shows the values at the step that is pointed at, or reached by the arrow keys. */
  function follow(plot, told, lines, box, said) {
    const cursor = plot.querySelector(".cursor");
    let at = null;
    const show = (step) => {
      at = Math.round(Math.min(Math.max(step, box.first), box.last));
      cursor.hidden = false;
      cursor.style.left = `${box.last > box.first ? (100 * (at - box.first)) / (box.last - box.first) : 50}%`;
      told.replaceChildren(
        el("b", null, `step ${at}`),
        ...lines.map(({ run, data, mean }) => {
          const i = nearest(data[0], at);
          const smooth = half(data[1].length) > 0 ? ` (mean ${short(mean[i])})` : "";
          return el(
            "span",
            null,
            lines.length > 1 ? [M2.sample(run.r), `${run.name} `] : null,
            `${short(data[1][i])}${smooth}`,
          );
        }),
      );
      plot.setAttribute("aria-valuenow", at);
      plot.setAttribute("aria-valuetext", [...told.children].map((one) => one.textContent).join("; "));
    };
    const leave = () => {
      at = null;
      cursor.hidden = true;
      told.replaceChildren(...said.map((text) => el("span", null, text)));
    };
    const read = () =>
      at !== null &&
      M2.go(
        { run: lines.length === 1 ? lines[0].run.name : "", "step-from": at, "step-to": at },
        { view: "dialogues", afresh: true },
      );
    plot.addEventListener("pointermove", (e) => {
      const area = plot.getBoundingClientRect();
      show(box.first + ((e.clientX - area.left) / area.width) * (box.last - box.first));
    });
    plot.addEventListener("pointerleave", leave);
    plot.addEventListener("blur", leave);
    plot.addEventListener("click", read);
    plot.addEventListener("keydown", (e) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, PageUp: -10, PageDown: 10 }[e.key];
      if (by) {
        e.preventDefault();
        show(at === null ? (by > 0 ? box.first : box.last) : at + by);
      } else if (e.key === "Home" || e.key === "End") {
        e.preventDefault();
        show(e.key === "Home" ? box.first : box.last);
      } else if (e.key === "Enter") read();
    });
  }

  const half = (n) => Math.floor((n * Number(M2.state.at.smooth ?? SMOOTH)) / 100);
  const least = (values) => values.reduce((a, b) => (b < a ? b : a), Infinity);

  /** Running means: as many values to either side as there are at the ends, at most `half`. */
  function means(values) {
    const wide = half(values.length);
    const sums = [0];
    for (const v of values) sums.push(sums.at(-1) + v);
    return values.map((_, i) => {
      const [from, to] = [Math.max(0, i - wide), Math.min(values.length, i + wide + 1)];
      return (sums[to] - sums[from]) / (to - from);
    });
  }

  /** Of a long curve every so many values are one point, their mean. */
  function path(steps, values, x, y) {
    const stride = Math.ceil(values.length / MOST);
    const at = [];
    for (let i = 0; i < values.length; i += stride) {
      const n = Math.min(stride, values.length - i);
      let [s, v] = [0, 0];
      for (let j = i; j < i + n; j++) {
        s += steps[j];
        v += values[j];
      }
      at.push(`${x(s / n).toFixed(1)} ${y(v / n).toFixed(1)}`);
    }
    return at.length > 1 ? `M${at.join("L")}` : `M${at[0]}h1`;
  }

  function nearest(steps, step) {
    let [low, high] = [0, steps.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (steps[middle] < step) low = middle + 1;
      else high = middle;
    }
    return low > 0 && step - steps[low - 1] < steps[low] - step ? low - 1 : low;
  }
})();
