"use strict";
/* The runs side by side: what each reached, and in which settings they differ. */
(() => {
  M2.views.runs = {
    title: "Runs",
    mount(root) {
      const runs = M2.chosen().filter((run) => !run.talk);
      root.append(
        el(
          "div.page",
          null,
          el("h1", null, runs.length > 1 ? `${runs.length} runs` : runs.length ? runs[0].name : "Talks"),
          M2.runBoxes(),
          el("div.cards", null, M2.chosen().map(card)),
          runs.length > 1
            ? [el("h2", null, "Side by side"), figures(runs), el("h2", null, "Settings that differ"), differences(runs)]
            : null,
          runs.length ? el("h2", null, "Settings") : null,
          runs.map(settings),
        ),
      );
    },
    /** How long ago a run wrote something. */
    tick() {
      const runs = M2.chosen().filter((run) => !run.talk);
      document.querySelectorAll(".card .status").forEach((one, i) => one.replaceWith(status(runs[i])));
    },
  };

  const isLoss = (run) => typeof (run.summary.after.perplexity ?? run.summary.before.perplexity) === "number";
  const value = (side, key) => (typeof side[key] === "number" ? side[key] : null);

  function card(run) {
    const read = M2.link("dialogues", { run: run.name, sort: "worst" });
    if (run.talk)
      return el(
        "section.card",
        null,
        el("h2", null, run.name),
        el("p", null, "A talk in a terminal."),
        el("p", null, el("a", { href: read }, "Read it")),
      );
    const { before, after } = run.summary;
    const facts = [
      run.model,
      `${run.steps}${run.planned ? ` of ${run.planned}` : ""} steps`,
      run.device,
      run.seconds ? `${duration(run.seconds)} of training` : "",
    ];
    return el(
      "section.card",
      null,
      el("h2", null, M2.sample(run.r), run.name, " ", status(run)),
      el("p.hint", null, facts.filter(Boolean).join(" · ")),
      headline(run),
      bars(before, after),
      gain(run),
      held(run),
      run.notes.length
        ? el(
            "details.notes",
            { open: run.notes.length < 3, "data-group": `notes ${run.name}` },
            el("summary", null, `What is missing or wrong (${run.notes.length})`),
            el(
              "ul",
              null,
              run.notes.map((note) => el("li", null, note)),
            ),
          )
        : null,
      el(
        "p.links",
        null,
        run.n
          ? el("a", { href: read }, `Read its ${run.n.toLocaleString("en")} dialogues, worst first`)
          : "No dialogues were kept.",
        el("a", { href: M2.link("curves", { runs: run.name }) }, "Curves"),
        el("a", { href: M2.link("rubric", { runs: run.name }) }, "Rubric"),
      ),
    );
  }

  function status(run) {
    const ago = M2.live ? Date.now() / 1000 - run.updated : null;
    if (run.done) return el("span.status.good", null, "✓ finished");
    if (ago !== null && ago < 900) return el("span.status.going", null, `● goes on, wrote ${duration(ago)} ago`);
    return el("span.status", null, "○ not finished");
  }

  function headline(run) {
    const { before, after } = run.summary;
    const loss = isLoss(run);
    const sides = [before, after].map((side) => value(side, loss ? "perplexity" : "score"));
    if (sides[0] === null && sides[1] === null) return el("p.headline", null, "No held-out score yet");
    const said = sides.map((x) => (x === null ? "…" : loss ? x.toFixed(2) : of100(x)));
    return el(
      "p.headline",
      null,
      loss ? "Held-out perplexity " : "Held-out score ",
      el("span.num", null, `${said[0]} → ${said[1]}`),
    );
  }

  function bars(before, after) {
    const sides = [
      ["Before", "before", before],
      ["After", "after", after],
    ].filter(([, , side]) => value(side, "score") !== null);
    return sides.length
      ? el(
          "div.bars",
          null,
          sides.map(([label, tone, side]) => M2.bar(label, tone, side)),
        )
      : null;
  }

  function gain(run) {
    const { mean, low, high } = run.summary.gain;
    if (typeof mean !== "number" || isLoss(run)) return null;
    const said =
      low > 0
        ? "The whole interval is above zero: chance in the choice of questions is unlikely to explain it."
        : high < 0
          ? "The whole interval is below zero: the replies got worse."
          : "The interval includes zero: the difference may be chance.";
    return el("p", null, `${signed(mean)} points (95% interval ${signed(low)} to ${signed(high)}). ${said}`);
  }

  function held(run) {
    if (!Object.keys(run.consultations).length) return null;
    const said = { share: "Key facts asked for", diagnosis: "Diagnosis named", safety_net: "Safety net given" };
    return el(
      "table.outcome",
      null,
      el("caption", null, "Consultations with held-out patients"),
      M2.heads(["", "Before", "After", "Gain (95% interval)"]),
      el(
        "tbody",
        null,
        Object.entries(said)
          .filter(([name]) => run.consultations[name])
          .map(([name, label]) => {
            const found = run.consultations[name];
            return el(
              "tr",
              null,
              el("th", { scope: "row" }, label),
              [
                of100(found.before),
                of100(found.after),
                `${signed(found.gain)} (${signed(found.low)} to ${signed(found.high)})`,
              ].map((text) => el("td.num", null, text)),
            );
          }),
      ),
    );
  }

  const MEASURES = [
    ["Held-out score before", (run) => of100(value(run.summary.before, "score"))],
    ["Held-out score after", (run) => of100(value(run.summary.after, "score"))],
    ["Gain, paired by question", (run) => (isLoss(run) ? "–" : interval(run.summary.gain))],
    ["Perplexity before", (run) => short(value(run.summary.before, "perplexity"))],
    ["Perplexity after", (run) => short(value(run.summary.after, "perplexity"))],
    ["Tokens of a reply after", (run) => (isLoss(run) ? "–" : short(value(run.summary.after, "tokens")))],
    ["Distinct three-word runs after", (run) => short(value(run.summary.after, "distinct3"))],
    ["Log-probability under the start model", (run) => short(value(run.summary.after, "base_logp"))],
    ["Steps", (run) => String(run.steps)],
    ["Time of training", (run) => (run.seconds ? duration(run.seconds) : "–")],
  ];

  function interval({ mean, low, high }) {
    return typeof mean === "number" ? `${signed(mean)} (${signed(low)} to ${signed(high)})` : "–";
  }

  function figures(runs) {
    const rows = MEASURES.map(([label, of]) => [label, runs.map(of)]).filter(([, values]) =>
      values.some((text) => text !== "–"),
    );
    return table("figures", runs, rows);
  }

  function differences(runs) {
    const keys = [...new Set(runs.flatMap((run) => Object.keys(run.config)))].filter((key) => key !== "command");
    const rows = keys
      .map((key) => [key, runs.map((run) => run.config[key] ?? "–")])
      .filter(([, values]) => new Set(values).size > 1);
    return rows.length ? table("config", runs, rows) : el("p", null, "None.");
  }

  function table(kind, runs, rows) {
    return el(
      "div.wide",
      { tabindex: "0", role: "region", "aria-label": "Table of runs" },
      el(
        `table.${kind}`,
        null,
        el(
          "thead",
          null,
          el(
            "tr",
            null,
            el("td"),
            runs.map((run) => el("th", { scope: "col" }, M2.sample(run.r), run.name)),
          ),
        ),
        el(
          "tbody",
          null,
          rows.map(([label, values]) =>
            el(
              "tr",
              null,
              el("th", { scope: "row" }, label),
              values.map((text) => el("td.num", null, text)),
            ),
          ),
        ),
      ),
    );
  }

  function settings(run) {
    return el(
      "details",
      { "data-group": `settings ${run.name}` },
      el("summary", null, `All settings of ${run.name}`),
      el(
        "table.config",
        null,
        el(
          "tbody",
          null,
          Object.entries(run.config).map(([key, text]) =>
            el("tr", null, el("th", { scope: "row" }, key), el("td", null, text)),
          ),
        ),
      ),
    );
  }
})();
