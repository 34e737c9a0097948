"""A config's plan: what each device holds, and that every program lowers in the shapes the config allows."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys

import jax
import pytest

from configs import midtrain, rl_stage2, rl_stage3, sft
from m2jax import sharding
from m2jax.aot import programs, topology
from m2jax.models import params
from m2jax.models.known import KNOWN
from m2jax.verifier.judge import Judge
from tests.conftest import REPOSITORY


def test_a_plan_counts_what_each_device_holds():
    """The 7B preset on eight devices: an adapter is trained, the weights are served by groups of four."""
    config = rl_stage2.get_config("7b")
    plan = programs.plan(config, sharding.make_mesh((1, 8, 1)))
    size = {name: programs.bytes_per_device(tree) for name, tree in plan.resident.items()}
    bf16 = 2 * params.count(KNOWN[config.model])
    norms = 2 * (2 * 28 + 1) * 3584  # whole on every device, of bfloat16
    assert size["start weights"] == pytest.approx(bf16 / 4, abs=norms)
    assert size["frozen weights"] == pytest.approx(bf16 / 8, abs=28 * 2 * (3584 + 512) + norms)  # biases too
    tokens = config.sampling.cache_tokens // 2 + 32  # a shard's half, and page 0
    assert size["pages"] == tokens * 2 * 28 * (4 // 4) * 128 * 2  # keys and values, of one head, bfloat16
    assert "policy weights" not in size and plan.holds["update"] == ("training state", "frozen weights")


@pytest.mark.parametrize(("preset", "mesh"), [("0.5b", (1, 1, 1)), ("7b", (1, 8, 1))])
def test_every_program_lowers(preset, mesh):
    config = rl_stage2.get_config(preset)
    plan = programs.plan(config, sharding.make_mesh(mesh, jax.devices()[: math.prod(mesh)]))
    flat = config.data.max_prompt_tokens + config.grpo.row_samples * config.sampling.max_tokens
    text = {name: lower().as_text() for name, lower in plan.programs.items()}
    assert text.keys() == {"init", "restore", "update", "logprobs", "hand-over", "prefill", "decode", "score"}
    assert f"x{flat}x" in text["update"] and "while" in text["decode"]


def test_a_supervised_plan_lowers_and_holds_what_is_trained():
    config = sft.get_config("7b")
    plan = programs.plan(config, sharding.make_mesh((1, 8, 1)))
    size = programs.bytes_per_device(plan.resident["training state"])
    assert size == pytest.approx(12 * params.count(KNOWN[config.model]) / 8, rel=0.01)  # weights and two moments
    text = {name: lower().as_text() for name, lower in plan.programs.items()}
    assert text.keys() == {"init", "restore", "update"} and "x32768x" in text["update"] and plan.sizes is None


@pytest.mark.parametrize("rank", [0, 8])
def test_a_mid_training_plan_lowers_with_the_start_model_beside_what_is_trained(rank):
    config = midtrain.get_config("32b")
    config.lora.rank = rank
    plan = programs.plan(config, sharding.make_mesh((1, 2, 1, 4)))
    size = {name: programs.bytes_per_device(tree) for name, tree in plan.resident.items()}
    count = params.count(KNOWN[config.model])
    assert size["frozen weights"] == pytest.approx(2 * count / 8, rel=0.01)
    assert (size["training state"] > 12 * count / 8) == (not rank)
    assert plan.holds["update"] == ("training state", "frozen weights")
    supervised = programs.plan(sft.get_config("32b"), sharding.make_mesh((1, 2, 1, 4)))
    assert plan.work["update"] == pytest.approx(4 / 3 * supervised.work["update"])
    text = plan.programs["update"]().as_text()
    assert "x32768x" in text
    assert not re.search(r"tensor<(\d+x)*152064xf32>", text)  # no logits of the whole vocabulary, and no weights either


@pytest.mark.parametrize(("moments", "offload", "bytes_each"), [("bfloat16", False, 8), ("float32", True, 4)])
def test_a_plan_counts_the_moments_where_they_are_kept(moments, offload, bytes_each):
    config = sft.get_config("7b")
    config.optimizer.moments, config.optimizer.offload = moments, offload
    plan = programs.plan(config, sharding.make_mesh((1, 8, 1)))
    size = programs.bytes_per_device(plan.resident["training state"])
    assert size == pytest.approx(bytes_each * params.count(KNOWN[config.model]) / 8, rel=0.01)
    for name in ("init", "restore", "update"):
        text = plan.programs[name]().as_text()
        assert ("pinned_host" in text) == (offload or name == "restore"), name


def test_a_plan_has_room_for_what_a_run_may_ask():
    """A judge's reasons, and the contexts of consultations."""

    def longest(config):
        return programs.plan(config, sharding.make_mesh((1, 8, 1))).sizes.pasts[-1]

    config = rl_stage2.get_config("7b")
    plain = longest(config)
    config.judge.votes = 3
    assert longest(config) == plain + 2 * Judge.reason_tokens
    config.judge.url = "http://localhost:1/v1"  # it reasons elsewhere
    assert longest(config) == plain
    config = rl_stage3.get_config("7b")
    config.consult.context_tokens = 9985
    assert longest(config) == 10_016  # in whole pages
    config.consult.context_tokens = 32
    assert longest(config) > config.data.max_prompt_tokens


