"""Predicted seconds of a compiled TPU program, from its HLO text. Nothing has run: this ranks variants and finds faults
of structure; on v5p it was 9% slow and 11% fast of two published step times, elsewhere it is not validated.

The schedule is replayed: one clock for the TensorCore, one for each thing that works beside it (links, DMA, host). What
the compiler gives cycles for takes these; operations off the matrix unit at most their bytes at 0.7 of HBM bandwidth
(the compiler charges a plain addition three to four times that). Collectives take their bytes over the torus links that
their group can drive; kernels their FLOPs at `chip.kernel_share` of peak, or their operands' bytes. What starts early
is exposed only as far as the TensorCore waits for it. Not modelled: contention for HBM, launch gaps, the network
between slices.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import re

import numpy as np

from m2jax.aot import hlo
from m2jax.aot.topology import Chip, Torus
from m2jax.models.config import ModelConfig

HBM_SHARE = 0.7
HOP = 1e-6  # seconds that a hop between two chips takes before data flows
COLLECTIVES = (
    "all-gather", "all-reduce", "reduce-scatter", "all-to-all", "ragged-all-to-all", "collective-permute",
    "collective-broadcast",
)  # fmt: skip
FREE = {
    "parameter", "constant", "get-tuple-element", "tuple", "bitcast", "after-all", "partition-id", "replica-id",
    "opt-barrier", "iota", "domain", "add-dependency",
}  # fmt: skip
IN_PLACE = {"dynamic-update-slice", "scatter"}
NO_WORK = {
    "AllocateBuffer", "Sharding", "AssumeGatherIndicesInBound", "ConcatBitcast", "LayoutConstraint",
    "PrepareAsyncCallStart", "PrepareAsyncCallDone",
}  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Traffic:
    """Collectives of one kind on one chip: how many run, bytes over its links, seconds on the links, and how many of
    these the TensorCore waits.
    """

    count: float = 0
    bytes: float = 0
    seconds: float = 0
    exposed: float = 0

    @property
    def hidden(self) -> float:
        """The share of the seconds that computation covers, 0 to 1."""
        return 1 - self.exposed / self.seconds if self.seconds else 1.0


@dataclasses.dataclass(frozen=True)
class Cost:
    """Predicted, for one chip. seconds: all. mxu, vpu, kernels: busy with matmuls, other fusions and copies, Pallas
    kernels. copy_wait, host_wait: waiting for copies in HBM, and to the host. flops: of matmuls, loops counted by their
    trips; kernel_flops: of kernels. dcn_bytes: between slices, not in `seconds`. open_loops: while loops whose trip
    count depends on data. notes: what was guessed, with how often.
    """

    seconds: float
    mxu: float
    vpu: float
    kernels: float
    copy_wait: float
    host_wait: float
    flops: float
    kernel_flops: float
    dcn_bytes: float
    collectives: dict[str, Traffic]
    open_loops: int
    notes: dict[str, int]

    @property
    def exposed(self) -> float:
        """Seconds that the TensorCore waits for collectives."""
        return sum(traffic.exposed for traffic in self.collectives.values())

    def mfu(self, model_flops: float, chip: Chip) -> float:
        """Model FLOPs on one chip (`model_flops` below) per second, as a share of the chip's bf16 peak."""
        return model_flops / self.seconds / chip.peak if self.seconds else 0.0


def model_flops(cfg: ModelConfig, tokens: float, context: float, passes: int) -> float:
    """passes * 2 * tokens * (N + 2 * layers * heads * d_head * context).

    N: weights that are multiplied: all but the embedding table, with the output head. context: keys that a token sees
    on average, T / 2 in a causal row of T. passes: 1 forward, 3 forward and backward; what remat computes again does
    not count. For training this is 6 * N * tokens + 6 * layers * heads * d_head * T * tokens.
    """
    heads = cfg.d_model * cfg.d_head * (2 * cfg.n_heads + 2 * cfg.n_kv_heads)
    weights = cfg.n_layers * (heads + 3 * cfg.d_model * cfg.d_mlp) + cfg.d_model * cfg.vocab_size
    return passes * 2 * tokens * (weights + 2 * cfg.n_layers * cfg.n_heads * cfg.d_head * context)


def estimate(text: str, chip: Chip, torus: Torus, open_trips: int = 1) -> Cost:
    """The cost of one call of the program. open_trips: how often a loop runs whose trip count depends on data."""
    module = hlo.parse(text)
    replay = _Replay(chip, torus, open_trips)
    total = replay.run(hlo.Scope(module, module.entry, lambda n, path: None))
    sums = total.sums
    kinds = {kind: Traffic(*(sums[kind, field] for field in ("count", "bytes", "seconds", "exposed")))
             for kind in COLLECTIVES if sums[kind, "count"]}  # fmt: skip
    names = ("mxu", "vpu", "kernels", "copy_wait", "host_wait", "flops", "kernel_flops", "dcn_bytes")
    return Cost(
        total.now, **{name: sums[name] for name in names}, collectives=kinds, open_loops=replay.open_loops,
        notes=dict(replay.notes),
    )  # fmt: skip


