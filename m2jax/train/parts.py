"""What an RL run is made of: `rl.start` makes it."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import jax
import optax
from ml_collections import ConfigDict

from m2jax.data.tasks import Task
from m2jax.models.config import ModelConfig
from m2jax.models.params import Params
from m2jax.patient.simulate import Units
from m2jax.records.record import Record
from m2jax.rollout.dynamic import Settings
from m2jax.rollout.single_turn import Reward
from m2jax.sampler.engine import Engine
from m2jax.sampler.sampling import Sampling
from m2jax.text.tokenizer import Tokenizer
from m2jax.train import grpo
from m2jax.verifier.grader import Judge, OutsideJudge
from m2jax.verifier.rubric import Case


@dataclasses.dataclass(frozen=True)
class Parts:
    """Everything a run is made of. `frozen` is None where all parameters are trained; the engine's roles are
    "doctor" (the policy) and "start" (the weights the run began from: the yardstick of fluency, and the judge unless
    another is named); "verifier" where config names a model of its own for judge and patient; "judge" where that is an
    endpoint or has an adapter; "patient" (likewise) where there are consultations, which `units` then are for (else
    None). With an adapter both are served over the same parameters, in one batch. dynamic: None where
    there are no dynamic criteria. records: the patients who consult, where they are not the clinic's.
    """

    config: ConfigDict
    cfg: ModelConfig
    mesh: jax.sharding.Mesh
    tokenizer: Tokenizer
    train: list[Case] | list[Task]
    heldout: list[Case] | list[Task]
    engine: Engine
    judge: Judge | OutsideJudge | None
    prompt_size: int
    sampling: Sampling
    grpo: grpo.Grpo
    reward: Reward
    tx: optax.GradientTransformation
    frozen: Params | None
    units: Units | None = None
    dynamic: Settings | None = None
    records: Sequence[Record] = ()
