"""Each kind's loss against a dense reference, on every mesh, for all parameters and for an adapter; and whole runs of a
tiny model.
"""

from __future__ import annotations

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

from configs import midtrain as midtrain_config
from m2jax import run as training
from m2jax import sharding
from m2jax.data import documents, packing
from m2jax.data.documents import KINDS, Document, Part
from m2jax.metrics import read_metrics
from m2jax.models import attention, decoder, logprobs, lora, params
from m2jax.models.config import ModelConfig
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.train import midtrain, step
from tests.train import tiny_run
from tests.train.test_sft import numbers

CFG = ModelConfig("qwen2", vocab_size=432, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=8)
T, N = 64, 8
WEIGHTS = (1.0, 0.5, 2.0, 3.0)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_run.write_model(tmp_path_factory.mktemp("tiny") / "model")


@pytest.fixture(scope="module")
def tokenizer(model_folder: Path) -> Tokenizer:
    return load_tokenizer(model_folder)


@pytest.fixture(autouse=True)
def several_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logprobs, "BLOCK", 60)


def model(stacked: bool = True) -> params.Params:
    return jax.tree.map(lambda w: 3 * w, params.init(CFG, jax.random.key(0), stacked=stacked))


def other(tree: params.Params) -> params.Params:
    """A start model from which `tree` has moved away."""
    keys = jax.random.split(jax.random.key(7), len(jax.tree.leaves(tree)))
    keys = jax.tree.unflatten(jax.tree.structure(tree), list(keys))
    return jax.tree.map(lambda w, key: w + 0.05 * jax.random.normal(key, w.shape), tree, keys)


def adapter(stacked: bool = True) -> params.Params:
    """One that is not at its start: both matrices have values."""
    made = lora.init(CFG, jax.random.key(1), rank=3, alpha=6.0, stacked=stacked)
    keys = jax.tree.unflatten(
        jax.tree.structure(made), list(jax.random.split(jax.random.key(2), len(jax.tree.leaves(made))))
    )
    return jax.tree.map(lambda w, key: w + 0.1 * jax.random.normal(key, w.shape), made, keys)


def make_documents() -> list[Document]:
    words = "fever cough headache days patient take see doctor smoke hours dry three".split()
    rng = np.random.default_rng(0)
    say = lambda most: " ".join(rng.choice(words, rng.integers(2, most)))  # noqa: E731
    made = []
    for i in range(12):
        kind = KINDS[i % 4]
        parts = [Part(say(12))]
        if kind == "reasoning":
            parts = [Part(say(6)), Part(say(5), note=True), Part(say(4)), Part(say(4), note=True), Part(say(3))]
        made.append(Document(f"document-{i}", kind, tuple(parts)))
    return made


def make_rows(tokenizer: Tokenizer) -> midtrain.Mixed:
    """`make_documents` in N rows of all kinds, the last of them empty or nearly so."""
    made, items = documents.segments(tokenizer, make_documents(), T), make_documents()
    rows = packing.pack([len(s.tokens) for s in made], T)
    assert len(rows) <= N
    rows += [[]] * (N - len(rows))
    share = 1 / sum(packing.trained_tokens(made, row) for row in rows)
    packed = packing.fill(made, rows, (T, T), share, branched=False)
    kinds = np.zeros((N, T), np.int32)
    for n, row in enumerate(rows):
        own = [KINDS.index(items[i].kind) for s in row for i in made[s].owners]
        kinds[n, : len(own)] = own
    return midtrain.Mixed(packed, kinds)