@dataclasses.dataclass
class _Clock:
    """One computation being replayed. free: when each thing beside the TensorCore is next idle. pending: what was
    started, with (when it ends, what it waits as), or the start itself until its data is handed over.
    """

    now: float = 0.0
    sums: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    free: collections.Counter = dataclasses.field(default_factory=collections.Counter)
    pending: dict = dataclasses.field(default_factory=dict)

    def spend(self, seconds: float, name: str) -> None:
        self.now += seconds
        self.sums[name] += seconds

    def launch(self, name: str, seconds: float, resource: str, wait: object) -> None:
        end = max(self.now, self.free[resource]) + seconds
        self.free[resource] = end
        self.pending[name] = end, wait

    def add(self, other: _Clock, times: float) -> None:
        self.now += times * other.now
        for key, amount in other.sums.items():
            self.sums[key] += times * amount


class _Replay:
    """The machine, and what was noted on the way."""

    def __init__(self, chip: Chip, torus: Torus, open_trips: int) -> None:
        self.chip, self.torus, self.open_trips = chip, torus, open_trips
        self.open_loops, self.notes = 0, collections.Counter()
        self.matmuls: dict[str, float] = {}

    def run(self, scope: hlo.Scope) -> _Clock:
        clock = _Clock()
        for it in scope.computation.instructions.values():
            if it.op in FREE:
                continue
            if it.op == "while":
                trips = hlo.trip_count(scope, it)
                if trips is None:
                    trips = self.open_trips
                    self.open_loops += 1
                inner = scope.enter(it.attribute(r"body=(%[\w.\-]+)") or "", it.operands)
                clock.add(self.run(inner), trips)
            elif it.op == "call":
                clock.add(self.run(scope.enter(it.called() or "", it.operands)), 1)
            elif it.op == "conditional":
                clock.add(self._slowest_branch(scope, it), 1)
            elif it.op.endswith("-done"):
                _wait(clock, it)
            elif it.op.endswith("-update"):
                started = clock.pending.pop(it.operands[0], None)
                if isinstance(started, hlo.Instruction):
                    self._launch(scope, clock, dataclasses.replace(started, name=it.name))
                else:
                    clock.pending[it.name] = started
            elif it.op == "call-start" and not it.operands:
                clock.pending[it.name] = it  # waits for its call-update
            elif it.op.endswith("-start"):
                self._launch(scope, clock, it)
            elif it.op in ("send", "recv"):
                if it.op == "send" and "megascale" in it.attributes:
                    clock.sums["dcn_bytes"] += scope.computation.inputs(it)[0].bytes
            elif it.op in COLLECTIVES:
                seconds = self._collective(clock, scope.computation, it, it.op)
                clock.spend(seconds, (it.op, "exposed"))
            else:
                self._compute(clock, scope, it)
        return clock

    def _slowest_branch(self, scope: hlo.Scope, it: hlo.Instruction) -> _Clock:
        branches = re.findall(r"(?:branch_computations=\{|computation=|, )(%[\w.\-]+)", it.attributes)
        named = [name for name in branches if name in scope.module.computations]
        return max((self.run(scope.enter(name, it.operands[1:])) for name in named), key=lambda clock: clock.now)

    def _launch(self, scope: hlo.Scope, clock: _Clock, it: hlo.Instruction) -> None:
        """Starts what runs beside the TensorCore."""
        kind = it.op.removesuffix("-start")
        inputs = scope.computation.inputs(it)
        if kind in COLLECTIVES:
            seconds = self._collective(clock, scope.computation, it, kind)
            return clock.launch(it.name, seconds, "links", kind)
        if kind in ("async", "call"):
            inner = scope.module.computations[it.called() or ""]
            seconds, wait = 0.0, "copy_wait"
            for each in inner.instructions.values():
                if each.op.removesuffix("-start") in COLLECTIVES:
                    wait = each.op.removesuffix("-start")
                    seconds += self._collective(clock, inner, each, wait)
            if wait in COLLECTIVES:
                return clock.launch(it.name, seconds, "links", wait)
            seconds = 2 * inner.root.bytes / self.chip.hbm_rate
            return clock.launch(it.name, seconds, "beside", wait)
        moved = min(sum(one.bytes for one in inputs[:1]) or it.bytes, it.bytes)
        if any(array.space == 5 for one in (*inputs, it) for array in one.arrays):
            return clock.launch(it.name, moved / self.chip.host_rate, "host", "host_wait")
        return clock.launch(it.name, moved / self.chip.hbm_rate, "dma", "copy_wait")

    def _compute(self, clock: _Clock, scope: hlo.Scope, it: hlo.Instruction) -> None:
        """What occupies the TensorCore."""
        computation = scope.computation
        if it.attribute(r'custom_call_target="(tpu_custom_call)"'):
            seconds, flops = self._kernel(computation, it)
            clock.sums["kernel_flops"] += flops
            return clock.spend(seconds, "kernels")
        flops = 0.0
        if it.op in ("convolution", "dot"):
            flops = hlo.matmul_flops(computation, it)
        elif it.op == "fusion":
            flops = self._matmuls(scope.module, it.called() or "")
        clock.sums["flops"] += flops
        seconds = self._seconds(scope, it, flops)
        clock.spend(seconds, "mxu" if flops else "vpu")
        if it.op == "fusion":
            inner = scope.module.computations[it.called() or ""]
            ops = {one.op for one in inner.instructions.values()}
            for each in inner.instructions.values():
                kind = each.op.removesuffix("-start")
                if kind in COLLECTIVES:
                    if kind == "all-reduce" and "dynamic-slice" in ops:
                        kind = "reduce-scatter"  # how the TPU compiler writes it inside a fusion
                    wire = self._collective(clock, inner, each, kind)
                    clock.spend(max(0.0, wire - seconds), (kind, "exposed"))
                    seconds = max(0.0, seconds - wire)

    def _seconds(self, scope: hlo.Scope, it: hlo.Instruction, flops: float) -> float:
        inputs = scope.computation.inputs(it)
        cycles = int(it.attribute(r'"estimated_cycles":"(\d+)"') or 2**60)
        if cycles < 2**60:
            seconds = cycles / self.chip.clock
            in_hbm = sum(array.bytes for one in (*inputs, it) for array in one.arrays if array.space == 0)
            if "COST_MODEL_TYPE_INVALID" in it.attributes and not flops and in_hbm > 2**20:
                return min(seconds, in_hbm / (HBM_SHARE * self.chip.hbm_rate))
            return seconds
        if it.op == "custom-call":
            target = it.attribute(r'custom_call_target="([^"]+)"')
            if target not in NO_WORK:
                self.notes[f"custom call {target} counted as free"] += 1
            return 0.0
        moved = it.bytes + sum(one.bytes for one in inputs)
        if it.op == "dynamic-slice":
            moved = 2 * it.bytes
        elif (
            it.op in IN_PLACE or it.op == "fusion" and scope.module.computations[it.called() or ""].root.op in IN_PLACE
        ):
            moved = 2 * (sum(one.bytes for one in inputs) - max(one.bytes for one in inputs))  # the largest is updated
        if it.op != "fusion" and moved < 2**16:
            return 0.0
        self.notes[f"{it.op} without cycles, by its bytes"] += 1
        return max(moved / self.chip.hbm_rate, flops / (0.8 * self.chip.peak))

    def _matmuls(self, module: hlo.Module, name: str) -> float:
        if name not in self.matmuls:
            computation, total = module.computations[name], 0.0
            for it in computation.instructions.values():
                if it.op in ("convolution", "dot"):
                    total += hlo.matmul_flops(computation, it)
                elif it.op in ("fusion", "call"):
                    total += self._matmuls(module, it.called() or "")
            self.matmuls[name] = total
        return self.matmuls[name]

    def _kernel(self, computation: hlo.Computation, it: hlo.Instruction) -> tuple[float, float]:
        """Seconds and FLOPs of a Pallas kernel: as it states them; causal attention by its name and shapes; else its
        operands' bytes.
        """
        inputs = computation.inputs(it)
        moved, flops = it.bytes + sum(one.bytes for one in inputs), 0.0
        stated = it.attribute(r'"cost_estimate":\{([^}]*)\}')
        if stated:
            said = {key: int(number) for key, number in re.findall(r'"(\w+)":"?(\d+)', stated)}
            moved, flops = said.get("bytes_accessed") or moved, said.get("flops", 0)
        name = re.sub(r"[.\d]+$", "", it.name.lstrip("%"))
        if name.startswith("ragged_paged_attention"):
            (_, n_pages), (pages, size) = inputs[1].arrays[0].dims, inputs[-1].arrays[0].dims[:2]
            read = min(math.prod(inputs[1].arrays[0].dims), pages) * inputs[-1].bytes // pages
            moved += read - inputs[-1].bytes
            flops = 4 * math.prod(inputs[-2].arrays[0].dims) * n_pages * size
            self.notes[f"kernel {name}: all pages of every row's table"] += 1
        elif not flops and re.search(r"splash|flash", name):
            dims = [one.arrays[0].dims for one in inputs if one.arrays and one.arrays[0].dtype in ("bf16", "f32")]
            rows = [d for d in dims if len(d) >= 3 and d[-1] >= 64 and d[-2] >= 64]
            if rows:
                matmuls = 2 if "fwd" in name else 3 if "dq" in name else 4  # of dk and dv
                matmuls += "dkv" in name and len(it.arrays) > 2  # dq as well
                keys = rows[min(1, len(rows) - 1)][-2]
                flops = (
                    matmuls * 2 * math.prod(rows[0]) * keys / 2 * 1.125
                )  # the causal half, and the diagonal's blocks
                self.notes[f"kernel {name}: causal attention at {self.chip.kernel_share:.0%} of peak"] += 1
        if not flops:
            self.notes[f"kernel {name}: by its operands' bytes"] += 1
        return max(flops / (self.chip.kernel_share * self.chip.peak), moved / self.chip.hbm_rate), flops

    def _collective(self, clock: _Clock, computation: hlo.Computation, it: hlo.Instruction, kind: str) -> float:
        """Seconds on the links, counted in the sums."""
        moved = sum(one.bytes for one in computation.inputs(it))
        pairs = it.attribute(r"source_target_pairs=\{(\{.*?\})\}")
        if pairs is not None:
            hops = max(
                (self.torus.distance(int(a), int(b)) for a, b in re.findall(r"\{(\d+),(\d+)\}", pairs)), default=0
            )
            wire = moved
            seconds = moved / self.chip.link * min(max(hops, 1), 2) + HOP * hops
        else:
            group = replica_group(it.attributes)
            n = len(group)
            if n < 2:
                return 0.0
            links, hops = self.torus.reach(group)
            twice = 2 if kind == "all-reduce" else 1
            wire = twice * (moved * n if kind == "all-gather" else moved) * (n - 1) / n
            if kind.endswith("all-to-all"):
                seconds = moved * max(hops, 1) / 2 / (links * self.chip.link) + HOP * hops
            else:
                driven = _driven(it.attributes, links)
                seconds = wire / (driven * self.chip.link) + HOP * max(hops, 1) * twice
            if self.torus.crosses(group):
                seconds = max(seconds, wire / n / self.chip.dcn)
        clock.sums[kind, "count"] += 1
        clock.sums[kind, "bytes"] += wire
        clock.sums[kind, "seconds"] += seconds
        return seconds


