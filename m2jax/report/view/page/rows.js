"use strict";
/* The dialogues as rows: read from the index, joined before with after, filtered, searched and sorted. */
(() => {
  M2.rows = [];
  M2.byKey = new Map();

  M2.SORTS = {
    worst: "Worst first",
    best: "Best first",
    order: "As they were held",
    newest: "Newest first",
    fall: "Got worse most",
    rise: "Got better most",
    advantage: "Lowest advantage",
    longest: "Longest",
  };
  M2.FILTERS = {
    // name in the address: what it is called, and a row's value
    run: ["Run", (row) => M2.runs[row.run].name],
    when: ["When", (row) => row.when],
    kind: ["What", (row) => row.kind],
    topic: ["Topic", (row) => row.topic],
    split: ["Split", (row) => row.split],
    fault: ["Fault", (row) => row.fault],
    ended: ["Ended by", (row) => row.ended],
  };
  M2.RANGES = {
    score: ["Score", (row) => (row.score === null ? null : +(100 * row.score).toFixed(1))], // as it is shown,
    step: ["Step", (row) => row.step],
  };

  M2.said = (filter, value) =>
    filter === "when"
      ? M2.WHEN[value] || value
      : filter === "kind"
        ? M2.KIND[value] || value
        : filter === "run"
          ? value
          : capital(value);

  /** Reads the index of every run. */
  M2.readRows = async () => {
    const { page, columns } = M2.size;
    const pages = M2.runs.flatMap((run) =>
      Array.from({ length: Math.ceil(run.n / page) }, (_, p) => M2.load(`index-${run.r}-${p}`)),
    );
    const loaded = await Promise.all(pages);
    const rows = [];
    let at = 0;
    for (const run of M2.runs) {
      for (let p = 0; p * page < run.n; p++) {
        loaded[at++].forEach((values, i) => {
          const row = { run: run.r, n: p * page + i };
          columns.forEach((name, c) => {
            row[name] = values[c];
          });
          rows.push(row);
        });
      }
    }
    name(rows);
    join(rows);
    M2.rows = rows;
  };

  /** Gives each row the key by which an address names it. */
  function name(rows) {
    M2.byKey = new Map();
    for (const row of rows) {
      const own = [M2.runs[row.run].name, row.when, row.kind, row.step ?? "", row.id, row.sample, row.role].join("~");
      let key = own;
      for (let i = 2; M2.byKey.has(key); i++) key = `${own}~${i}`;
      row.key = key;
      M2.byKey.set(key, row);
    }
  }

  /** Rows of the same held-out case: `others`, and `change`, the score after training less that before in its run. */
  function join(rows) {
    const cases = new Map();
    for (const row of rows) {
      row.change = null;
      row.others = [];
      if (row.when !== "before" && row.when !== "after") continue;
      const key = `${row.kind}~${row.id}~${row.sample}`;
      if (!cases.has(key)) cases.set(key, []);
      cases.get(key).push(row);
    }
    for (const same of cases.values()) {
      for (const row of same) {
        row.others = same.length > 1 ? same : [];
        const other = same.find((o) => o.run === row.run && o.when !== row.when);
        if (other && row.score !== null && other.score !== null) {
          row.change = (row.when === "after" ? 1 : -1) * (row.score - other.score);
        }
      }
    }
  }

  /** Loads the text of all dialogues, for a search. */
  M2.readWords = async () => {
    const { page } = M2.size;
    await Promise.all(
      M2.runs.flatMap((run) =>
        Array.from({ length: Math.ceil(run.n / page) }, (_, p) => M2.load(`words-${run.r}-${p}`)),
      ),
    );
  };

  M2.haveWords = () =>
    M2.runs.every((run) =>
      Array.from({ length: Math.ceil(run.n / M2.size.page) }).every((_, p) => `words-${run.r}-${p}` in M2.parts),
    );

  /** The words that a search wants, all of them; "between quotes" is one. */
  M2.terms = (query) => {
    const found = (query || "").toLowerCase().match(/"[^"]+"|\S+/g) || [];
    return found.map((term) => term.replaceAll('"', "")).filter(Boolean);
  };

  const words = (row) => {
    const part = M2.parts[`words-${row.run}-${Math.floor(row.n / M2.size.page)}`];
    return (part && part[row.n % M2.size.page]) || "";
  };

  /** The rows that the address asks for, in its order. */
  M2.find = (at) => {
    const tests = [];
    for (const [filter, [, of]] of Object.entries(M2.FILTERS)) {
      if (at[filter]) tests.push((row) => of(row) === at[filter]);
    }
    for (const [range, [, of]] of Object.entries(M2.RANGES)) {
      const [low, high] = [at[`${range}-from`], at[`${range}-to`]].map((v) => (v ? Number(v) : null));
      if (low !== null && !Number.isNaN(low)) tests.push((row) => of(row) !== null && of(row) >= low);
      if (high !== null && !Number.isNaN(high)) tests.push((row) => of(row) !== null && of(row) <= high);
    }
    const terms = M2.terms(at.q);
    if (terms.length)
      tests.push((row) => {
        const text = words(row);
        return terms.every((term) => text.includes(term));
      });
    return sorted(
      M2.rows.filter((row) => tests.every((test) => test(row))),
      at.sort || "worst",
    );
  };

  function sorted(rows, how) {
    const by =
      {
        worst: (row) => row.score,
        best: (row) => neg(row.score),
        order: (row) => 0,
        newest: (row) => neg(time(row)),
        fall: (row) => row.change,
        rise: (row) => neg(row.change),
        advantage: (row) => row.advantage,
        longest: (row) => -row.lines,
      }[how] || ((row) => row.score);
    const place = (row) => {
      const value = by(row);
      return value === null || value === undefined ? Infinity : value;
    };
    const keyed = rows.map((row) => [place(row), row]);
    keyed.sort((a, b) => (a[0] === b[0] ? a[1].run - b[1].run || a[1].n - b[1].n : a[0] - b[0]));
    return keyed.map(([, row]) => row);
  }

  const neg = (x) => (x === null || x === undefined ? null : -x);
  const time = (row) => (row.when === "after" ? 1e9 : row.when === "before" ? -1 : row.step);

  /** The values that a filter has among all rows, the most frequent first: [value, how many]. */
  M2.values = (filter) => {
    const counts = new Map();
    for (const row of M2.rows) {
      const value = M2.FILTERS[filter][1](row);
      if (value) counts.set(value, (counts.get(value) || 0) + 1);
    }
    return [...counts].sort((a, b) => b[1] - a[1]);
  };
})();
