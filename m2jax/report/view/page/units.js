"use strict";
/* The simulated patient: who she is, and what gate, Affective Unit and Factual Unit decided about a message. */
(() => {
  M2.CLAIM = {
    // a claim's label: is it allowed, and what it means
    talk: [true, "says nothing of the case"],
    supported: [true, "is in the record"],
    contradicted: [false, "the record says otherwise"],
    leak: [false, "was to be kept back"],
    invented: [false, "is in no record"],
    open: [false, "could not be decided"],
  };
  M2.GATE = {
    diagnosis: "the doctor gave a diagnosis and a plan",
    emergency: "the doctor sent the patient to emergency care",
    farewell: "the doctor said goodbye",
    limit: "no more messages were allowed",
    fault: "the doctor's message was at fault",
    room: "there was no room for another message",
    quit: "the person left",
    end: "the input ended",
    interrupt: "the person broke off",
  };
  M2.SOURCE = {
    draft: "the draft was sent as it was",
    rewrite: "the rewrite was sent",
    neutral: "neither would do: a plain answer from the record was sent",
  };

  /** Who is simulated. */
  M2.patient = ({ diagnosis, persona }) => {
    return el(
      "details.case",
      null,
      el("summary", null, "The patient (the doctor is not told)"),
      el(
        "dl",
        null,
        [
          ["Has", diagnosis],
          ["Is", said(persona || {})],
        ]
          .filter(([, value]) => value)
          .map(([name, value]) => [el("dt", null, name), el("dd", null, value)]),
      ),
    );
  };

  /** A persona in a line. */
  function said({ mbti, education, income, age, sex, region }) {
    return [
      age && `${age} age`,
      sex,
      education && `${education} education`,
      income && `${income} income`,
      region,
      mbti && `type ${mbti}`,
    ]
      .filter(Boolean)
      .join(", ");
  }

  /** What gate, Affective Unit and Factual Unit decided about a message. */
  M2.units = (units, terms) => {
    const bad = units.claims.filter((claim) => !(M2.CLAIM[claim.label] || [false])[0]).length;
    const sent = `${units.source === "neutral" ? "a plain answer" : `the ${units.source || "?"}`} was sent`;
    const n = units.claims.length;
    const made = n ? `the draft made ${n} claim${n > 1 ? "s" : ""}` : "";
    const short_ = units.stop
      ? `ends: ${M2.GATE[units.reason] || units.reason}`
      : [sent, made, bad ? `${bad} not allowed` : ""].filter(Boolean).join(", ");
    const rows = [
      ["Gate", units.stop ? `Ends the consultation: ${M2.GATE[units.reason] || units.reason}.` : "Goes on."],
    ];
    if (!units.stop) {
      rows.push([
        "Asked about",
        units.asked.length ? units.asked.map((fact) => el("code", null, fact)) : "nothing in the record",
      ]);
      rows.push(["Draft", draft(units.draft, units.claims, terms)]);
      if (units.rewrite !== null) rows.push(["Rewrite", draft(units.rewrite, units.rewrite_claims, terms)]);
      rows.push(["Sent", capital(M2.SOURCE[units.source] || units.source)]);
    }
    return el(
      "details.units",
      null,
      el("summary", null, "How the patient decided: ", el("span", null, short_)),
      el(
        "dl",
        null,
        rows.map(([name, what]) => [el("dt", null, name), el("dd", null, what)]),
      ),
    );
  };

  function draft(text, claims, terms) {
    return [
      el("p.text", { dir: "auto" }, text ? M2.marked(text, terms) : "(nothing)"),
      claims.length
        ? el(
            "ul.claims",
            null,
            claims.map((claim) => {
              const [good, means] = M2.CLAIM[claim.label] || [false, ""];
              const by =
                claim.by === "model"
                  ? `, by the model${claim.p === null ? "" : ` (${(100 * claim.p).toFixed(0)}%)`}`
                  : "";
              return el(
                "li",
                null,
                el(
                  `b.${good ? "good" : "bad"}`,
                  null,
                  el("span", { "aria-hidden": "true" }, good ? "✓ " : "✗ "),
                  claim.label,
                ),
                ` ${means}${by}${claim.fact ? " · " : ""}`,
                claim.fact ? el("code", null, claim.fact) : null,
                el("q", { dir: "auto" }, claim.text),
              );
            }),
          )
        : null,
    ];
  }
})();