def dense(tokenizer: Tokenizer, tree: params.Params, start: params.Params) -> jax.Array:
    """Every document by itself, with the whole vocabulary's log-probabilities of both models."""
    items = make_documents()
    laid = [documents.lay_out(tokenizer, item) for item in items]
    size = max(len(tokens) for tokens, _ in laid)
    tokens = np.stack([np.pad(tokens, (0, size - len(tokens))) for tokens, _ in laid])
    counted = np.stack([np.pad(mask, (0, size - len(mask))) for _, mask in laid])[:, 1:]

    def logps(tree):
        places = jnp.broadcast_to(jnp.arange(size), tokens.shape)
        hidden, _ = decoder.forward(CFG, tree, tokens, places, attention.packed(jnp.ones_like(places)))
        return jax.nn.log_softmax(hidden[:, :-1] @ decoder.unembed(tree).T)

    logp, logq = logps(tree), logps(start)
    ce = -jnp.take_along_axis(logp, tokens[:, 1:, None], axis=-1)[..., 0]
    kl = (jnp.exp(logp) * (logp - logq)).sum(-1)
    total = 0.0
    for i, item in enumerate(items):
        each = kl[i] if item.kind in ("general", "mathematics") else ce[i]
        total += WEIGHTS[KINDS.index(item.kind)] * (each * counted[i]).sum()
    return total / counted.sum()