def _wait(clock: _Clock, it: hlo.Instruction) -> None:
    started = clock.pending.pop(it.operands[0], None)
    if isinstance(started, tuple):
        end, wait = started
        clock.spend(max(0.0, end - clock.now), (wait, "exposed") if wait in COLLECTIVES else wait)


def _driven(attributes: str, links: float) -> float:
    """How many of a group's links the compiler's algorithm drives at once."""
    found = re.search(r'"strategy":"(\w+)"', attributes) or re.search(r'"emitter":"(\w+)"', attributes)
    name = found.group(1) if found else ""
    if "UniDirection1D" in name:
        return 1
    if name == "StrategyRing" or name.startswith("1D"):
        return min(2, links)
    if name.startswith("2D"):
        return min(4, links)
    return max(1.0, links / 2) if "UniDirectionND" in name else links


def replica_group(attributes: str) -> list[int]:
    """The devices of the first group of a collective, in any of the ways that HLO writes them."""
    listed = re.search(r"replica_groups=\{\{([\d,]+)\}", attributes)
    if listed:
        return _numbers(listed.group(1))
    tiled = re.search(r"replica_groups=\[([\d,]+)\]<=\[([\d,]+)\](?:T\(([\d,]+)\))?", attributes)
    if tiled:
        return _iota(tiled.group(2), tiled.group(3)).reshape(_numbers(tiled.group(1)))[0].tolist()
    mesh = re.search(
        r"replica_groups=mesh\[([^\]]*)\](?:,?\s*(?:device_ids=)?\(\[([\d,]+)\](?:T\(([\d,]+)\))?\))?\s*\{([^}]*)\}",
        attributes,
    )
    if mesh is None:
        return []
    axes = {name: int(size) for name, size in re.findall(r"'([^']+)'=(\d+)", mesh.group(1))}
    kept = re.findall(r"'([^']+)'", mesh.group(4))
    order = [*(name for name in axes if name not in kept), *kept]
    devices = _iota(mesh.group(2) or str(math.prod(axes.values())), mesh.group(3)).reshape(tuple(axes.values()))
    width = math.prod(axes[name] for name in kept)
    return devices.transpose([list(axes).index(name) for name in order]).reshape(-1, width)[0].tolist()


def _iota(sizes: str, order: str | None) -> np.ndarray:
    out = np.arange(math.prod(_numbers(sizes))).reshape(_numbers(sizes))
    return out.transpose(_numbers(order)) if order else out


def _numbers(text: str) -> list[int]:
    return [int(n) for n in text.split(",")]
