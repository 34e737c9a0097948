"""The engine gives what one request alone, without any cache, would give: whatever else runs, in whatever order."""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from m2jax import sharding
from m2jax.models import attention, decoder, lora, params
from m2jax.models.config import ModelConfig
from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Failed, Generate, Role, Score
from m2jax.sampler.sampling import Knobs, Sampling, keys, sample
from m2jax.sampler.scheduler import Sizes
from m2jax.train.loop import count_compiles

CFG = ModelConfig(
    "qwen3", vocab_size=96, d_model=32, d_mlp=48, n_layers=2, n_heads=4, n_kv_heads=2, d_head=16, tied=True
)
SIZES = Sizes(slots=4, n_pages=12, page=4, pasts=(32,), chunks=(8,), batch_tokens=16, burst=4)
HOW = Sampling(temperature=0.9, max_tokens=10, stop=(1, 2, 3))
ROLES = {
    "doctor": Role(HOW, adapter="doctor"),
    "patient": Role(Sampling(temperature=0.7, top_p=0.9, max_tokens=8, stop=(5,)), adapter="patient"),
    "judge": Role(Sampling(temperature=0.0, max_tokens=5)),
    "other": Role(HOW, params="other"),
}
SEED = 11


def weights(layers: str, number: int = 0) -> params.Params:
    tree = jax.tree.map(lambda w: 1.5 * w, params.init(CFG, jax.random.key(number), stacked=False))
    return params.stack_layers(tree) if layers == "scanned" else tree


def adapter(layers: str, number: int) -> dict:
    tree = lora.init(CFG, jax.random.key(number), 3 + number, 8.0, stacked=False)
    tree = jax.tree.map(lambda w: w + 0.1 * jax.random.normal(jax.random.key(number), w.shape), tree)
    return jax.tree.map(lambda *w: jnp.stack(w), *tree) if layers == "scanned" else tree


def placed(mesh: jax.sharding.Mesh, tree: dict, axes: dict) -> dict:
    return jax.tree.map(sharding.place, tree, sharding.shardings(mesh, axes, tree, sharding.Rules()))


def all_weights(layers: str) -> dict:
    return {
        "base": weights(layers),
        "other": weights(layers, 1),
        "doctor": adapter(layers, 1),
        "patient": adapter(layers, 2),
    }


def make_engine(shape=(1, 1, 1), layers="unrolled", sizes=SIZES, trees=None, roles=ROLES, answers=None) -> Engine:
    mesh = sharding.make_mesh(shape, jax.devices()[: math.prod(shape)])
    stacked = layers == "scanned"
    axes, low = params.logical_axes(CFG, stacked=stacked), lora.logical_axes(CFG, stacked=stacked)
    with jax.set_mesh(mesh):
        engine = Engine(CFG, mesh, sizes, roles, answers=answers)
        for name, tree in (trees or all_weights(layers)).items():
            engine.update(name, placed(mesh, tree, axes if name in engine.lanes else low))
    return engine


@pytest.fixture(scope="module")
def engine() -> Engine:
    return make_engine()


@jax.jit
def _logits(tree, tokens):
    hidden, _ = decoder.forward(CFG, tree, tokens[None], jnp.arange(48)[None], attention.packed(jnp.ones((1, 48))))
    return hidden[0] @ decoder.unembed(tree).T


@jax.jit
def _next(tree, tokens, n, knobs, key, number, made):
    draw = keys(jnp.uint32(SEED), jnp.stack([key, number])[None], made[None])
    return sample(_logits(tree, tokens)[n - 1][None], draw, knobs)


def padded(tokens):
    return np.pad(np.asarray(tokens, np.int32), (0, 48 - len(tokens)))


class Oracle:
    """One request at a time, no cache: the whole sequence through the forward for every token."""

    def __init__(self) -> None:
        trees = all_weights("unrolled")
        base = trees["base"]
        self.trees = {
            "doctor": lora.merge(lora.attach(base, trees["doctor"])),
            "patient": lora.merge(lora.attach(base, trees["patient"])),
            "judge": base,
            "other": trees["other"],
        }

    def generate(self, request, key, number):
        how, tokens, made, logps = ROLES[request.role].sampling, list(request.prompt), [], []
        knobs = Knobs(np.float32([how.temperature]), np.int32([how.top_k]), np.float32([how.top_p]))
        while len(made) < (request.max_tokens or how.max_tokens) and not (made and made[-1] in how.stop):
            row, n = padded(tokens + made), np.int32(len(tokens) + len(made))
            ids = np.uint32(key), np.uint32(number), np.int32(len(made))
            token, full, _ = _next(self.trees[request.role], row, n, knobs, *ids)
            made.append(int(token[0]))
            logps.append(float(full[0]))
        return made, logps

    def score(self, request):
        out = []
        for suffix in request.suffixes:
            row = [*request.prefix, *suffix]
            logp = np.asarray(jax.nn.log_softmax(_logits(self.trees[request.role], padded(row))))
            at = np.arange(len(request.prefix) - 1, len(row) - 1)
            out.append(logp[len(row) - 1][list(request.choices)] if request.choices else logp[at, list(suffix)])
        return out


