"use strict";
/* One dialogue, or several of the same held-out case side by side. */
(() => {
  M2.opening = 0; // counts dialogues, so that one that loads late does not take another's place

  /** Shows the dialogue that the address names. */
  M2.open = async () => {
    const sheet = document.getElementById("sheet");
    const { at } = M2.state;
    const row = M2.byKey.get(at.d);
    const mine = ++M2.opening;
    sheet.closest(".reader").classList.toggle("open", Boolean(at.d));
    if (!row) {
      sheet.replaceChildren(
        M2.empty(
          at.d
            ? "There is no such dialogue here. Was the link made for other runs?"
            : M2.rows.length
              ? "Choose a dialogue from the list: j and k go down and up."
              : "These runs have kept no dialogues.",
        ),
      );
      return;
    }
    const rows = beside(row, at.with);
    let bodies;
    try {
      bodies = await Promise.all(rows.map(M2.body));
    } catch (error) {
      M2.failed(error);
      return;
    }
    if (mine !== M2.opening || M2.state.view !== "dialogues") return;
    M2.keepFocus(sheet, () => sheet.replaceChildren(...page(row, rows, bodies)));
    sheet.scrollTop = 0;
  };

  /** The rows that stand beside each other: "pair", the same case before and after; "all", in every run; else one. */
  function beside(row, how) {
    if (how === "one" || !row.others.length) return [row];
    const same = how === "all" ? row.others : row.others.filter((other) => other.run === row.run);
    const order = (r) => r.run * 2 + (r.when === "after");
    return same.length > 1 ? [...same].sort((a, b) => order(a) - order(b)) : [row];
  }

  function page(row, rows, bodies) {
    const terms = M2.terms(M2.state.at.q);
    const by = M2.state.at.by || "";
    const body = bodies[rows.indexOf(row)];
    const several = rows.length > 1;
    const shared = several ? common(bodies.map((b) => b.lines)) : body.lines.length;
    const made = [heading(row, body), controls(row, rows, bodies)];
    if (by) made.push(M2.legend(by));
    if (body.about.diagnosis || body.about.persona) made.push(M2.patient(body.about));
    made.push(
      el(
        "div.lines",
        null,
        body.lines.slice(0, shared).map((line, i) => bubble(line, terms, by, several, i, body)),
      ),
    );
    if (several) {
      made.push(
        el(
          "div.columns",
          null,
          rows.map((r, i) =>
            el(
              "section",
              { "aria-label": title(r, rows) },
              el("h3", null, title(r, rows), el("span.num", null, of100(r.score))),
              bodies[i].lines.slice(shared).map((line) => bubble(line, terms, by, true, 0, bodies[i])),
            ),
          ),
        ),
      );
      const sides = rows.map((r, i) => [
        title(r, rows),
        (bodies[i].lines.findLast((line) => line.criteria) || {}).criteria,
      ]);
      const table = M2.criteria(sides, terms);
      if (table) made.push(el("section.graded", null, el("h3", null, "Criteria"), table));
    }
    if (body.ended) made.push(el("p.ended", null, `The consultation ended: ${M2.GATE[body.ended] || body.ended}.`));
    if (Object.keys(body.outcome).length) made.push(M2.outcome(rows, bodies, title));
    return made;
  }

  /** What a dialogue is called beside others. */
  const title = (row, rows) =>
    `${M2.WHEN[row.when] || row.when}${rows.some((other) => other.run !== row.run) ? ` · ${M2.runs[row.run].name}` : ""}`;

  /** How many lines all dialogues begin with. */
  function common(all) {
    const key = (line) => (line ? `${line.who}~${line.text}` : null);
    let n = 0;
    while (n < all[0].length && all.every((lines) => key(lines[n]) === key(all[0][n]) && !lines[n].criteria)) n++;
    return n;
  }

  function heading(row, body) {
    const facts = [
      row.score === null ? null : ["Score", of100(row.score), "of 100 on the rubric"],
      body.lost ? ["Contrast", signed(-body.lost), `taken off: other patients give ${of100(body.shared)} of 100`] : null,
      body.checked === null ? null : ["By checks", of100(body.checked), "of 100, had the checks decided"],
      row.reward === null ? null : ["Reward", plain(row.reward), "what training was paid"],
      row.advantage === null ? null : ["Advantage", withSign(row.advantage), "above or below its group's mean"],
      row.change === null ? null : ["Change", signed(row.change), "after training less before"],
    ].filter(Boolean);
    const where = [
      M2.runs[row.run].name,
      M2.WHEN[row.when] || row.when,
      row.step === null ? null : `step ${row.step}`,
      M2.KIND[row.kind] || row.kind,
      row.role ? `by the ${row.role} model` : null,
      row.split,
      `sample ${row.sample}`,
    ]
      .filter(Boolean)
      .join(" · ");
    return el(
      "header.about",
      null,
      el("h2", { tabindex: "-1", id: "sheet-title" }, row.topic ? capital(row.topic) : row.id),
      el("p.hint", null, where, el("br"), el("code", null, row.id)),
      row.fault ? el("p.bad", null, `✗ Fault of the doctor: ${row.fault}`) : null,
      el(
        "dl.facts",
        null,
        facts.map(([name, value, hint]) => el("div", { title: hint }, el("dt", null, name), el("dd.num", null, value))),
      ),
    );
  }

  function controls(row, rows, bodies) {
    const { at } = M2.state;
    const pair = row.others.filter((other) => other.run === row.run).length > 1;
    const choices = [
      ["one", "This one alone"],
      pair ? ["pair", "Before and after"] : null,
      M2.runs.length > 1 ? ["all", "All runs"] : null,
    ].filter(Boolean);
    const tokens = bodies.some((body) => body.lines.some((line) => line.pieces));
    const advantage = bodies.some((body) => body.lines.some((line) => line.advantage !== undefined));
    const colours = [
      ["", "Nothing"],
      tokens ? ["logp", "Log-probability"] : null,
      tokens && advantage ? ["advantage", "Advantage"] : null,
    ].filter(Boolean);
    const button = (label, act, given = {}) => el("button", { type: "button", onclick: act, ...given }, label);
    const ways = el(
      "div.ways",
      null,
      button("‹ List", () => M2.go({ d: "" }), { class: "back", "aria-keyshortcuts": "Escape" }),
      button("↑", () => M2.step(-1), { "aria-label": "The dialogue before", "aria-keyshortcuts": "k" }),
      button("↓", () => M2.step(1), { "aria-label": "The next dialogue", "aria-keyshortcuts": "j" }),
    );
    return el(
      "div.controls",
      null,
      ways,
      row.others.length && choices.length > 1
        ? M2.select("Show", at.with || (rows.length > 1 ? "pair" : "one"), choices, (value) =>
            M2.go({ with: value }, { replace: true }),
          )
        : null,
      tokens
        ? M2.select("Colour words by", at.by || "", colours, (value) => M2.go({ by: value }, { replace: true }))
        : null,
      bodies.some((body) => body.lines.some((line) => line.units))
        ? button("Open all details", (e) => toggleAll(e.target))
        : null,
      button("Copy link", (e) => copy(e.target)),
    );
  }

  function toggleAll(button) {
    const all = [...document.querySelectorAll("#sheet details")];
    const open = all.some((one) => !one.open);
    all.forEach((one) => {
      one.open = open;
    });
    button.textContent = open ? "Close all details" : "Open all details";
  }

  async function copy(button) {
    try {
      await navigator.clipboard.writeText(location.href);
      button.textContent = "Copied";
    } catch {
      button.textContent = "Copy the address above";
    }
  }

  const NAMES = { patient: ["Patient", "P"], doctor: ["Doctor", "Dr"], system: ["Instruction", "i"] };

  function bubble(line, terms, by, several, i, body) {
    const [name, sign] = NAMES[line.who];
    const silent = line.who === "patient" && !line.text && line.units;
    const text =
      line.pieces && by && (by === "logp" || line.advantage !== undefined)
        ? M2.tokens(line, by)
        : el(
            "p.text",
            { dir: "auto" },
            line.text ? M2.marked(line.text, terms) : silent ? "(ends the consultation)" : "(nothing)",
          );
    const score = line.score === undefined ? "" : `${of100(line.score)} of 100`;
    const paid = line.reward === undefined ? "" : ` · reward ${plain(line.reward)}`;
    const parts = [
      el(
        "p.who",
        null,
        el("span.sign", { "aria-hidden": "true" }, sign),
        name,
        el(
          "span.meta",
          null,
          [
            line.stage,
            line.fault,
            score + paid,
            line.advantage === undefined ? "" : `advantage ${withSign(line.advantage)}`,
          ]
            .filter(Boolean)
            .join(" · "),
        ),
      ),
      text,
    ];
    if (line.units) parts.push(M2.units(line.units, terms));
    if (line.criteria && !several) {
      const single = body.lines.filter((other) => other.criteria).length === 1;
      const good = line.criteria.filter((c) => c.met !== null && c.met === c.points >= 0).length;
      parts.push(
        el(
          "details.rubric",
          { open: single },
          el("summary", null, `Criteria: ${good} of ${line.criteria.length} as they should be`),
          M2.criteria([["", line.criteria]], terms),
        ),
      );
    }
    const made = el(`section.line.${line.who}${silent ? ".silent" : ""}`, { "aria-label": `${name} says` }, parts);
    return body.cut && i === body.cut
      ? el("div", null, el("p.cut", null, "Here the consultation was cut: what follows was not trained on"), made)
      : made;
  }
})();
