"""The patient simulator (arXiv 2509.02208, section 1): a record and a persona that answer a doctor, turn by turn.

    words.py       text to stems with their polarity, and numbers: what facts and replies are compared by
    persona.py     who speaks: MBTI, education, income, age, sex, region, and the behaviour that follows
    script.py      record + persona
    disclosed.py   which facts a doctor's message asks for
    reference.py   replies straight from the facts: the neutral reply, and the scripted patient
    gate.py        Termination Gate: a regression over words and `gate_words`, fitted by `data.stops`
    affective.py   Affective Unit: drafts in persona
    claims.py      a draft as claims, judged by rules
    factual.py     Factual Unit: judges, rewrites once, falls back to the neutral reply
    interruption.py  a question of hers that the doctor alone sees
    simulate.py    a patient's turn, and whole consultations
    terminal.py    a person in a terminal as the doctor, or as the patient of a model
    shown.py       what that person is shown

Prompts are text files in `prompts/`. Units and `simulate` ask the engine; the other files are host code without JAX.
"""
