"""Packed rows against each chat alone, every mesh and micro-batch against one, and whole runs of a tiny model."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import signal
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from ml_collections import ConfigDict

from configs import sft as sft_config
from m2jax import run as training
from m2jax import sharding
from m2jax.data import packing
from m2jax.data.chats import Chat
from m2jax.data.packing import Packed, Segment
from m2jax.metrics import read_metrics
from m2jax.models import attention, decoder, lora, params
from m2jax.models.config import ModelConfig
from m2jax.text.chat import Message, render
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.train import sft, step
from tests.train import tiny_run

CFG = ModelConfig("qwen2", vocab_size=432, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=8)
T, K, N = 128, 64, 8


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.write_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Tokenizer:
    return load_tokenizer(model_folder)


def model(stacked: bool = False) -> params.Params:
    return jax.tree.map(lambda w: 3 * w, params.init(CFG, jax.random.key(0), stacked=stacked))


def make_chats() -> list[Chat]:
    """20 chats of two to four turns, and a group of three that begin alike."""
    words = "fever cough headache days patient take see doctor smoke hours dry three".split()
    rng = np.random.default_rng(0)
    say = lambda: " ".join(rng.choice(words, rng.integers(1, 6)))  # noqa: E731
    chats = []
    for i in range(20):
        roles = ("user", "assistant") * rng.integers(1, 3)
        chats.append(Chat(f"chat-{i}", tuple(Message(r, say(), r == "assistant") for r in roles)))
    for i, answer in enumerate(("Yes", "No", "Yes")):
        ask = Message("user", f"How long has the patient had the headache? Is it item {i}?")
        chats.append(Chat(f"group-{i}", (ask, Message("assistant", answer, True)), group="g"))
    return chats


def make_rows(tokenizer: Tokenizer) -> tuple[list[Segment], Packed]:
    """`make_chats` in N rows, the last of them empty or nearly so."""
    made = packing.segments(tokenizer, make_chats(), T)
    rows = packing.pack([len(s.tokens) for s in made], T)
    assert len(rows) <= N
    rows += [[]] * (N - len(rows))
    share = 1 / sum(packing.trained_tokens(made, row) for row in rows)
    return made, packing.fill(made, rows, (T, K), share, branched=True)


def run_step(tree, batch, micro=1, mesh=None, frozen=None, remat="none"):
    """One SGD update of rate 1: the change of the parameters is minus the gradient."""
    batch = jax.tree.map(lambda x: x.reshape(micro, N // micro, *x.shape[1:]), batch)
    if mesh is not None:
        rows = [(i, j) for i in range(micro) for j in range(N // micro)]
        build = lambda mine: jax.tree.map(lambda x: np.stack([x[i, j] for i, j in mine]), batch)  # noqa: E731
        batch = sharding.place_rows(mesh, rows, N // micro, build)
    train_step = step.make_step(functools.partial(sft.objective, CFG, remat), optax.sgd(1.0))
    state = step.init_state(jax.tree.map(jnp.copy, tree), optax.sgd(1.0))
    state, metrics = train_step(state, frozen, batch, jnp.int32(N))
    return jax.device_get((state.trained, metrics))


def test_packed_rows_equal_each_chat_alone(tokenizer: Tokenizer):
    """Loss and gradients, against plain log-softmax over the whole vocabulary of every chat by itself."""
    _, batch = make_rows(tokenizer)
    rendered = [render(tokenizer, c.messages, add_generation_prompt=False) for c in make_chats()]
    count = sum(int(r.trained.sum()) for r in rendered)
    size = max(len(r.tokens) for r in rendered)  # padding on the right is unseen by what stands before it
    tokens = np.stack([np.pad(r.tokens, (0, size - len(r.tokens))) for r in rendered])
    trained = np.stack([np.pad(r.trained, (0, size - len(r.tokens))) for r in rendered])

    def alone(tree):
        places = jnp.broadcast_to(jnp.arange(size), tokens.shape)
        hidden, _ = decoder.forward(CFG, tree, tokens, places, attention.packed(jnp.ones_like(places)))
        logp = jax.nn.log_softmax(hidden[:, :-1] @ decoder.unembed(tree).T)
        logp = jnp.take_along_axis(logp, tokens[:, 1:, None], axis=-1)[..., 0]
        return -(logp * trained[:, 1:]).sum() / count

    loss, grads = jax.value_and_grad(alone)(model())
    moved, metrics = run_step(model(), batch)
    assert metrics["tokens"] == count
    np.testing.assert_allclose(metrics["loss"], loss, atol=1e-5)
    jax.tree.map(lambda a, w, g: np.testing.assert_allclose(a - w, -g, atol=1e-5), moved, model(), grads)


def test_every_mesh_and_micro_batch_gives_the_single_device_gradients(tokenizer: Tokenizer):
    _, batch = make_rows(tokenizer)
    tree = model(stacked=True)
    want = run_step(tree, batch)
    accumulated = run_step(tree, batch, micro=4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), accumulated, want)
    mesh = sharding.make_mesh((2, 2, 2))
    axes, abstract = params.logical_axes(CFG, stacked=True), params.abstract(CFG, stacked=True)
    layout = sharding.shardings(mesh, axes, abstract, sharding.Rules())
    with jax.set_mesh(mesh):
        got = run_step(jax.device_put(tree, layout), batch, micro=2, mesh=mesh, remat="full")
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, want)


def test_what_the_user_says_last_is_neither_context_nor_target(tokenizer: Tokenizer):
    """A turn after the last of the assistant changes no gradient but by its own absence from the loss."""
    base = (Message("user", "fever three days"), Message("assistant", "see doctor", True))
    moved = []
    for last in ("dry cough", "headache hours"):
        made = packing.segments(tokenizer, [Chat("a", (*base, Message("user", last)))], T)
        batch = packing.fill(made, [[0]] + [[]] * (N - 1), (T, K), 1 / len(made[0].at), branched=False)
        moved.append(run_step(model(), batch))
    jax.tree.map(np.testing.assert_array_equal, *moved)
    said = tokenizer.decode(made[0].targets.tolist())
    assert "see doctor" in said and "fever" not in said


def test_an_adapter_alone_moves(tokenizer: Tokenizer):
    _, batch = make_rows(tokenizer)
    adapter = lora.init(CFG, jax.random.key(1), rank=3, alpha=6.0, stacked=False)
    trained, metrics = run_step(adapter, batch, frozen=model())
    np.testing.assert_allclose(metrics["loss"], run_step(model(), batch)[1]["loss"], atol=1e-6)
    assert min(np.abs(layer["wo_lora"]["b"]).max() for layer in trained) > 0


# --- Whole runs ------------------------------------------------------------------------------------------


def write_chats(file: Path) -> Path:
    """Six chats to learn, and the same held out: whoever learns them by heart is right on both."""
    answers = ("See a doctor.", "Take 500 mg.", "For three days.", "Yes", "A dry cough.", "No")
    with file.open("w") as out:
        for split in ("train", "heldout"):
            for i, answer in enumerate(answers):
                messages = [{"role": "user", "content": f"The patient has {i} headache?"}]
                messages += [{"role": "assistant", "content": answer}]
                row = {"id": f"{split}-{i}", "topic": f"t{i % 2}", "split": split, "messages": messages}
                out.write(json.dumps(row) + "\n")
    return file


VALUES = {
    "steps": 60,
    "data.row_tokens": 64,
    "data.rows_per_step": 2,
    "data.micro_rows": 1,
    "lora.rank": 0,
    "optimizer.lr": 1e-2,
    "optimizer.weight_decay": 0.0,
    "checkpoint.every": 20,
}


def command(model_folder: Path, chats: Path, workdir: Path, **values: object) -> list[str]:
    values = {"model": model_folder, "data.path": chats, **VALUES, **values}
    argv = tiny_run.command(model_folder, chats, workdir)[:2]
    return [
        *argv,
        "--config=configs/sft.py:smoke",
        f"--workdir={workdir}",
        *(f"--config.{key}={value}" for key, value in values.items()),
    ]


def numbers(folder: Path) -> list[dict[str, object]]:
    """The metrics that do not tell of the clock."""
    rows = read_metrics(folder)
    return [{k: v for k, v in row.items() if not k.endswith(("seconds", "tok_s", "compiles"))} for row in rows]


def test_a_few_chats_are_learned_by_heart_also_when_killed_in_between(model_folder: Path, tmp_path: Path):
    chats = write_chats(tmp_path / "chats.jsonl")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    code, output = tiny_run.finish(tiny_run.start(command(model_folder, chats, whole)))
    assert code == 0, output
    summary = json.loads((whole / "summary.json").read_text())
    before, after = summary["before"], summary["after"]
    assert before["loss"] > 2 and after["loss"] < 0.05 * before["loss"]
    assert math.isclose(after["perplexity"], math.exp(after["loss"])) and summary["gain"]["low"] > 0
    assert before["chats"] == 6 and summary["steps"] == 60
    rows = numbers(whole)
    assert rows[0]["update/loss"] == pytest.approx(before["loss"], rel=0.5)
    assert rows[-1]["data/epoch"] == 60 * rows[0]["data/epoch"] > 10
    assert all(0 < row["data/trained"] < 1 and row["update/tokens"] > 4 for row in rows)
    report = (whole / "report.html").read_text()
    assert "Held-out perplexity" in report and "t1" in report and "rubrics" not in report

    argv = command(model_folder, chats, broken)
    process = tiny_run.start(argv)
    code, output = tiny_run.stop_when(process, lambda: len(read_metrics(broken)) >= 25, signal.SIGKILL)
    assert code == -signal.SIGKILL and len(read_metrics(broken)) < 60, output
    code, output = tiny_run.finish(tiny_run.start(argv))
    assert code == 0, output
    assert numbers(broken) == rows
    assert (broken / "eval_after.jsonl").read_bytes() == (whole / "eval_after.jsonl").read_bytes()


def test_a_saved_position_is_gone_on_with(model_folder: Path, tmp_path: Path):
    """An adapter over scanned layers: 2 steps and 2 more are 4."""
    chats = write_chats(tmp_path / "chats.jsonl")
    values = {"lora.rank": 2, "layers": "scanned", "remat": "full", "optimizer.warmup_steps": 100}
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    c = config(model_folder, chats, **values, steps=4)
    for folder, stop in ((whole, 4), (parts, 2), (parts, 4)):
        _run(c, folder, mesh, stop)
    position = lambda folder: json.loads(next(folder.glob("checkpoints/4/loop/*")).read_text())  # noqa: E731
    assert position(whole) == position(parts)
    assert numbers(whole) == numbers(parts) and len(numbers(whole)) == 4
    c.steps = 6  # towards which the rate falls
    with pytest.raises(SystemExit, match="holds a run with other values of steps"):
        _run(c, whole, mesh)


def config(model_folder: Path, chats: Path, **values: object) -> ConfigDict:
    c = sft_config.get_config("smoke")
    c.update_from_flattened_dict({"model": str(model_folder), "data.path": str(chats), **VALUES, **values})
    return c


def _run(c: ConfigDict, folder: Path, mesh: jax.sharding.Mesh, stop: int = 0) -> None:
    """stop: the run ends after so many steps of those that it is to take; 0: after all."""
    with pytest.MonkeyPatch.context() as patch:
        kind = dataclasses.replace(training.KINDS["sft"], steps=lambda parts: stop or parts.steps)
        patch.setitem(training.KINDS, "sft", kind)
        patch.setattr(training.rl, "make_mesh", lambda _: mesh)
        training.run(c, folder)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"stage": "stf"}, "config.stage is 'stf'; it must be one of rl, sft"),
        ({"data.row_tokens": 8}, "config.data.row_tokens is 8"),
        ({"data.rows_per_step": 9}, "config.data.rows_per_step is 9, but the training chats fill only"),
        ({"data.rows_per_step": 3, "data.micro_rows": 2}, "a multiple of config.data.micro_rows 2"),
        ({"data.path": "/no/such.jsonl"}, "/no/such.jsonl"),
        ({"data.path": "", "data.made": "jokes"}, "config.data.made is 'jokes'"),
        ({"data.path": "", "data.made": "items:0"}, "gives items the share '0'"),
        ({"data.path": "", "data.made": "items,consultations", "data.heldout": 1}, "must be at least 2"),
        ({"layers": "folded"}, "config.layers is 'folded'"),
        ({"remat": "some"}, "remat 'some'"),
        ({"epochs": 0.0}, "config.epochs 0.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_value_that_cannot_be_is_named(model_folder: Path, tmp_path: Path, values: dict[str, object], said: str):
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with pytest.raises(SystemExit) as error:
        _run(config(model_folder, write_chats(tmp_path / "c.jsonl"), **values), tmp_path / "run", mesh)
    assert said in str(error.value.code)
    assert not (tmp_path / "run").exists()