def run_step(tree, batch, frozen, micro=1, mesh=None, remat="none", weights=WEIGHTS):
    """One SGD update of rate 1: the change of what is trained is minus the gradient."""
    batch = jax.tree.map(lambda x: x.reshape(micro, N // micro, *x.shape[1:]), batch)
    if mesh is not None:
        rows = [(i, j) for i in range(micro) for j in range(N // micro)]
        build = lambda mine: jax.tree.map(lambda x: np.stack([x[i, j] for i, j in mine]), batch)  # noqa: E731
        batch = sharding.place_rows(mesh, rows, N // micro, build)
    train_step = step.make_step(functools.partial(midtrain.objective, CFG, remat, weights), optax.sgd(1.0))
    state = step.init_state(jax.tree.map(jnp.copy, tree), optax.sgd(1.0))
    state, metrics = train_step(state, frozen, batch, jnp.int32(N))
    return jax.device_get((state.trained, metrics))


@pytest.mark.parametrize("stacked", [True, False], ids=["scanned", "unrolled"])
def test_packed_rows_equal_each_document_alone(tokenizer: Tokenizer, stacked: bool):
    tree, start = model(stacked), other(model(stacked))
    loss, grads = jax.jit(jax.value_and_grad(lambda tree: dense(tokenizer, tree, start)))(tree)
    moved, metrics = run_step(tree, make_rows(tokenizer), start)
    np.testing.assert_allclose(metrics["loss"], loss, atol=1e-5)
    jax.tree.map(lambda a, w, g: np.testing.assert_allclose(a - w, -g, atol=1e-5), moved, tree, grads)


def test_of_an_adapter_the_weights_under_it_are_the_start_model(tokenizer: Tokenizer):
    base = model()
    run = lambda adapter: dense(tokenizer, lora.attach(base, adapter), base)  # noqa: E731
    loss, grads = jax.jit(jax.value_and_grad(run))(adapter())
    moved, metrics = run_step(adapter(), make_rows(tokenizer), base)
    np.testing.assert_allclose(metrics["loss"], loss, atol=1e-5)
    jax.tree.map(lambda a, w, g: np.testing.assert_allclose(a - w, -g, atol=1e-5), moved, adapter(), grads)


@pytest.mark.parametrize("trained", ["all", pytest.param("adapter", marks=pytest.mark.slow)])
def test_every_mesh_and_micro_batch_gives_the_same(tokenizer: Tokenizer, trained: str):
    """One device, which the tests above hold against the dense reference; then meshes, the last with rows split."""
    batch, base = make_rows(tokenizer), model()
    tree, start = (adapter(), base) if trained == "adapter" else (base, other(base))
    want = run_step(tree, batch, start)
    axes, whole = (made.logical_axes(CFG, stacked=True) for made in (lora if trained == "adapter" else params, params))
    for shape in ((1, 1, 1), (2, 2, 2), (1, 4, 2), (1, 2, 1, 2)):
        mesh = sharding.make_mesh(shape, jax.devices()[: math.prod(shape)])
        with jax.set_mesh(mesh):
            placed = (
                jax.device_put(x, sharding.shardings(mesh, where, x, sharding.Rules()))
                for x, where in ((tree, axes), (start, whole))
            )
            got = run_step(next(placed), batch, next(placed), micro=2, mesh=mesh, remat="full")
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), got, want)


def test_a_model_that_has_not_moved_is_not_held(tokenizer: Tokenizer):
    """At the start the KL and its gradient are 0: whatever weight it has, the update is the same."""
    base, batch = model(), make_rows(tokenizer)
    (one, metrics), (two, _) = (run_step(base, batch, base, weights=(1.0, 1.0, w, w)) for w in (1.0, 100.0))
    assert max(abs(metrics["loss_general"]), abs(metrics["loss_mathematics"])) < 1e-6
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), one, two)


def test_the_metrics_tell_the_kinds_apart(tokenizer: Tokenizer):
    batch, base = make_rows(tokenizer), model()
    metrics = midtrain._apart(run_step(base, batch, other(base))[1])
    counts = {kind: int(((batch.packed.weight > 0) & (batch.kinds == i)).sum()) for i, kind in enumerate(KINDS)}
    assert {kind: int(metrics[f"tokens_{kind}"]) for kind in KINDS} == counts and min(counts.values()) > 0
    assert metrics["tokens"] == sum(counts.values())
    metrics = midtrain._apart(run_step(base, batch, other(base), weights=(1.0, 1.0, 1.0, 1.0))[1])
    medical = counts["knowledge"] + counts["reasoning"]
    mean = (medical * metrics["ce"] + (metrics["tokens"] - medical) * metrics["kl"]) / metrics["tokens"]
    np.testing.assert_allclose(mean, metrics["loss"], rtol=1e-5)
    assert 0 < metrics["kl"] < metrics["ce"]


# --- Whole runs ------------------------------------------------------------------------------------------


def write_documents(file: Path) -> Path:
    """Two of each kind to learn, and the same held out."""
    texts = {
        "knowledge": ("A dry cough for three days. See a doctor.", "Take 500 mg for a headache."),
        "general": ("The days are dry and the hours are long.", "Two birds in a tree see three headaches."),
        "mathematics": ("Two and three are five. Five and 500 are 505.", "Three hours are 180 minutes."),
    }
    rows = [{"kind": kind, "text": text} for kind, pair in texts.items() for text in pair]
    for note in ("Is it the smoke?", "Since when?"):
        rows.append({"kind": "reasoning", "parts": [{"text": "A cough."}, {"note": note}, {"text": "See a doctor."}]})
    with file.open("w") as out:
        for split in ("train", "heldout"):
            for i, row in enumerate(rows):
                out.write(json.dumps({"id": f"{split}-{i}", "split": split, **row}) + "\n")
    return file


VALUES = {
    "steps": 30,
    "data.row_tokens": 24,
    "data.rows_per_step": 5,
    "data.micro_rows": 1,
    "lora.rank": 0,
    "optimizer.lr": 1e-2,
    "optimizer.weight_decay": 0.0,
    "checkpoint.every": 10,
}


def command(model_folder: Path, file: Path, workdir: Path) -> list[str]:
    values = {"model": model_folder, "data.path": file, **VALUES}
    argv = tiny_run.command(model_folder, file, workdir)[:2]
    flags = [f"--config.{key}={value}" for key, value in values.items()]
    return [*argv, "--config=configs/midtrain.py:smoke", f"--workdir={workdir}", *flags]


def config(model_folder: Path, file: Path, **values: object) -> ConfigDict:
    c = midtrain_config.get_config("smoke")
    c.update_from_flattened_dict({"model": str(model_folder), "data.path": str(file), **VALUES, **values})
    return c


def _run(c: ConfigDict, folder: Path) -> dict:
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.rl, "make_mesh", lambda _: mesh)
        training.run(c, folder)
    return json.loads((folder / "summary.json").read_text())


