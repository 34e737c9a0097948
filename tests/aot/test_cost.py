"""Predicted seconds: a stored program of the TPU compiler, and schedules small enough to add up by hand."""

from __future__ import annotations

from pathlib import Path

import pytest

from m2jax.aot import cost, hlo, topology
from m2jax.models import params
from m2jax.models.known import KNOWN

V5P = topology.CHIPS["v5p"]
STORED = (Path(__file__).parent / "loop_v5p.hlo.txt").read_text()  # ten times x @ w, both 8192 x 8192, bfloat16
RING = topology.Torus((4,), (True,), ((0,), (1,), (2,), (3,)), (0, 0, 0, 0))

# a loop of three trips: a gather of 1 MiB shards starts, a fusion of 700,000 cycles runs, the gather must be there
LOOP = """HloModule toy, is_scheduled=true

%fused (p: f32[8]) -> f32[8] {
  %p = f32[8]{0} parameter(0)
  ROOT %n = f32[8]{0} negate(%p)
}

%cond (arg: (s32[], f32[8], f32[262144])) -> pred[] {
  %arg = (s32[], f32[8]{0}, f32[262144]{0}) parameter(0)
  %i = s32[] get-tuple-element(%arg), index=0
  %last = s32[] constant(LAST)
  ROOT %go = pred[] compare(%i, %last), direction=DIRECTION
}

%body (arg.1: (s32[], f32[8], f32[262144])) -> (s32[], f32[8], f32[262144]) {
  %arg.1 = (s32[], f32[8]{0}, f32[262144]{0}) parameter(0)
  %i.1 = s32[] get-tuple-element(%arg.1), index=0
  %by = s32[] constant(STEP)
  %next = s32[] add(%i.1, %by)
  %x = f32[8]{0} get-tuple-element(%arg.1), index=1
  %w = f32[262144]{0} get-tuple-element(%arg.1), index=2
  %start = (f32[262144]{0}, f32[1048576]{0}) all-gather-start(%w), replica_groups={{0,1,2,3}}, dimensions={0}
  %work = f32[8]{0} fusion(%x), kind=kLoop, calls=%fused, backend_config={"estimated_cycles":"CYCLES"}
  %whole = f32[1048576]{0} all-gather-done(%start)
  ROOT %out = (s32[], f32[8]{0}, f32[262144]{0}) tuple(%next, %work, %w)
}

ENTRY %main (a: f32[8], b: f32[262144]) -> f32[8] {
  %a = f32[8]{0} parameter(0)
  %b = f32[262144]{0} parameter(1)
  %zero = s32[] constant(FIRST)
  %init = (s32[], f32[8]{0}, f32[262144]{0}) tuple(%zero, %a, %b)
  %loop = (s32[], f32[8]{0}, f32[262144]{0}) while(%init), condition=%cond, body=%body
  ROOT %result = f32[8]{0} get-tuple-element(%loop), index=1
}
"""


def toy(first=0, last=3, step=1, direction="LT", cycles=7000):
    values = {"FIRST": first, "LAST": last, "STEP": step, "DIRECTION": direction, "CYCLES": cycles}
    text = LOOP
    for name, value in values.items():
        text = text.replace(name, str(value))
    return text


def test_a_stored_loop_counts_every_trip():
    got = cost.estimate(STORED, V5P, topology.Torus((1,), (False,), ((0,),), (0,)))
    assert got.flops == 10 * 2 * 8192**3
    cycles = 10 * 4_652_072  # of the matmul, as the compiler wrote them
    assert got.mxu == pytest.approx(cycles / V5P.clock)
    copies = 11 * 2 * 2 * 8192**2 / (0.7 * V5P.hbm_rate)  # the carried operand, read and written
    assert got.vpu == pytest.approx(copies, rel=0.01)
    assert got.seconds == pytest.approx(got.mxu + got.vpu, rel=1e-3) and not got.collectives
    assert got.mfu(got.flops, V5P) == pytest.approx(got.flops / got.seconds / 459e12)


@pytest.mark.parametrize(
    ("first", "last", "step", "direction", "trips"),
    [(0, 3, 1, "LT", 3), (0, 3, 2, "LT", 2), (0, 3, 1, "LE", 4), (5, 0, -1, "GT", 5), (5, 0, -2, "GE", 3),
     (0, 4, 2, "NE", 2), (3, 3, 1, "LT", 0)],
)  # fmt: skip
def test_trips_are_read_off_the_comparison(first, last, step, direction, trips):
    module = hlo.parse(toy(first, last, step, direction))
    loop = module.entry.instructions["%loop"]
    assert hlo.trip_count(hlo.Scope(module, module.entry, lambda n, path: None), loop) == trips


def test_a_loop_that_depends_on_data_runs_as_often_as_told():
    text = toy().replace("%zero = s32[] constant(0)", "%zero = s32[] parameter(2)")
    once, thrice = (cost.estimate(text, V5P, RING, open_trips=n) for n in (1, 3))
    assert once.open_loops == 1 and thrice.seconds == pytest.approx(3 * once.seconds)


def test_a_gather_is_exposed_only_beyond_the_work_that_covers_it():
    wire = 3 * 2**20  # a quarter of 4 MiB from each of three others
    seconds = wire / (2 * V5P.link) + 2 * cost.HOP  # a ring: both ways at once
    short, long = (cost.estimate(toy(cycles=n), V5P, RING) for n in (7000, 700_000))
    for got, work in ((short, 7000 / V5P.clock), (long, 700_000 / V5P.clock)):
        gather = got.collectives["all-gather"]
        assert (gather.count, gather.bytes) == (3, 3 * wire) and gather.seconds == pytest.approx(3 * seconds)
        assert gather.exposed == pytest.approx(3 * max(0, seconds - work)) and got.exposed == gather.exposed
        assert got.seconds == pytest.approx(3 * max(seconds, work))
    assert long.collectives["all-gather"].hidden == 1


