"""The clinic: our own patients. Nobody in it is real.

`questions.jsonl` holds hand-written questions with rubrics, one case a line in the form
`m2jax.verifier.rubric.load_cases` reads. A topic belongs to one split as a whole, so that the held-out score speaks
of medicine not trained on. Every criterion is a sentence a clinician can grade alone; its `check` is a fair machine
test of that sentence, and the few criteria without one (tone, clarity) are for the judge. A rubric rewards asking
back, naming red flags, sending the patient to the right place and one correct step of care, and takes points for
diagnosing unseen, changing prescriptions, dismissing and advising what would harm. `SOURCES.md` names the public
guidance behind the facts of each topic.

`conditions/` and `background.toml` hold medicine as data, from which `sample` draws patients, cases and items by seed,
without limit; `README.md` describes them. The data train and test language models; they are no medical advice.
"""