oracle = functools.cache(Oracle)


def talk(requests):
    """A dialogue that asks for `requests` (some of them lists) and returns the answers."""
    answers = []
    for request in requests:
        answers.append((yield request))
    return answers


def run(engine, dialogues, keys=None, seed=SEED):
    with jax.set_mesh(engine.mesh):
        return engine.run([talk(d) for d in dialogues], seed=seed, keys=keys)


def check(request, answer, key, number):
    if isinstance(request, Generate):
        made, logps = oracle().generate(request, key, number)
        assert answer.tokens.tolist() == made
        np.testing.assert_allclose(answer.logp_full, logps, atol=1e-5)
    else:
        for got, want in zip(answer, oracle().score(request), strict=True):
            np.testing.assert_allclose(got, want, atol=1e-5)


def check_all(dialogues, results, keys=None):
    for i, (dialogue, answers) in enumerate(zip(dialogues, results, strict=True)):
        assert not isinstance(answers, Failed), answers.traceback
        number = 0
        for request, answer in zip(dialogue, answers, strict=True):
            many = isinstance(request, list)
            for one, its in zip(request if many else [request], answer if many else [answer], strict=True):
                check(one, its, i if keys is None else keys[i], number)
                number += 1


tokens = st.lists(st.integers(4, 7), min_size=1, max_size=20)  # few tokens: prefixes meet
roles = st.sampled_from(list(ROLES))
requests = st.one_of(
    st.builds(Generate, roles, tokens),
    st.builds(
        Score,
        roles,
        tokens,
        st.lists(st.lists(st.integers(4, 7), max_size=6), min_size=1, max_size=5),
        st.sampled_from([(), (7,), (3, 70)]),
    ),
)
traffic = st.lists(st.lists(st.one_of(requests, st.lists(requests, max_size=3)), max_size=3), max_size=6)