def test_the_medical_part_is_learned_and_the_constraint_holds_the_rest(model_folder: Path, tmp_path: Path):
    """Against the same run without it: at most half as far from the start, with nine tenths of what that one learns."""
    file = write_documents(tmp_path / "documents.jsonl")
    held, free = (
        _run(
            config(model_folder, file, **{"lora.rank": 4, "weights.general": w, "weights.mathematics": w}),
            tmp_path / f"run-{w}",
        )
        for w in (1.0, 0.0)
    )
    assert held["before"] == free["before"] and held["steps"] == 30
    assert all(abs(found["kl"]) < 1e-6 for found in held["before"]["kinds"].values())
    assert held["after"]["loss"] < 0.7 * held["before"]["loss"]
    learned = [run["before"]["loss"] - run["after"]["loss"] for run in (held, free)]
    assert learned[0] > 0.9 * learned[1]
    for kind in ("general", "mathematics"):
        assert 0 < held["after"]["kinds"][kind]["kl"] < 0.5 * free["after"]["kinds"][kind]["kl"]
    rows = numbers(tmp_path / "run-1.0")
    assert rows[0]["update/kl"] == pytest.approx(0, abs=1e-6) and rows[-1]["update/ce"] < rows[0]["update/ce"]
    total = sum(rows[-1][f"update/tokens_{kind}"] for kind in KINDS)
    assert total == rows[-1]["update/tokens"]
    report = (tmp_path / "run-1.0" / "report.html").read_text()
    assert "KL after" in report and "mathematics" in report and "4 medical documents" in report


def test_a_run_that_is_killed_goes_on_to_the_same_numbers(model_folder: Path, tmp_path: Path):
    file = write_documents(tmp_path / "documents.jsonl")
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    code, output = tiny_run.finish(tiny_run.start(command(model_folder, file, whole)))
    assert code == 0, output
    argv = command(model_folder, file, broken)
    code, output = tiny_run.stop_when(tiny_run.start(argv), lambda: len(read_metrics(broken)) >= 12, signal.SIGKILL)
    assert code == -signal.SIGKILL and len(read_metrics(broken)) < 30, output
    code, output = tiny_run.finish(tiny_run.start(argv))
    assert code == 0, output
    assert numbers(broken) == numbers(whole)
    assert (broken / "eval_after.jsonl").read_bytes() == (whole / "eval_after.jsonl").read_bytes()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data.mixture": (2, 2, -1)}, "config.data.mixture is (2, 2, -1)"),
        ({"data.mixture": (0, 2, 1)}, "the first of them above 0"),
        ({"weights.general": -1.0}, "config.weights are"),
        ({"data.rows_per_step": 50}, "config.data.rows_per_step is 50, of which 40% medical"),
        ({"data.path": "/no/such.jsonl"}, "/no/such.jsonl"),
        ({"data.micro_rows": 2}, "a multiple of config.data.micro_rows 2"),
        ({"remat": "some"}, "remat 'some'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_value_that_cannot_be_is_named(model_folder: Path, tmp_path: Path, values: dict[str, object], said: str):
    with pytest.raises(SystemExit) as error:
        _run(config(model_folder, write_documents(tmp_path / "d.jsonl"), **values), tmp_path / "run")
    assert said in str(error.value.code)
    assert not (tmp_path / "run").exists()


def test_the_smoke_preset_finds_its_documents():
    """It is given enough of them for its rows; the made corpus fills the shares of the larger presets too."""
    for preset in ("smoke", "cpu"):
        c = midtrain_config.get_config(preset)
        train, heldout = midtrain.read_documents(c)
        assert {d.kind for d in train} == {d.kind for d in heldout} == set(KINDS)
