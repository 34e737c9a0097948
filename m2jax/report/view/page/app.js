"use strict";
/* The page as a whole: views, keyboard, light and dark, and a run that goes on. */
(() => {
  const KEYS = [
    ["j, k", "the next dialogue, the one before"],
    ["↓, ↑", "the same, in the list"],
    ["Enter", "from the list into the dialogue"],
    ["Esc", "out of the search, back to the list"],
    ["/", "search"],
    ["b", "before and after side by side, or one alone"],
    ["t", "colour words by log-probability, by advantage, not at all"],
    ["g then r, c, u, d", "runs, curves, rubric, dialogues"],
    ["?", "this list"],
  ];
  const EVERY = 3000; // milliseconds between two questions whether a run has grown
  const VIEWS = ["runs", "curves", "rubric", "dialogues"];
  const main = document.getElementById("main");
  let mounted = null;

  M2.views.dialogues = {
    title: "Dialogues",
    mount(root) {
      root.append(
        el("div.reader", null, M2.finder(), el("article.sheet", { id: "sheet", "aria-labelledby": "sheet-title" })),
      );
      this.had = { ...M2.state.at };
      M2.refind();
      M2.open();
    },
    update() {
      const { at } = M2.state;
      const changed = (names) => names.some((name) => (at[name] || "") !== (this.had[name] || ""));
      const ofSheet = ["d", "with", "by"];
      const others = Object.keys({ ...at, ...this.had }).filter((name) => !ofSheet.includes(name));
      const search = document.getElementById("search");
      if (search !== document.activeElement) search.value = at.q || "";
      if (changed(others)) M2.refind();
      else if (changed(["d"])) M2.reveal();
      if (changed([...ofSheet, "q"])) M2.open();
      this.had = { ...at };
    },
    renew(anew) {
      M2.refind({ renewed: true });
      if (anew) M2.open(); // it may say something else now
    },
  };

  /** Shows what the address asks for. */
  M2.show = () => {
    const view = M2.views[M2.state.view];
    document.title = `${view.title} · m2jax runs`;
    if (M2.state.view === "dialogues") M2.lastRead = { ...M2.state.at };
    nav();
    if (mounted === view && view.update) view.update();
    else if (mounted === view) again(view);
    else {
      main.dataset.view = M2.state.view;
      main.replaceChildren();
      mounted = view;
      view.mount(main);
    }
  };

  /** Mounts the view anew; the focus, what is open and how far it is scrolled stay. */
  function again(view) {
    const top = scrollY;
    const all = () => [...main.querySelectorAll("details")].map((one) => [one.dataset.group, one]);
    const had = new Map(all().map(([name, { open }]) => [name, open]));
    M2.keepFocus(main, () => {
      main.replaceChildren();
      view.mount(main);
      for (const [name, one] of all()) one.open = had.get(name) ?? one.open;
    });
    scrollTo(0, top);
  }

  M2.failed = (error) =>
    main.prepend(
      el(
        "p.failed",
        { role: "alert" },
        `${error.message}. If the page's files were moved, its folder data has to be with them.`,
      ),
    );

  function nav() {
    const keep = M2.state.at.runs ? { runs: M2.state.at.runs } : {};
    const links = document.getElementById("views");
    if (!links.children.length) links.append(...VIEWS.map((name) => el("a", null, M2.views[name].title)));
    VIEWS.forEach((name, i) => {
      links.children[i].href = M2.link(name, name === "dialogues" ? M2.lastRead || {} : keep);
      links.children[i].setAttribute("aria-current", M2.state.view === name ? "page" : "false");
    });
  }

  /* ---- Keyboard */

  let pending = "";
  addEventListener("keydown", (e) => {
    const typing = e.target.closest && e.target.closest("input, select, textarea");
    if (e.ctrlKey || e.metaKey || e.altKey || document.querySelector("dialog[open]")) return;
    if (e.key === "Escape") {
      escape(e.target);
      return;
    }
    if (typing) {
      if (e.target.id === "search" && (e.key === "ArrowDown" || e.key === "Enter") && M2.state.view === "dialogues") {
        e.preventDefault();
        document.getElementById("rows").focus();
        if (!M2.list.rows.some((row) => row.key === M2.state.at.d)) M2.step(1); // what was open is not among what was found
      }
      return;
    }
    const act =
      pending === "g"
        ? { r: () => goTo("runs"), c: () => goTo("curves"), u: () => goTo("rubric"), d: () => goTo("dialogues") }[e.key]
        : actions(e)[e.key];
    pending = e.key === "g" && !pending ? "g" : "";
    if (act) {
      e.preventDefault();
      act();
    }
  });

  function actions(e) {
    const found = {
      "/": () => {
        const search = document.getElementById("search");
        if (search) {
          search.focus();
          search.select();
        }
      },
      "?": help,
    };
    if (M2.state.view !== "dialogues") return found;
    Object.assign(found, { j: () => M2.step(1), k: () => M2.step(-1), b: pair, t: tint });
    if (e.target.id === "rows" || e.target === document.body || e.target === main)
      Object.assign(found, {
        ArrowDown: found.j,
        ArrowUp: found.k,
        PageDown: () => M2.step(10),
        PageUp: () => M2.step(-10),
        Home: () => M2.step(-Infinity),
        End: () => M2.step(Infinity),
        Enter: () => {
          const title = document.getElementById("sheet-title");
          if (title) title.focus();
        },
      });
    return found;
  }

  const goTo = (view) => M2.go(view === "dialogues" ? M2.lastRead || {} : {}, { view, afresh: true });
  const pair = () => M2.go({ with: M2.state.at.with === "one" ? "" : "one" }, { replace: true });
  const tint = () => {
    const order = ["", "logp", "advantage"];
    M2.go({ by: order[(order.indexOf(M2.state.at.by || "") + 1) % 3] }, { replace: true });
  };

  function escape(target) {
    const rows = document.getElementById("rows");
    if (target.id === "search" && target.value) {
      target.value = "";
      target.dispatchEvent(new Event("input"));
    } else if (target.id === "search") target.blur();
    else if (rows && matchMedia("(max-width: 56rem)").matches) M2.go({ d: "" });
    else if (rows) rows.focus();
  }

  function help() {
    const dialog = document.getElementById("keys");
    dialog.replaceChildren(
      el("h2", { id: "keys-title" }, "Keys"),
      el(
        "dl.keys",
        null,
        KEYS.map(([key, what]) => [el("dt", null, el("kbd", null, key)), el("dd", null, what)]),
      ),
      el("form", { method: "dialog" }, el("button", { type: "button", onclick: () => dialog.close() }, "Close")),
    );
    dialog.showModal();
  }

  /* ---- Light and dark */

  function theme(next) {
    const dark = next ? next === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    if (next) document.documentElement.dataset.theme = next;
    const button = document.getElementById("theme");
    button.replaceChildren(
      el("span", { "aria-hidden": "true" }, dark ? "☀" : "☾"),
      el("span.word", null, dark ? " Light" : " Dark"),
    );
    button.onclick = () => {
      const to = dark ? "light" : "dark";
      try {
        localStorage.setItem("m2-theme", to);
      } catch {
        /* a page from a file may have no store */
      }
      theme(to);
    };
  }

  function stored() {
    try {
      return localStorage.getItem("m2-theme") || "";
    } catch {
      return "";
    }
  }

  /* ---- A run that goes on */

  function take(data) {
    M2.size = { page: data.page, chunk: data.chunk, columns: data.columns };
    M2.runs = data.runs.map((run, r) => ({ ...run, r }));
    M2.live = data.live;
  }

  async function grown() {
    try {
      const found = await (await fetch("versions")).json();
      live(true);
      if (String(found) !== String(M2.runs.map((run) => run.version))) await renew();
      else M2.views[M2.state.view].tick?.();
    } catch {
      live(false);
    }
    setTimeout(grown, EVERY);
  }

  /** Reads the runs that have changed from anew: their figures, and the parts that hold the newest dialogues. */
  async function renew() {
    const before = M2.runs;
    const names = (runs) => runs.map((run) => run.name).join();
    take(await M2.load("runs", Date.now()));
    if (names(before) !== names(M2.runs)) {
      location.reload(); // the server has begun again, with other runs
      return;
    }
    const changed = before.filter((run) => String(run.version) !== String(M2.runs[run.r].version));
    for (const old of changed) {
      const [r, now] = [old.r, M2.runs[old.r]];
      for (const part of Object.keys(M2.parts)) {
        const [kind, run, place] = part.split("-").map((x, i) => (i ? Number(x) : x));
        const size = kind === "bodies" ? M2.size.chunk : M2.size.page;
        const stays = kind !== "metrics" && old.version[0] === now.version[0] && (place + 1) * size <= old.n;
        if (run === r && !stays) delete M2.parts[part];
      }
    }
    await M2.readRows();
    const view = M2.views[M2.state.view];
    if (view.renew) await view.renew(changed.some(({ r, version }) => version[0] !== M2.runs[r].version[0]));
    else again(view);
  }

  function live(on) {
    const mark = document.getElementById("live");
    mark.hidden = false;
    mark.className = on ? "live" : "live lost";
    mark.textContent = on ? "● live" : "○ server gone";
  }

  /* ---- The beginning */

  async function begin() {
    theme(stored());
    document.getElementById("help").onclick = help;
    document.getElementById("skip").onclick = (e) => {
      e.preventDefault();
      main.focus();
    };
    try {
      take(await M2.load("runs"));
      await M2.readRows();
    } catch (error) {
      M2.failed(error);
      return;
    }
    addEventListener("popstate", () => {
      M2.state = M2.read();
      M2.show();
    });
    addEventListener("resize", () => {
      if (M2.state.view === "dialogues") M2.draw();
    });
    M2.state = M2.read();
    M2.show();
    M2.ready = true;
    if (M2.live) {
      live(true);
      setTimeout(grown, EVERY);
    }
  }
  begin();
})();
