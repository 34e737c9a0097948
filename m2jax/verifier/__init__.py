"""The verifier: what a reply is scored against, by whom, and how the scores become a reward.

`rubric` reads cases and their weighted criteria; `checks` decides the criteria that a machine can decide;
`judge_prompt` writes the question for the others, which a model answers with Yes or No; `reward` turns the
verdicts into one number (Baichuan-M2, https://arxiv.org/abs/2509.02208, sections on the rubrics and on RL).
`grader` puts them together and asks the engine; the rest is plain Python and numpy.
"""
