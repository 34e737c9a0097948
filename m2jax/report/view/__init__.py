"""A web page to read what runs did: their figures, curves, rubrics and dialogues (docs/report.md).

`library` finds the dialogues of run folders, `bodies` gives each one form, `bundle` writes all as scripts that the page
in `page/` loads, and `server` does that while a run goes on. No JAX needed.
"""
