"use strict";
/* What is drawn on a dialogue: words that were searched for, tokens by log-probability or advantage, criteria with their
   verdicts, and what a consultation came to. */
(() => {
  /** A text with the words that are searched for marked. */
  M2.marked = (text, terms) => {
    if (!terms.length) return [text];
    const pattern = new RegExp(`(${terms.map((term) => term.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "gi");
    return text.split(pattern).map((part, i) => (i % 2 ? el("mark", null, part) : part));
  };

  /** The tokens of a message, coloured "logp" or "advantage". */
  M2.tokens = (line, by) => {
    const advantage = line.advantage ?? null;
    const spans = line.pieces.map((piece, i) => {
      const logp = line.logp[i];
      const told =
        logp === null
          ? "not kept"
          : `log-probability ${minus(logp.toFixed(2))}, ${(100 * Math.exp(logp)).toFixed(logp < -4.6 ? 2 : 0)}%`;
      const span = el(
        "span.token",
        { title: advantage === null ? told : `${told}; advantage ${withSign(advantage)}` },
        piece,
      );
      const value = by === "logp" ? logp : advantage;
      if (value !== null) tint(span, by, value);
      return span;
    });
    return el(`p.text.tokens.by-${by}`, { dir: "auto" }, spans);
  };

  function tint(span, by, value) {
    const tone = by === "logp" || value < 0 ? "--unlikely" : "--likely";
    const share = by === "logp" ? Math.min(-value / 6, 1) : Math.min(Math.abs(value) * 2, 1);
    span.style.background = `color-mix(in srgb, var(${tone}) ${Math.round(60 * share)}%, transparent)`;
    if (by === "logp" && value < -3) span.classList.add("rare");
    if (by === "advantage" && value) span.classList.add(value < 0 ? "less" : "more");
  }

  M2.legend = (by) => {
    const steps =
      by === "logp"
        ? [
            [0, "certain"],
            [-1.5, "22%"],
            [-3, "5%"],
            [-6, "0.2%"],
          ]
        : [
            [0.5, "to be said more"],
            [0, "no change"],
            [-0.5, "to be said less"],
          ];
    const said =
      by === "logp"
        ? "How likely the model thought each piece of text. Dotted below: less than 5%."
        : "What training does with the message: said more (line below) or less (wavy line), by how far its reward is from its group's mean.";
    return el(
      "p.legend",
      null,
      steps.map(([value, text]) => {
        const span = el("span.token", null, text);
        tint(span, by, value);
        return span;
      }),
      el("span.hint", null, said),
    );
  };

  /* ---- Criteria */

  /** A table of criteria. sides: [heading, criteria] of each column, where several dialogues stand side by side. */
  M2.criteria = (sides, terms = []) => {
    const rows = new Map();
    sides.forEach(([, criteria], side) => {
      const seen = new Map();
      for (const c of criteria || []) {
        const n = seen.get(c.text) || 0;
        seen.set(c.text, n + 1);
        const key = `${c.text}~${n}`;
        if (!rows.has(key)) rows.set(key, { c, marks: sides.map(() => null) });
        rows.get(key).marks[side] = c;
      }
    });
    if (!rows.size) return null;
    const ordered = [...rows.values()].sort((a, b) => Math.abs(b.c.points) - Math.abs(a.c.points));
    const several = sides.length > 1;
    const head = ["Criterion", "Points", ...sides.map(([heading]) => (several ? heading : "Verdict"))];
    return el(
      "table.criteria",
      null,
      el("caption", null, "✓ as it should be · ✗ costs points"),
      M2.heads(head),
      el(
        "tbody",
        null,
        ordered.map(({ c, marks }) =>
          el(
            "tr",
            null,
            el(
              "th",
              { scope: "row" },
              M2.marked(c.text, terms),
              el(
                "small",
                null,
                capital(c.dimension),
                c.points < 0 ? " · a fault: costs points where met" : "",
                several && new Set(marks.map((m) => m && m.met)).size > 1
                  ? el("span.changed", null, " · differs")
                  : null,
              ),
            ),
            el("td.num.points", null, points(c.points)),
            marks.map(verdict),
          ),
        ),
      ),
    );
  };

  function verdict(c) {
    if (!c) return el("td.mark", null, el("small", null, "not asked"));
    if (c.met === null) return el("td.mark", null, el("span", null, "? undecided"), el("small", null, "has no check"));
    const good = c.met === c.points >= 0;
    const by =
      c.by === "check" || c.by === "rule"
        ? `by ${c.by}`
        : c.by === "failed"
          ? "the judge gave no verdict"
          : `by ${c.by || "judge"}${c.probability === null ? "" : `, ${(100 * c.probability).toFixed(0)}% for met`}`;
    const truth =
      c.by === "check" || c.by === "rule" || c.check === null
        ? null
        : el(
            `small${c.check === c.met ? "" : ".parted"}`,
            null,
            c.check === c.met ? "the check agrees" : `⚠ the check says ${c.check ? "met" : "not met"}`,
          );
    return el(
      "td.mark",
      null,
      el(
        `span.${good ? "good" : "bad"}`,
        null,
        el("span", { "aria-hidden": "true" }, good ? "✓ " : "✗ "),
        c.met ? "met" : "not met",
      ),
      el("small", null, by),
      truth,
    );
  }

  /* ---- What a consultation came to */

  /** What a consultation came to; title(row, rows): what a dialogue is called beside others. */
  M2.outcome = (rows, bodies, title) => {
    const said = {
      share: "Key facts asked for",
      diagnosis: "Diagnosis named",
      safety_net: "Safety net given",
      messages: "Messages of the doctor",
    };
    const shown = (name, value) =>
      value === undefined
        ? "–"
        : name === "share"
          ? `${of100(value)}%`
          : name === "messages"
            ? short(value)
            : value
              ? "✓ yes"
              : "✗ no";
    return el(
      "table.outcome",
      null,
      el("caption", null, "What it came to"),
      rows.length > 1
        ? el(
            "thead",
            null,
            el(
              "tr",
              null,
              el("td"),
              rows.map((r) => el("th", { scope: "col" }, title(r, rows))),
            ),
          )
        : null,
      el(
        "tbody",
        null,
        Object.entries(said).map(([name, label]) =>
          el(
            "tr",
            null,
            el("th", { scope: "row" }, label),
            bodies.map((b) => el("td.num", null, shown(name, b.outcome[name]))),
          ),
        ),
      ),
    );
  };
})();
