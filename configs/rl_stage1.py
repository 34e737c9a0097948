"""RL stage 1: rewards by rules (paper section 5), on tasks of the clinic or your own (README: Rules).

    python launch/train.py --config=configs/rl_stage1.py[:preset] [--config.data.path=tasks.jsonl] [--workdir=runs/mine]

Presets and values are those of `configs/rl_stage2.py`, with `tasks` beside them. No judge is asked, and brevity earns
nothing; a reply that comes near the limit of its length loses. `launch/difficulty.py` leaves out tasks that are too
easy or too hard for a model.
"""

from ml_collections import ConfigDict

from configs import rl_stage2


def get_config(preset: str = "") -> ConfigDict:
    """Stage 2's values of the preset, and where the tasks come from."""
    c = rl_stage2.get_config(preset)
    c.tasks = ConfigDict()
    c.tasks.made = ("choice", "diagnosis", "quantity", "instructions")  # where data.path is empty: see data/practice.py
    c.tasks.train = 4000  # of those that are made
    c.eval.cases = 200
    c.reward.unchecked, c.reward.length_scale = "skip", 0.0
    c.reward.overlong = c.sampling.max_tokens // 5  # as DAPO's 4,096 of 20,480
    c.watch.every = 0  # there is no judge
    c.data.refill, c.data.clinic = 2, 0
    if c.preset in ("cpu", "smoke"):
        c.tasks.made = ("choice", "quantity", "instructions")  # SmolLM2-135M names no diagnosis
        c.reward.overlong = 0  # it seldom ends by itself: all it would learn is to
        c.optimizer.lr, c.tasks.train, c.data.max_prompt_tokens = 1e-3, 400, 640
        c.eval.cases, c.data.refill = 4, 0  # a draw of prompts is most of a step there
    if c.preset == "cpu":  # docs/log.md: what fewer prompts, larger steps and the other kinds did to it
        c.tasks.made = ("quantity",)
        c.steps, c.data.prompts_per_step, c.data.samples_per_prompt = 12, 24, 8
        c.sampling.max_tokens, c.sampling.slots = 32, 96
        c.optimizer.lr = 1e-4
        c.eval.cases, c.eval.samples_per_prompt = 100, 1
    return c
