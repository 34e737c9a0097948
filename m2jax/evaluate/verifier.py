"""The verifier's evaluation: its parts by name. `launch/eval.py` serves the roles, runs `config.parts` and prints what
they return; `configs/eval_verifier.py` says how much each takes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from m2jax import adapters
from m2jax.evaluate.agreement import agreement, agreement_figures, kappa
from m2jax.evaluate.attacks import attack_figures
from m2jax.evaluate.figures import Figure
from m2jax.evaluate.generated import generator_figures
from m2jax.evaluate.lures import lure_figures
from m2jax.evaluate.physicians import physician_figures
from m2jax.evaluate.roles import against_checks, sampled_replies
from m2jax.evaluate.serving import Telling, serve
from m2jax.patient.simulate import Units
from m2jax.text.tokenizer import Tokenizer
from m2jax.verifier.grader import Judge
from m2jax.weights import names
from m2jax.weights.load import read_config

ROOM = 96  # tokens of a criterion and of what the template puts around the question


@dataclasses.dataclass(frozen=True)
class Served:
    """The roles: an engine, and what the judge and the patient's units are in it."""

    engine: Telling
    tokenizer: Tokenizer
    judge: Judge
    units: Units


@dataclasses.dataclass(frozen=True)
class Part:
    """What a part measures. data: the key of `config.data` that it needs, "" for none; what: what is to be there."""

    figures: Callable[[Served, Any], list[Figure]]
    data: str = ""
    what: str = ""


def serve_roles(config: Any, tell: Callable[[str], None]) -> Served:
    """The model with the adapters that the package has for it; a role without one is played by the model as it is."""
    cfg = read_config(names.resolve(config.model))
    loaded = {}
    for name in adapters.NAMES:
        try:
            loaded[name] = adapters.load_adapter(name, cfg, stacked=False)
        except (FileNotFoundError, ValueError) as error:
            tell(f"{name}: played by {config.model} untrained ({str(error).splitlines()[0]})")
    engine, tokenizer = serve(config.model, loaded, 0.0, config.max_tokens, config.longest, config.slots)
    role = {name: name if name in loaded else "start" for name in adapters.NAMES}
    longest = config.longest - ROOM
    judge = Judge(tokenizer, role["grader"], max_prefix=longest)
    facts = Judge(tokenizer, role["factual"], max_prefix=longest)
    units = Units(tokenizer, role["affective"], role["factual"], facts, max_tokens=config.max_tokens)
    return Served(Telling(engine, tell), tokenizer, judge, units)


def checks(served: Served, config: Any) -> list[Figure]:
    """The grader against machine checks, on what a model wrote to held-out patients; none where the package has no such
    replies (`launch/replies.py` makes them).
    """
    replies = sampled_replies(config.n.checks)
    if not replies:
        return []
    records = against_checks(served.engine, served.tokenizer, served.judge.role, replies)
    measures = (("agreement", agreement, 0.93), ("Cohen's kappa", kappa, 0.8))
    return agreement_figures("grader against checks, a model's replies", records, measures)


PARTS = {
    "checks": Part(checks),
    "physicians": Part(
        lambda served, config: physician_figures(served.engine, served.judge, config.data.k_qa, config.n.physicians),
        "k_qa",
        "a folder with NLI_medical_annotator.csv of github.com/Itaymanes/K-QA",
    ),
    "generator": Part(lambda served, config: generator_figures(config.n.generator)),
    "attacks": Part(lambda served, config: attack_figures(served.engine, served.judge, config.n.attacks)),
    "lures": Part(lambda served, config: lure_figures(served.engine, served.units, config.n.lures)),
}
