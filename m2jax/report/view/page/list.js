"use strict";
/* The list of dialogues: search, filters, and rows of which only those in sight are elements, so that ten thousand
   scroll as a hundred do. */
(() => {
  M2.list = { rows: [], height: 84, spare: 6 };

  /** What stands beside a dialogue: the search, the filters and the list. */
  M2.finder = () => {
    const search = el("input", {
      id: "search",
      type: "search",
      placeholder: "Search all that was said",
      autocomplete: "off",
      spellcheck: "false",
      "aria-label": "Search all that was said, drafts and criteria too",
      "aria-keyshortcuts": "/",
      value: M2.state.at.q || "",
      oninput: debounced(120, () => M2.go({ q: search.value }, { replace: true })),
      onfocus: () => M2.readWords().catch(M2.failed),
    });
    const open = el(
      "details.filters",
      { id: "filters", open: M2.filtersOpen },
      el("summary", null, "Filter"),
      el("div", { id: "filter-fields" }),
    );
    open.addEventListener("toggle", () => {
      M2.filtersOpen = open.open;
    });
    const rows = el(
      "div.rows",
      {
        id: "rows",
        role: "listbox",
        tabindex: "0",
        "aria-label": "Dialogues",
        onscroll: () => requestAnimationFrame(M2.draw),
      },
      el("div.space", { id: "space", role: "presentation" }),
    );
    return el(
      "section.finder",
      { "aria-label": "Find a dialogue" },
      el(
        "div.tools",
        null,
        search,
        M2.select("Sort", M2.state.at.sort || "worst", Object.entries(M2.SORTS), (sort) => M2.go({ sort }), {
          id: "sort",
        }),
      ),
      open,
      el("div.chips", { id: "chips" }),
      el("p.count", { id: "count", role: "status" }),
      rows,
    );
  };

  /** Filters the rows anew and shows the chosen one; renewed: they may say something else, and the list stays where it is. */
  M2.refind = async ({ renewed = false } = {}) => {
    const { at } = M2.state;
    if (M2.terms(at.q).length && !M2.haveWords()) {
      document.getElementById("count").textContent = "Reading all texts …";
      try {
        await M2.readWords();
      } catch (error) {
        M2.failed(error);
        return;
      }
      if (M2.state.view !== "dialogues") return;
    }
    M2.list.rows = M2.find(M2.state.at);
    const n = M2.list.rows.length;
    document.getElementById("count").textContent =
      `${n.toLocaleString("en")} of ${M2.rows.length.toLocaleString("en")} dialogues`;
    document.getElementById("space").style.height = `${n * M2.list.height}px`;
    fields();
    chips();
    if (renewed) document.getElementById("space").replaceChildren();
    if (renewed) M2.draw();
    else M2.reveal();
    const beside = matchMedia("(min-width: 56.01rem)").matches; // there is room for a dialogue: the first, to begin with
    if (n && !M2.state.at.d && beside) M2.go({ d: M2.list.rows[0].key }, { replace: true });
  };

  /** Makes the elements of the rows in sight. */
  M2.draw = () => {
    const rows = document.getElementById("rows");
    const space = document.getElementById("space");
    if (!rows) return;
    const { height, spare } = M2.list;
    const first = Math.max(0, Math.floor(rows.scrollTop / height) - spare);
    const last = Math.min(M2.list.rows.length, Math.ceil((rows.scrollTop + rows.clientHeight) / height) + spare);
    const had = new Map([...space.children].map((child) => [child.dataset.key, child]));
    const made = [];
    for (let i = first; i < last; i++) {
      const row = M2.list.rows[i];
      const item = had.get(row.key) || rowOf(row);
      item.style.top = `${i * height}px`;
      item.setAttribute("aria-posinset", i + 1);
      item.setAttribute("aria-setsize", M2.list.rows.length);
      item.setAttribute("aria-selected", row.key === M2.state.at.d);
      made.push(item);
    }
    space.replaceChildren(...made);
    const chosen = made.find((child) => child.dataset.key === M2.state.at.d);
    if (chosen) rows.setAttribute("aria-activedescendant", chosen.id);
    else rows.removeAttribute("aria-activedescendant");
  };

  /** Scrolls to the chosen row, if it is in the list, and draws. */
  M2.reveal = () => {
    const rows = document.getElementById("rows");
    const at = M2.list.rows.findIndex((row) => row.key === M2.state.at.d);
    if (at >= 0) {
      const top = at * M2.list.height;
      if (top < rows.scrollTop) rows.scrollTop = top;
      else if (top + M2.list.height > rows.scrollTop + rows.clientHeight)
        rows.scrollTop = top + M2.list.height - rows.clientHeight;
    }
    M2.draw();
  };

  /** Chooses the row so many places further. */
  M2.step = (by) => {
    const { rows } = M2.list;
    if (!rows.length) return;
    const at = rows.findIndex((row) => row.key === M2.state.at.d);
    const next = at < 0 ? 0 : Math.min(Math.max(at + by, 0), rows.length - 1);
    M2.go({ d: rows[next].key }, { replace: true });
  };

  function rowOf(row) {
    const when =
      row.when === "training" || row.when === "watch" ? `${M2.WHEN[row.when]}, step ${row.step}` : M2.WHEN[row.when];
    const run = M2.runs.length > 1 ? `${M2.runs[row.run].name} · ` : "";
    const change =
      row.change === null || Math.abs(row.change) < 5e-4
        ? null
        : el(
            `span.change.${row.change > 0 ? "good" : "bad"}`,
            { title: "Score after training less that before" },
            `${row.change > 0 ? "▲" : "▼"} ${of100(Math.abs(row.change))}`,
          );
    return el(
      "div.row",
      {
        role: "option",
        id: `row-${row.run}-${row.n}`,
        "data-key": row.key,
        onclick: () => M2.go({ d: row.key }),
      },
      el("span.score", null, row.score === null ? "–" : of100(row.score)),
      el(
        "span.what",
        null,
        el("b", null, row.topic ? capital(row.topic) : row.id),
        row.kind === "reply" || row.kind === "watch" ? null : ` · ${M2.KIND[row.kind] || row.kind}`,
        change,
      ),
      el(
        "span.where",
        null,
        `${run}${when}${row.role ? ` · ${row.role}` : ""}`,
        row.fault ? el("span.fault", null, ` · ✗ ${row.fault}`) : null,
      ),
      el("span.preview", { dir: "auto" }, row.preview),
    );
  }

  /** The fields of the filters, with the values that there are. */
  function fields() {
    const { at } = M2.state;
    const selects = Object.entries(M2.FILTERS).map(([filter, [label]]) => {
      const values = M2.values(filter);
      if (values.length < 2 && !at[filter]) return null;
      const choices = values.map(([value, n]) => [value, `${M2.said(filter, value)} (${n.toLocaleString("en")})`]);
      return M2.select(label, at[filter], [["", "Any"], ...choices], (value) => M2.go({ [filter]: value }));
    });
    const ranges = Object.entries(M2.RANGES).map(([range, [label]]) =>
      el(
        "fieldset.range",
        null,
        el("legend", null, label),
        ...["from", "to"].map((end) =>
          el("input", {
            type: "number",
            inputmode: "decimal",
            placeholder: end,
            "aria-label": `${label} ${end}`,
            value: at[`${range}-${end}`] || "",
            onchange: (e) => M2.go({ [`${range}-${end}`]: e.target.value }),
          }),
        ),
      ),
    );
    const into = document.getElementById("filter-fields");
    if (!into.contains(document.activeElement)) into.replaceChildren(...selects.filter(Boolean), ...ranges);
  }

  /** What is filtered by, each to be taken away. */
  function chips() {
    const { at } = M2.state;
    const made = Object.entries(M2.FILTERS)
      .filter(([filter]) => at[filter])
      .map(([filter, [label]]) => [`${label}: ${M2.said(filter, at[filter])}`, { [filter]: "" }]);
    for (const [range, [label]] of Object.entries(M2.RANGES)) {
      const [from, to] = [at[`${range}-from`], at[`${range}-to`]];
      if (from || to)
        made.push([`${label}: ${from || "…"} to ${to || "…"}`, { [`${range}-from`]: "", [`${range}-to`]: "" }]);
    }
    document
      .getElementById("chips")
      .replaceChildren(
        ...made.map(([text, without]) =>
          el(
            "button.chip",
            { type: "button", "aria-label": `Remove filter ${text}`, onclick: () => M2.go(without) },
            text,
            el("span", { "aria-hidden": "true" }, " ×"),
          ),
        ),
      );
  }
})();