@pytest.mark.parametrize(
    ("written", "group"),
    [
        ("replica_groups={{0,2},{1,3}}", [0, 2]),
        ("replica_groups=[2,4]<=[8]", [0, 1, 2, 3]),
        ("replica_groups=[4,2]<=[2,4]T(1,0)", [0, 4]),
        ("replica_groups=mesh['a'=2,'b'=4] {'a'}", [0, 4]),
        ("replica_groups=mesh['a'=2,'b'=4] {'b'}", [0, 1, 2, 3]),
    ],
)
def test_groups_are_read_in_every_notation(written, group):
    assert cost.replica_group(f", channel_id=1, {written}, dimensions={{0}}") == group


def test_a_cut_off_ring_has_half_the_links():
    line = topology.Torus((4,), (False,), RING.coordinates, RING.slices)
    assert RING.reach([0, 1, 2, 3]) == (2, 2) and line.reach([0, 1, 2, 3]) == (1, 3)
    assert RING.distance(0, 3) == 1 and line.distance(0, 3) == 3
    assert not RING.crosses([0, 3])


def test_model_flops_are_six_for_each_weight_and_token():
    cfg = KNOWN["hf:Qwen/Qwen3-32B"]
    T = 4096
    weights = params.count(cfg) - cfg.vocab_size * cfg.d_model  # but the look-up
    attention = 6 * cfg.n_layers * cfg.n_heads * cfg.d_head * T * T
    assert cost.model_flops(cfg, T, T / 2, 3) == pytest.approx(6 * weights * T + attention, rel=1e-4)  # norms
    assert cost.model_flops(cfg, T, T / 2, 3) == pytest.approx(839e12, rel=1e-3)


def test_text_that_is_no_schedule_is_refused():
    with pytest.raises(ValueError, match=r"lowered\.compile\(\)\.as_text\(\)"):
        cost.estimate("HloModule toy\n", V5P, RING)
    with pytest.raises(ValueError, match="cut off"):
        hlo.parse(toy()[:400])


# 64 rows of 4 KiB are written into pages of 1 GiB in place; a kernel then reads what the rows' tables of 100 name
PAGED = """HloModule paged, is_scheduled=true

%write (p: bf16[8192,32,16,128], at: s32[64], new: bf16[64,16,128]) -> bf16[8192,32,16,128] {
  %p = bf16[8192,32,16,128]{3,2,1,0} parameter(0)
  %at = s32[64]{0} parameter(1)
  %new = bf16[64,16,128]{2,1,0} parameter(2)
  ROOT %s = bf16[8192,32,16,128]{3,2,1,0} scatter(%p, %at, %new), to_apply=%last
}

ENTRY %main (pages: bf16[8192,32,16,128], at: s32[64], new: bf16[64,16,128], table: s32[64,100]) -> bf16[64,32,128] {
  %pages = bf16[8192,32,16,128]{3,2,1,0} parameter(0)
  %at = s32[64]{0} parameter(1)
  %new = bf16[64,16,128]{2,1,0} parameter(2)
  %table = s32[64,100]{1,0} parameter(3)
  %q = bf16[64,32,128]{2,1,0} constant({...})
  %w = bf16[8192,32,16,128]{3,2,1,0} fusion(%pages, %at, %new), kind=kCustom, calls=%write
  ROOT %ragged_paged_attention_kernel.1 = bf16[64,32,128]{2,1,0} custom-call(%at, %table, %q, %w), KERNEL
}
""".replace("KERNEL", 'custom_call_target="tpu_custom_call"')


def test_pages_cost_what_is_touched_of_them():
    got = cost.estimate(PAGED, V5P, RING)
    assert got.vpu == pytest.approx(2 * (64 * 4096 + 64 * 4) / V5P.hbm_rate)
    page, q = 32 * 4096, 64 * 32 * 128 * 2
    assert got.kernels == pytest.approx((64 * 100 * page + 2 * q + 64 * 4 + 6400 * 4) / V5P.hbm_rate)
    assert got.kernel_flops == 4 * 64 * 32 * 128 * 100 * 32


@pytest.mark.parametrize(
    ("phase", "results", "matmuls"), [("fwd", "q", 2), ("dq", "q", 3), ("dkv", "k, k", 4), ("dkv", "dq, k, k", 5)]
)
def test_an_attention_kernel_costs_its_matmuls(phase: str, results: str, matmuls: int):
    """Ten heads of 2048 queries, one of keys; a backward kernel with three results makes all the gradients."""
    text = """HloModule kernel, is_scheduled=true

ENTRY %main (q: bf16[10,2048,128], k: bf16[1,2048,128]) -> f32[1] {
  %q = bf16[10,2048,128]{2,1,0} parameter(0)
  %k = bf16[1,2048,128]{2,1,0} parameter(1)
  ROOT %splash_mqa_PHASE_segmented.1 = (RESULTS) custom-call(%q, %k), custom_call_target="tpu_custom_call"
}
"""
    shapes = {"q": "bf16[10,2048,128]{2,1,0}", "k": "bf16[1,2048,128]{2,1,0}", "dq": "bf16[2,10,2048,128]{3,2,1,0}"}
    made = ", ".join(shapes[name] for name in results.split(", "))
    got = cost.estimate(text.replace("PHASE", phase).replace("RESULTS", made), V5P, RING)
    assert got.kernel_flops == matmuls * 2 * 10 * 128 * 2048**2 / 2 * 1.125