def test_the_micro_batch_of_a_config_is_named():
    assert programs.micro(sft.get_config("7b")) == ("data.micro_rows", 16, 16)
    assert programs.micro(rl_stage2.get_config("32b")) == ("grpo.micro_groups", 64, 1024)


@pytest.mark.parametrize(
    ("name", "shape", "said"),
    [
        ("v9:2x2", (1, -1, 1), "'v9:2x2' is not known"),
        ("v5p", (1, -1, 1), "'v5p' is not known"),
        ("v5e:2x0", (1, -1, 1), "'v5e:2x0' is not known"),
        ("v5p:4x4x4", (1, 32, 1), r"mesh \(1, 32, 1, 1\) .* the 64 chips of v5p:4x4x4"),
        ("v5e:2x4", (3, -1, 1), "the 8 chips"),
    ],
)
def test_a_topology_that_cannot_be_is_refused(name, shape, said):
    with pytest.raises(ValueError, match=said):
        topology.make_mesh(name, shape)


def test_the_command_reads_a_config_that_builds_on_another():
    argv = [sys.executable, "launch/compile.py", "--config=configs/sft.py:7b", "--topology=v9:2x2"]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1 and done.stderr.endswith("(generations: v5p, v5e, v6e)\n"), done.stderr[-2000:]


@pytest.mark.aot
def test_the_command_says_what_fits_and_what_does_not():
    """The smallest preset on a v5e chip, with a cache that fits and one that does not."""
    pytest.importorskip("libtpu", reason="the TPU compiler is not installed: pip install 'm2jax[tpu]'")
    command = [
        sys.executable,
        "launch/compile.py",
        "--config=configs/rl_stage2.py:0.5b",
        "--topology=v5e:1x1",
        "--json",
    ]
    for tokens, code in ((0, 0), (4_000_000, 1)):
        argv = [*command, f"--config.sampling.cache_tokens={tokens}"]
        done = subprocess.run(argv, cwd=REPOSITORY, env=os.environ, capture_output=True, text=True, timeout=600)
        assert done.returncode == code, done.stderr[-2000:]
        report = json.loads(done.stdout)
        assert (report["micro_key"], report["micro_rows"]) == ("grpo.micro_groups", 1)
        assert (report["micro_rows_that_fit"] >= 1) == (code == 0)
        assert code == 0 or "config.sampling.cache_tokens" in report["remedy"]
        assert report["fits"] == (code == 0) and {row["program"] for row in report["programs"]} == {
            "init", "restore", "update", "logprobs", "hand-over", "prefill", "decode", "score"
        }  # fmt: skip
