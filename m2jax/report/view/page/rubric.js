"use strict";
/* Scores by dimension of the rubric, and the criteria that cost most. */
(() => {
  M2.views.rubric = {
    title: "Rubric",
    mount(root) {
      const runs = M2.chosen().filter(
        (run) => !run.talk && Object.keys({ ...run.dimensions.before, ...run.dimensions.after }).length,
      );
      root.append(
        el(
          "div.page",
          null,
          el("h1", null, "Score by rubric dimension"),
          M2.runBoxes(),
          runs.length
            ? [
                el(
                  "p.hint",
                  null,
                  "Of all held-out replies, each dimension from 0 to 100: points earned of its criteria alone, faults that were avoided counted as earned.",
                ),
                el("div.dimensions", null, dimensions(runs)),
                runs.map((run) => [
                  el("h2", null, runs.length > 1 ? `What cost ${run.name} most` : "What cost most"),
                  missed(run),
                ]),
              ]
            : M2.empty("No graded held-out replies were saved."),
        ),
      );
    },
  };

  function dimensions(runs) {
    const names = [
      ...new Set(runs.flatMap((run) => ["before", "after"].flatMap((side) => Object.keys(run.dimensions[side])))),
    ].sort();
    return names.map((name) =>
      el(
        "section",
        null,
        el("h3", null, capital(name)),
        el(
          "div.bars",
          null,
          runs.flatMap((run) =>
            ["before", "after"]
              .filter((side) => name in run.dimensions[side])
              .flatMap((side) =>
                M2.bar(`${runs.length > 1 ? `${run.name}, ` : ""}${runs.length > 1 ? side : capital(side)}`, side, {
                  score: run.dimensions[side][name],
                }),
              ),
          ),
        ),
      ),
    );
  }

  /** The search for a text: what stands between its own quotes, each part in quotes. */
  const quoted = (text) =>
    text
      .toLowerCase()
      .split('"')
      .filter((part) => part.trim())
      .map((part) => `"${part}"`)
      .join(" ");

  function missed(run) {
    if (!run.missed.length) return el("p", null, "No held-out reply lost a point.");
    const after = run.missed.some((row) => row.after[1]);
    const share = ([met, n]) => (n ? `${Math.round((100 * met) / n)}%` : "–");
    const more = ({ points: p, before, after: a }) =>
      before[1] && a[1] ? (a[0] / a[1] - before[0] / before[1]) * Math.sign(p) : 0;
    return el(
      "div.wide",
      { tabindex: "0", role: "region", "aria-label": `Criteria that cost ${run.name} most` },
      el(
        "table.missed",
        null,
        M2.heads(["Criterion", "Points", "Asked", "Met before", after ? "Met after" : null].filter(Boolean)),
        el(
          "tbody",
          null,
          run.missed.map((row) =>
            el(
              "tr",
              null,
              el(
                "th",
                { scope: "row" },
                el(
                  "a",
                  {
                    href: M2.link("dialogues", {
                      run: run.name,
                      q: quoted(row.text),
                    }),
                  },
                  row.text,
                ),
                el("small", null, capital(row.dimension), row.points < 0 ? " · a fault: costs points where met" : ""),
              ),
              el("td.num", null, points(row.points)),
              el("td.num", null, String(row[after ? "after" : "before"][1])),
              el("td.num", null, share(row.before)),
              after
                ? el(
                    `td.num.${more(row) > 0.005 ? "good" : more(row) < -0.005 ? "bad" : ""}`,
                    null,
                    `${share(row.after)}${more(row) > 0.005 ? " ▲" : more(row) < -0.005 ? " ▼" : ""}`,
                  )
                : null,
            ),
          ),
        ),
      ),
    );
  }
})();