@settings(max_examples=25, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(traffic)
def test_whatever_runs_together_each_gets_what_it_would_alone(engine, dialogues):
    check_all(dialogues, run(engine, dialogues))
    for lane in engine.lanes.values():
        for pages in lane.scheduler.pages:
            pages.check()
            assert pages.available == SIZES.n_pages - 1  # nobody reads any more


def a_mixture():
    """Six dialogues of every kind, several with a prefix in common."""
    stem = [4, 5, 6, 7, 4, 4, 5, 5, 6]
    judged = Score("judge", stem, [[4], [5, 6, 7], [7]], (3, 70))
    return [
        [Generate("doctor", stem), [judged, Score("doctor", stem, [[4, 5]])], Generate("doctor", [*stem, 9, 9])],
        [Generate("patient", [*stem, 4]), Generate("other", stem, 3)],
        [Generate("doctor", stem)],
        [[judged, Generate("judge", stem[:4])]],
        [Generate("doctor", [8] * 20), Generate("doctor", [8] * 21)],
        [Generate("doctor", stem, 1)],
    ]


def tokens_of(results):
    flat = [a for answers in results for x in answers for a in (x if isinstance(x, list) else [x])]
    return [a.tokens.tolist() if hasattr(a, "tokens") else np.round(a, 4).tolist() for a in flat]


@pytest.mark.parametrize(
    ("shape", "layers"),
    [
        ((1, 1, 1), "scanned"),
        pytest.param((4, 2, 1), "unrolled", marks=pytest.mark.slow),
        ((2, 2, 2), "scanned"),
    ],
    ids=str,
)
def test_meshes_and_layouts_give_the_same_tokens(shape, layers):
    made = make_engine(shape, layers)
    check_all(a_mixture(), run(made, a_mixture()))


def test_the_sampler_may_have_a_mesh_of_its_own():
    """Weights come as the learner has them, spread over all devices, and are served with heads over two."""
    learner = sharding.make_mesh((1, 8, 1))
    axes, low = params.logical_axes(CFG, stacked=True), lora.logical_axes(CFG, stacked=True)
    made = Engine(CFG, sharding.rearrange(learner, (2, 2, 2)), SIZES, ROLES)
    with jax.set_mesh(learner):
        for name in ("base", "other"):
            made.update(name, placed(learner, weights("scanned", int(name == "other")), axes))
        for number, name in enumerate(("doctor", "patient"), start=1):
            made.update(name, placed(learner, adapter("scanned", number), low))
        results = made.run([talk(d) for d in a_mixture()], seed=SEED)
    check_all(a_mixture(), results)
    with pytest.raises(ValueError, match="does not hold the 8 devices"):
        sharding.rearrange(learner, (2, 2, 1))


def test_neither_order_nor_slots_nor_chunks_change_a_sample(engine):
    dialogues, order = a_mixture(), [3, 0, 5, 2, 4, 1]
    first = run(engine, dialogues)
    shuffled = run(engine, [dialogues[i] for i in order], keys=order)
    assert [tokens_of([r]) for r in shuffled] == [tokens_of([first[i]]) for i in order]
    narrow = make_engine(
        sizes=Sizes(slots=2, n_pages=6, page=8, pasts=(16, 32), chunks=(4, 8), batch_tokens=8, burst=3)
    )
    assert tokens_of(run(narrow, dialogues)) == tokens_of(first)
    assert tokens_of(run(engine, dialogues, seed=SEED + 1)) != tokens_of(first)


def test_after_a_warm_up_nothing_compiles():
    """In sizes that no other test has."""
    made = make_engine(sizes=Sizes(slots=2, n_pages=30, page=5, pasts=(0, 40), chunks=(10,), batch_tokens=20))
    with jax.set_mesh(made.mesh), count_compiles() as compiles:
        made.warm_up(choices=(2, 0))
        warm = compiles()
        results = run(made, a_mixture())
        assert warm > 10 and compiles() == warm
    check_all(a_mixture(), results)


def test_where_pages_run_out_the_youngest_wait_and_nothing_is_lost():
    tight = make_engine(sizes=Sizes(slots=4, n_pages=9, page=4, pasts=(32,), chunks=(8,), batch_tokens=16, burst=4))
    dialogues = [[Generate("judge", [4 + i] * 4, 5), Generate("other", [5, 4 + i] * 2, 12)] for i in range(4)]
    dialogues += [[Generate("other", [4 + i] * 4, 12)] for i in range(4)]
    check_all(dialogues, run(tight, dialogues))
    assert tight.stats()["preemptions"] > 0  # 32 tokens of cache, four rows that grow to 15


def test_what_is_shared_is_computed_once(engine):
    engine.forget()
    engine.stats()
    prompt = [4, 5, 6, 7, 5, 5, 4, 6, 6, 7, 4]  # two pages of four, and a tail that each sample copies
    run(engine, [[Generate("doctor", prompt, 1)]] * 4)
    first = engine.stats()
    assert (first["prompt_tokens"], first["prefill_tokens"]) == (4 * 10, 10)
    run(engine, [[Generate("doctor", prompt, 1)], [Generate("patient", prompt, 1)]])  # known; another adapter's is not
    assert engine.stats()["prefill_tokens"] == 10


def test_new_weights_forget_their_own_prefixes_only():
    made, prompt = make_engine(), [4, 5, 6, 7, 5, 5, 4, 6, 6, 7, 4]
    ask = [[Generate(role, prompt, 1)] for role in ROLES]
    run(made, ask)
    made.stats()

    def computed(update=None):
        with jax.set_mesh(made.mesh):
            if update:
                made.update(*update)
        before = run(made, ask)
        return made.stats().get("prefill_tokens", 0), before

    axes, low = params.logical_axes(CFG, stacked=False), lora.logical_axes(CFG, stacked=False)
    assert computed()[0] == 0
    n, answers = computed(("doctor", placed(made.mesh, adapter("unrolled", 1), low)))
    assert n == 10 and answers[0][0].version == 2 and answers[1][0].version == 1
    assert computed(("other", placed(made.mesh, weights("unrolled", 1), axes)))[0] == 10
    assert computed(("base", placed(made.mesh, weights("unrolled"), axes)))[0] == 30  # all adapters' of it too


def test_errors_end_their_dialogue_alone(engine):
    def breaks():
        yield Generate("doctor", [4, 5])
        raise KeyError("patient left")

    def too_long():
        yield Generate("doctor", [4] * 30)

    def copes():
        try:
            yield Score("judge", [4] * 40, [[4]], (3,))
        except ValueError as error:
            return str(error)

    def unknown():
        yield Generate("nurse", [4])

    def asks_nothing():
        got = yield []
        return got

    with jax.set_mesh(engine.mesh):
        results = engine.run(
            [breaks(), too_long(), copes(), unknown(), talk([Generate("doctor", [4])]), asks_nothing()]
        )
    assert isinstance(results[0], Failed) and "patient left" in results[0].traceback
    assert "prompt of 30 tokens with up to 10 new ones" in str(results[1].error) and "33 tokens" in str(
        results[1].error
    )
    assert "prefix of 40 tokens" in results[2]
    assert "'nurse' is not known; roles: doctor, patient, judge, other" in str(results[3].error)
    assert len(results[4][0].tokens) and results[5] == []


def test_weights_are_asked_for_by_name():
    mesh = sharding.make_mesh((1, 1, 1), jax.devices()[:1])
    with jax.set_mesh(mesh):
        bare = Engine(CFG, mesh, SIZES, ROLES)
        with pytest.raises(ValueError, match="named 'nurse'; roles use base, doctor, other, patient"):
            bare.update("nurse", {})
        (failed,) = bare.run([talk([Generate("other", [4])])])
        assert "no weights yet: Engine.update('other', ...)" in str(failed.error)


@pytest.mark.parametrize("bad", [dict(pasts=(20,)), dict(pasts=(64, 32)), dict(n_pages=3)], ids=str)
def test_sizes_that_cannot_work_are_refused(bad):
    with pytest.raises(ValueError, match="page"):
        Sizes(**{"page": 16, "pasts": (32, 64), "n_pages": 9, **bad})
