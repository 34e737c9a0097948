"""From graded replies to what the learner takes: where tokens, masks and advantages land, and which groups stay."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import jax
import numpy as np
import pytest
from ml_collections import ConfigDict

from m2jax import sharding
from m2jax.models.config import ModelConfig
from m2jax.rollout.single_turn import Reward, Rollout, prompt_tokens
from m2jax.sampler.requests import Completion
from m2jax.sampler.sampling import Sampling
from m2jax.text.tokenizer import Tokenizer, load_tokenizer
from m2jax.train import batches as batches_of
from m2jax.train import grpo, optimizer, rl
from m2jax.train.step import TrainState
from m2jax.verifier.checks import parse_check
from m2jax.verifier.judge_prompt import REASON
from m2jax.verifier.rubric import Case, Criterion
from tests.text.fixtures import tiny_tokenizers as tiny
from tests.train import tiny_run

CFG = ModelConfig("qwen2", vocab_size=448, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=8)
MESSAGES = ({"role": "user", "content": "I cough."},)
CHECKED = Criterion("Names the fever", 5, "safety", parse_check({"words": ["fever"]}))


def case(name: str, *rubric: Criterion) -> Case:
    return Case(name, "cough", "train", MESSAGES, rubric or (CHECKED,))


def completion(*tokens: int, logp: float = -1.0) -> Completion:
    logps = np.full(len(tokens), logp, np.float32)
    return Completion(np.asarray(tokens, np.int32), logps, logps - 1, True)


def rollout(prompt: list[int], reply: Completion, score: float, bonus: float = 0.0) -> Rollout:
    return Rollout(case("a"), prompt, reply, "", [], score, bonus, {})


GROUPS = [
    [rollout([5, 6], completion(11, 12, 13, logp=-0.5), 1.0, 0.2), rollout([5, 6], completion(14), 0.2)],
    [rollout([7, 8, 9, 10], completion(15, 16), 0.0), rollout([7, 8, 9, 10], completion(17, 18, 19), 0.5)],
    [rollout([4], completion(20), 0.3), rollout([4], completion(21), 0.1)],
]


def batches(groups: list, size: int = 3, micro: int = 2, row_samples: int = 2) -> list:
    groups = [batches_of.of_replies(group) for group in groups]
    return batches_of.minibatches(groups, size, micro, row_samples, prompt_size=4, max_tokens=3)


def test_the_worked_example():
    """Three groups in micro-batches of two: P = 4, R = 2, C = 3. Rewards 1.2, 0.2 and 0, 0.5 and 0.3, 0.1."""
    ((got, n),) = batches(GROUPS)
    assert n == 3
    np.testing.assert_array_equal(
        got.tokens,
        [
            [[5, 6, 0, 0, 11, 12, 13, 14, 0, 0], [7, 8, 9, 10, 15, 16, 0, 17, 18, 19]],
            [[4, 0, 0, 0, 20, 0, 0, 21, 0, 0], [0] * 10],
        ],
    )
    np.testing.assert_array_equal(got.prompt_length, [[2, 4], [1, 1]])
    np.testing.assert_array_equal(
        got.mask,
        [
            [[[1, 1, 1], [1, 0, 0]], [[1, 1, 0], [1, 1, 1]]],
            [[[1, 0, 0], [1, 0, 0]], [[0, 0, 0], [0, 0, 0]]],
        ],
    )
    advantage = np.array([[[0.5, -0.5], [-0.25, 0.25]], [[0.1, -0.1], [0, 0]]])
    np.testing.assert_allclose(got.advantage, advantage[..., None] * got.mask, atol=1e-6)
    # the log-probabilities the learner computes (full), not those cut to top-k
    np.testing.assert_allclose(got.old_logp[0, 0], [[-0.5, -0.5, -0.5], [-1, 0, 0]])
    np.testing.assert_array_equal(got.sampler_logp, got.old_logp)


def test_a_sample_to_a_row_is_the_same_batch_cut_up():
    """Each sample behind a copy of its prompt: the tokens, log-probs and advantages of the rows with two."""
    ((whole, n),), ((cut, n_rows),) = batches(GROUPS, micro=1), batches(GROUPS, micro=2, row_samples=1)
    assert (n, n_rows, cut.tokens.shape) == (3, 6, (3, 2, 4 + 3))
    np.testing.assert_array_equal(cut.prompt_length.ravel(), np.repeat(whole.prompt_length.ravel(), 2))
    for name in ("mask", "advantage", "old_logp"):
        np.testing.assert_array_equal(np.ravel(getattr(cut, name)), np.ravel(getattr(whole, name)))
    np.testing.assert_array_equal(cut.tokens[..., 4:].ravel(), whole.tokens[..., 4:].ravel())
    np.testing.assert_array_equal(cut.tokens[1, :, :4], [[7, 8, 9, 10]] * 2)


@pytest.mark.parametrize("micro", [1, 2, 3, 4])
def test_rows_that_waited_may_be_cut_anew(micro: int):
    ((before, n),), ((want, _),) = batches(GROUPS, micro=2), batches(GROUPS, micro=micro)
    made = batches_of.recut(before, micro)
    assert made.tokens.shape[1] == micro and (made.prompt_length >= 1).all()
    made, want = (jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), groups) for groups in (made, want))
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(a[:n], b[:n]), made, want)
    assert not made.mask[n:].any()


def test_groups_come_in_order_over_the_minibatches():
    made = batches(GROUPS, size=2, micro=1)
    assert [int(n) for _, n in made] == [1, 2]
    firsts = [g.tokens[:, 0, 0].tolist() for g, _ in made]
    assert firsts == [[5, 0], [7, 4]]


def test_dropped_groups_leave_no_update_of_a_few():
    sizes = [int(n) for _, n in batches((3 * GROUPS)[:9], size=8)]  # 8 and 1 would be two steps of AdamW all the same
    assert sizes == [4, 5]


@pytest.mark.parametrize(("size", "micro"), [(1, 1), (2, 2), (3, 2), (4, 3), (8, 4)])
def test_shapes_do_not_depend_on_how_many_groups_were_kept(size: int, micro: int):
    shapes = set()
    for kept in range(2 * size + 1):
        made = batches((3 * GROUPS * size)[:kept], size, micro)
        counts = [int(n) for _, n in made]
        assert sum(counts) == kept and len(counts) == -(-kept // size)
        assert not counts or (0 < max(counts) <= size and max(counts) - min(counts) <= 1)
        for groups, n in made:
            flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), groups)
            assert flat.mask[:n].any((1, 2)).all() and not flat.mask[n:].any() and not flat.advantage[n:].any()
            assert (flat.prompt_length >= 1).all()
            shapes.add(str(jax.tree.map(lambda x: (x.shape, str(x.dtype)), groups)))
    assert len(shapes) == 1


class FakeEngine:
    """Answers the first `n_even` prompts with two bad replies each, the others with a bad and a good one."""

    def __init__(self, tokenizer: Tokenizer, n_even: int) -> None:
        self.tokenizer, self.n_even, self.updates, self.keys = tokenizer, n_even, [], []

    def update(self, name, weights):
        self.updates.append((name, weights))

    def forget(self):
        self.updates.append("forget")

    def stats(self):
        return {"decode_tokens": 6.0, "decode_seconds": 2.0}

    def run(self, dialogues, *, seed, keys, journal=None):
        self.keys.append(list(keys))
        good, bad = (completion(*self.tokenizer.encode(word)) for word in ("fever", "cough"))
        return [self.answer(d, bad if i // 2 < self.n_even or i % 2 == 0 else good) for i, d in enumerate(dialogues)]

    def answer(self, dialogue, reply):
        assert next(dialogue).role == "doctor"
        try:
            dialogue.send(reply)
        except StopIteration as end:
            return end.value


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Tokenizer:
    folder: Path = tmp_path_factory.mktemp("bpe")
    return load_tokenizer(tiny.write_folder(folder, tiny.train_bpe()))


def parts(tokenizer: Tokenizer, n_even: int) -> rl.Parts:
    config, cases = ConfigDict({"seed": 0, "dtype": "float32", "asynchronous": False}), [case("a"), case("b")]
    config.data = {"prompts_per_step": 2, "samples_per_prompt": 2, "refill": 0}
    config.grpo = {"minibatches": 1, "micro_groups": 1, "row_samples": 0}
    config.checkpoint, config.watch = {"rollout_seconds": 0}, {"every": 0}
    config.xla_flags = ()
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    sampling, reward, tx = Sampling(max_tokens=8), Reward(length_scale=0), optimizer.make(optimizer.Optimizer(1.0))
    engine = FakeEngine(tokenizer, n_even)
    return rl.Parts(
        config, CFG, mesh, tokenizer, cases, [], engine, None, 16, sampling, grpo.Grpo(8), reward, tx, None
    )  # fmt: skip


def test_groups_without_signal_are_dropped_and_rows_stay(tokenizer: Tokenizer, tmp_path: Path):
    made = parts(tokenizer, n_even=1)
    stage = rl.stage(made, tmp_path)
    state = TrainState(np.int32(0), {"w": np.zeros(1)}, ())
    ((groups, n),), metrics = stage.make_batch(3, state)
    assert (n, metrics["groups/dropped"], groups.tokens.shape) == (1, 1, (2, 1, 16 + 2 * 8))
    np.testing.assert_allclose(np.ravel(groups.advantage[..., 0]), [-0.5, 0.5, 0, 0])
    prompt = prompt_tokens(tokenizer, made.train[0])
    assert groups.tokens[0, 0, : len(prompt)].tolist() == prompt
    assert made.engine.updates == ["forget", ("doctor", state.trained)]  # the newest weights are served
    assert made.engine.keys == [[12, 13, 14, 15]]  # no request of another step is drawn again
    assert metrics["engine/decode_tok_s"] == 3.0
    assert metrics["reward/total"] == pytest.approx(0.25) and metrics["reward/std_in_group"] == pytest.approx(0.25)


def test_a_step_without_any_signal_changes_nothing(tokenizer: Tokenizer, tmp_path: Path):
    stage = rl.stage(parts(tokenizer, n_even=2), tmp_path)
    state = TrainState(np.int32(0), {"w": np.zeros(1)}, ())
    batch, metrics = stage.make_batch(0, state)
    assert batch == [] and metrics["groups/dropped"] == 2
    assert stage.update(state, batch) == (state, {})


@pytest.mark.parametrize(
    ("n_even", "refill", "draws", "rows"), [(0, 3, 1, 2), (1, 3, 2, 2), (1, 0, 1, 1), (2, 3, 4, 0)], ids=str
)
def test_more_is_drawn_until_the_batch_is_full(
    tokenizer: Tokenizer, tmp_path: Path, n_even: int, refill: int, draws: int, rows: int
):
    """Of the two groups of a draw, 2 - n_even differ within."""
    made = parts(tokenizer, n_even)
    made.config.data.refill = refill
    batch, metrics = rl.stage(made, tmp_path).make_batch(3, TrainState(np.int32(0), {"w": np.zeros(1)}, ()))
    assert sum(int(n) for _, n in batch) == rows
    assert (metrics["groups/draws"], metrics["groups/dropped"]) == (draws, n_even * draws)
    first = 3 * (1 + refill) * 4  # no key of another draw or step comes again
    assert made.engine.keys == [list(range(first + 4 * i, first + 4 * i + 4)) for i in range(draws)]


@pytest.mark.parametrize(
    ("shape", "want"),
    [((1, -1, 1), (1, 8, 1, 1)), ((-1, 2, 2), (2, 2, 2, 1)), ((2, 2, 2), (2, 2, 2, 1)), ((1, -1, 1, 4), (1, 2, 1, 4))],
    ids=str,
)
def test_a_mesh_size_of_minus_one_takes_the_devices_that_are_left(shape, want):
    assert tuple(rl.make_mesh(ConfigDict({"mesh": shape})).shape.values()) == want


@pytest.mark.parametrize("shape", [(3, -1, 1), (1, 1, 1), (16, -1, 1)], ids=str)
def test_a_mesh_that_does_not_fit_the_devices_is_refused(shape):
    with pytest.raises(ValueError, match="there are 8.*config.mesh"):
        rl.make_mesh(ConfigDict({"mesh": shape}))


def test_too_few_cases_are_named_before_weights_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(rl.policy, "read_weights", lambda *_: pytest.fail("weights were read"))
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    config = tiny_run.config(*tiny_run.write_all(tmp_path), **{"data.prompts_per_step": 100})
    with jax.set_mesh(mesh), pytest.raises(ValueError, match="is 100, but there are only 3 training cases"):
        rl.start(config, mesh)


def test_capacities_hold_every_prompt_and_every_question_to_the_judge(tokenizer: Tokenizer):
    config = ConfigDict({"data": {"prompts_per_step": 4, "samples_per_prompt": 2, "max_prompt_tokens": 64}})
    config.dynamic = {"proposals": 0}
    config.sampling, config.judge, config.watch = {"slots": 6, "cache_tokens": 0}, {"url": "", "votes": 0}, {"every": 0}
    checked = [case("a"), Case("b", "cough", "train", ({"role": "user", "content": "I cough. " * 5},), (CHECKED,))]
    prompt_size, sizes = rl.engine_sizes(config, tokenizer, checked, max_tokens=8, shards=1)
    longest = len(prompt_tokens(tokenizer, checked[1]))
    assert prompt_size % 16 == 0 and prompt_size - 16 < longest <= prompt_size
    assert sizes.slots == 6 and sizes.pasts[-1] >= longest + 8
    judged = [case("c", *(Criterion(f"Is kind {i}", p, "tone") for i, p in enumerate((1, 2, 3, -1, -2))))]
    _, spread = rl.engine_sizes(config, tokenizer, checked, max_tokens=8, shards=4)
    assert spread == dataclasses.replace(sizes, slots=2, n_pages=2 * sizes.pasts[-1] // sizes.page + 1)
    config.sampling.cache_tokens = 3 * sizes.pasts[-1]
    assert rl.engine_sizes(config, tokenizer, checked, max_tokens=8, shards=1)[1].n_pages == (sizes.n_pages + 1) // 2
    with pytest.raises(ValueError, match=f"cache_tokens .* 4 shards; .* at least {4 * sizes.pasts[-1]}, or 0"):
        rl.engine_sizes(config, tokenizer, checked, max_tokens=8, shards=4)
    config.sampling.cache_tokens = 0
    _, sizes = rl.engine_sizes(config, tokenizer, judged, max_tokens=8, shards=1)
    for criterion in judged[0].rubric:
        prefix, suffix = rl.judge_tokens(tokenizer, judged[0], "a b\nc d\ne f", criterion)
        assert len(prefix) <= sizes.pasts[-1] and len(suffix) < sizes.chunks[-1]
    config.judge.votes = 2
    _, voting = rl.engine_sizes(config, tokenizer, judged, max_tokens=8, shards=1)
    for criterion in judged[0].rubric:
        prefix, suffix = rl.judge_tokens(tokenizer, judged[0], "a b\nc d\ne f", criterion, REASON)
        assert len(prefix) + len(suffix) + 2 * rl.Judge.reason_tokens <= voting.pasts[-1]
    config.judge.votes, config.data.max_prompt_tokens, config.sampling.cache_tokens = 0, 2048, 100_000
    _, long = rl.engine_sizes(config, tokenizer, judged, max_tokens=16_384, shards=1)
    question = max(len(rl.judge_tokens(tokenizer, judged[0], "", c)[1]) for c in judged[0].rubric)
    # however long replies are, a prompt or a question does not pay for one
    assert question < long.chunks[0] <= question + 16 and long.chunks[-1] <= long.batch_tokens
    config.data.max_prompt_tokens, config.sampling.cache_tokens = 64, 0
    config.judge.url = "http://elsewhere/v1"  # needs no room here
    assert rl.engine_sizes(config, tokenizer, judged, max_tokens=8, shards=1)[1].pasts[-1] < sizes.pasts[-1]
    config.data.max_prompt_tokens = longest - 1
    with pytest.raises(
        ValueError, match=f"case b has a prompt of {longest} tokens; .*max_prompt_tokens is {longest - 1}"
    ):
        rl.engine_sizes(config, tokenizer, checked, max_tokens=8, shards=1)
