"""A whole run in miniature: a two-layer random model with a real tokenizer and chat template, a few cases, a short
config, and the command that trains it.

The model speaks noise. Its cases therefore pay for what noise has sometimes (a vowel pair, a digit), so that groups
differ and there is something to learn, and one criterion of each has no check, so that the judge is asked too.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from configs import rl_stage2
from m2jax import sharding
from m2jax.metrics import read_metrics
from m2jax.models.config import ModelConfig
from m2jax.models.params import table
from m2jax.train import rl
from m2jax.weights.layout import stored_shape
from tests.conftest import DEVICES_FLAG, REPOSITORY
from tests.text.fixtures.tiny_tokenizers import CONTROLS, SENTENCES
from tests.text.fixtures.tiny_tokenizers import write_folder as write_tokenizer
from tests.weights.tiny_model import write_folder as write_weights

VOCAB = 432
CFG = ModelConfig(
    "qwen2", vocab_size=VOCAB, d_model=32, d_mlp=64, n_layers=2, n_heads=4, n_kv_heads=2, d_head=8, rope_theta=1e4
)  # fmt: skip
VALUES = {
    "data.prompts_per_step": 2,
    "data.samples_per_prompt": 4,
    "data.max_prompt_tokens": 64,
    "sampling.max_tokens": 8,
    "sampling.temperature": 1.0,
    "lora.rank": 0,
    "lora.alpha": 16.0,
    "optimizer.lr": 3e-3,
    "optimizer.warmup_steps": 1,
    "eval.cases": 2,
}
PAYS = {"two vowels in a row": "[aeiou]{2}", "a digit": "[0-9]", "a letter t": "t", "a letter s": "s"}
SECONDS = 300  # more than a command may take, on a busy machine too; a hung one fails then


def write_model(folder: Path, seed: int = 0) -> Path:
    """A model folder: random weights of `CFG`, a byte-level BPE in which Yes and No are tokens, a ChatML template."""
    rng = np.random.default_rng(seed)
    weights = {}
    for row in table(CFG):
        for i in range(CFG.n_layers) if row.in_layer else (None,):
            # wide enough that the next token is neither certain nor all the same for every context
            values = {"normal": lambda s: 0.3 * rng.standard_normal(s), "ones": np.ones, "zeros": np.zeros}[row.init]
            weights[row.hf.format(i)] = values(stored_shape(row)).astype(np.float32)
    write_weights(folder, CFG, weights)
    return write_tokenizer(folder, _tokenizer())


def write_cases(file: Path) -> Path:
    """Three cases to train on and two held out."""
    with file.open("w") as out:
        for i, split in enumerate(("train", "train", "train", "heldout", "heldout")):
            rubric = [
                {"text": f"Has {text}.", "points": points, "dimension": "form", "check": {"pattern": pattern}}
                for points, (text, pattern) in enumerate(PAYS.items(), start=1)
            ]
            rubric += [{"text": "Asks about smoking.", "points": 3, "dimension": "inquiry"}]
            rubric += [{"text": "Has a comma.", "points": -2, "dimension": "form", "check": {"pattern": ","}}]
            question = " ".join(["How long has the patient had the headache?", "And the fever?"][: 1 + i % 2])
            case = {"id": f"case-{i}", "topic": "headache", "split": split, "question": question, "rubric": rubric}
            out.write(json.dumps(case) + "\n")
    return file


def write_all(folder: Path) -> tuple[Path, Path]:
    """(model folder, cases file), written under `folder`."""
    return write_model(folder / "model"), write_cases(folder / "cases.jsonl")


def config(model: Path, cases: Path, /, **values: object) -> ConfigDict:
    """The smoke preset with the tiny model and `VALUES`; `values` are dotted keys that come on top."""
    c = rl_stage2.get_config("smoke")
    c.update_from_flattened_dict({"model": str(model), "data.path": str(cases), **VALUES, **values})
    return c


def command(model: Path, cases: Path, workdir: Path, /, **values: object) -> list[str]:
    """The same as `config`, as the command a user gives."""
    values = {"model": model, "data.path": cases, **VALUES, **values}
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    return [sys.executable, "launch/train.py", "--config=configs/rl_stage2.py:smoke", f"--workdir={workdir}", *flags]


def start(argv: list[str]) -> subprocess.Popen[str]:
    """A command begun in the repository's root, on one CPU device, its output in one pipe."""
    environment = os.environ | {"JAX_PLATFORMS": "cpu"}
    environment["XLA_FLAGS"] = " ".join(f for f in environment["XLA_FLAGS"].split() if DEVICES_FLAG not in f)
    return subprocess.Popen(
        argv, cwd=REPOSITORY, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit code, output) of a command; it is killed where it hangs."""
    try:
        output, _ = process.communicate(timeout=SECONDS)
    except BaseException:
        process.kill()
        process.communicate()
        raise
    return process.returncode, output


def stop_at(process: subprocess.Popen[str], workdir: Path, steps: int, how: signal.Signals) -> tuple[int, str]:
    """Sends the signal as soon as metrics.jsonl has `steps` lines; (exit code, output)."""
    return stop_when(process, lambda: len(read_metrics(workdir)) >= steps, how)


def stop_when(process: subprocess.Popen[str], ready: Callable[[], bool], how: signal.Signals) -> tuple[int, str]:
    """Sends the signal as soon as it is `ready`; (exit code, output)."""
    until = time.monotonic() + SECONDS
    while process.poll() is None and not ready() and time.monotonic() < until:
        time.sleep(0.002)
    if process.poll() is None:
        process.send_signal(how)
    return finish(process)


@contextlib.contextmanager
def one_device(monkeypatch: pytest.MonkeyPatch):
    """Runs in this process see the first device only."""
    with monkeypatch.context() as patch:
        patch.setattr(rl, "make_mesh", lambda _: sharding.make_mesh((1, 1, 1), jax.devices()[:1]))
        yield


def _tokenizer() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCAB,
        special_tokens=list(CONTROLS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    prompts = (REPOSITORY / "m2jax" / "verifier" / "prompts").glob("*.txt")
    texts = [*SENTENCES, *(file.read_text() for file in sorted(prompts)), *["Yes", "No"] * 20]
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer
