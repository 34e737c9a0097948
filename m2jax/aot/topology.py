"""TPUs that are not there: their mesh, and what one chip has. Needs libtpu, which runs anywhere; nothing is executed.

A topology is written v5p:4x4x4, v6e:16x16 or v5e:2x4: the generation, and chips along each axis of its torus.
"""

from __future__ import annotations

import dataclasses
import math
import os

import jax
from jax.experimental import topologies

from m2jax import sharding


@dataclasses.dataclass(frozen=True)
class Chip:
    """hbm: GiB that a program may use, as the compiler's own out-of-memory message states it. peak: bf16 FLOP/s; clock:
    Hz of the TensorCore; hbm_rate, link (one way, of one link), host_rate, dcn: bytes/s. From Google's data sheets; the
    clocks are those with which the compiler's cycles of a large matmul give the stated peak.
    kernel_share: of peak, what an attention kernel is assumed to reach (heads of 128 fill half of v6e's matrix unit).
    """

    hbm: float
    peak: float
    clock: float
    hbm_rate: float
    link: float
    dcn: float
    kernel_share: float
    host_rate: float = 16e9


CHIPS = {
    "v5p": Chip(95.73, 459e12, 1.75e9, 2.765e12, 90e9, 6.25e9, 0.55),
    "v5e": Chip(15.75, 197e12, 1.5e9, 0.81e12, 45e9, 3.1e9, 0.5),
    "v6e": Chip(31.24, 918e12, 1.75e9, 1.64e12, 90e9, 6.25e9, 0.35),
}


@dataclasses.dataclass(frozen=True)
class Torus:
    """Where the devices of a program lie, in its order. wraps: the axes whose two ends are linked."""

    sizes: tuple[int, ...]
    wraps: tuple[bool, ...]
    coordinates: tuple[tuple[int, ...], ...]
    slices: tuple[int, ...]

    def reach(self, group: list[int]) -> tuple[int, int]:
        """Links that a chip can drive within `group`, and the hops to the farthest chip along an axis."""
        links = hops = 0
        for axis, size in enumerate(self.sizes):
            extent = len({self.coordinates[device][axis] for device in group})
            ring = extent == size and self.wraps[axis]
            if extent > 1:
                links += 2 if ring else 1
                hops = max(hops, extent // 2 if ring else extent - 1)
        return max(links, 1), hops

    def distance(self, a: int, b: int) -> int:
        """Hops between two devices."""
        total = 0
        for n, m, size, wrap in zip(self.coordinates[a], self.coordinates[b], self.sizes, self.wraps, strict=True):
            total += min(abs(n - m), size - abs(n - m)) if wrap else abs(n - m)
        return total

    def crosses(self, group: list[int]) -> bool:
        """Whether a group spans slices."""
        return len({self.slices[device] for device in group}) > 1


def make_mesh(topology: str, shape: tuple[int, ...], slices: int = 1) -> tuple[jax.sharding.Mesh, Torus, Chip]:
    """The mesh (data, fsdp, model[, context]) over the chips of `slices` times `topology`, in which a -1 takes the
    chips that the others leave. `shape` is that of one slice; `data` grows by the slices, outermost, so that only
    gradients cross.

    ValueError where the topology is not known, the shape does not hold its chips, or libtpu is missing.
    """
    generation, _, dims = topology.partition(":")
    sides = dims.split("x")
    if generation not in CHIPS or not all(side.isdigit() and int(side) for side in sides):
        raise ValueError(
            f"topology {topology!r} is not known; write one like v5p:4x4x4, v6e:16x16 or v5e:2x4 "
            f"(generations: {', '.join(CHIPS)})"
        )
    sizes = tuple(int(side) for side in sides)
    known = -math.prod(shape) if -1 in shape else math.prod(shape)
    shape = tuple(math.prod(sizes) // known if n == -1 else n for n in sharding.full_shape(shape))
    if math.prod(shape) != math.prod(sizes):
        raise ValueError(
            f"mesh {shape} (data, fsdp, model, context) does not hold the {math.prod(sizes)} chips of {topology}"
        )
    wraps = _wraps(generation, sizes)
    devices = _devices(generation, sizes, wraps, slices)
    mesh = sharding.make_mesh(shape, devices)
    return mesh, torus_of(mesh, sizes, wraps), CHIPS[generation]


def torus_of(mesh: jax.sharding.Mesh, sizes: tuple[int, ...], wraps: tuple[bool, ...]) -> Torus:
    """Where the devices of a mesh of TPUs lie."""
    devices = mesh.devices.flatten().tolist()
    where = tuple(tuple(device.coords[: len(sizes)]) for device in devices)
    return Torus(sizes, wraps, where, tuple(map(_slice, devices)))


def _slice(device: jax.Device) -> int:
    return getattr(device, "slice_index", 0) or 0


def _wraps(generation: str, sizes: tuple[int, ...]) -> tuple[bool, ...]:
    """Which axes are rings: on v5p whole cubes of four, on the others sides of 16."""
    if generation == "v5p":
        return tuple(min(sizes) >= 4 and n % 4 == 0 for n in sizes)
    return tuple(n == 16 for n in sizes)


def _devices(generation: str, sizes: tuple[int, ...], wraps: tuple[bool, ...], slices: int) -> list[jax.Device]:
    """The chips of a topology. It must be told that its axes wrap around and that two cores are one device: without
    that, every all-gather is compiled as an all-reduce of twice the bytes.
    """
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}  # read when libtpu is loaded
    dims = "x".join(map(str, sizes))
    if generation == "v5p":
        how = dict(topology_name=f"v5:{dims}", chip_config_name="megacore", chips_per_host_bounds=(2, 2, 1))
    else:
        wraps = (*wraps, False)
        hosts = (2, 2, 1) if min(sizes) >= 2 else (1, 1, 1)
        how = dict(topology_name=f"{generation}:{dims}", chip_config_name="default", chips_per_host_bounds=hosts)
    try:
        topology = topologies.get_topology_desc(platform="tpu", num_slices=slices, wrap=wraps, **how)
    except Exception as error:  # of XLA, of several kinds
        raise ValueError(
            f"the TPU compiler gives no topology {generation}:{dims}: {error}\n"
            "It comes with libtpu: make setup EXTRA=tpu"
        ) from error
    return list(topology.devices)
