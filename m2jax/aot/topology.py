"""TPUs that are not there: their mesh, and what one chip has. Needs libtpu, which runs anywhere; nothing is executed.

A topology is written v5p:4x4x4, v6e:16x16 or v5e:2x4: the generation, and chips along each axis of its torus.
"""

from __future__ import annotations

import dataclasses
import math
import os

import jax
import numpy as np
from jax.experimental import mesh_utils, topologies

from m2jax.sharding import AXES


@dataclasses.dataclass(frozen=True)
class Chip:
    """hbm: GiB that a program may use, as the compiler's own out-of-memory message states it. peak: bf16 FLOP/s, from
    Google's data sheets.
    """

    hbm: float
    peak: float


CHIPS = {"v5p": Chip(95.73, 459e12), "v5e": Chip(15.75, 197e12), "v6e": Chip(31.24, 918e12)}


def make_mesh(topology: str, shape: tuple[int, int, int]) -> tuple[jax.sharding.Mesh, Chip]:
    """The mesh (data, fsdp, model) over the chips of `topology`, in which a -1 takes the chips that the others leave.

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
    shape = tuple(math.prod(sizes) // known if n == -1 else n for n in shape)
    if math.prod(shape) != math.prod(sizes):
        raise ValueError(f"mesh {shape} (data, fsdp, model) does not hold the {math.prod(sizes)} chips of {topology}")
    devices = mesh_utils.create_device_mesh(shape, _devices(generation, sizes), allow_split_physical_axes=True)
    explicit = (jax.sharding.AxisType.Explicit,) * len(AXES)
    return jax.sharding.Mesh(devices, AXES, axis_types=explicit), CHIPS[generation]


def _devices(generation: str, sizes: tuple[int, ...]) -> np.ndarray:
    """The chips of a topology. It must be told that its axes wrap around and that two cores are one device: without
    that, every all-gather is compiled as an all-reduce of twice the bytes.
    """
    os.environ |= {"TPU_SKIP_MDS_QUERY": "1", "ALLOW_MULTIPLE_LIBTPU_LOAD": "1"}  # read when libtpu is loaded
    dims = "x".join(map(str, sizes))
    if generation == "v5p":
        wrap = tuple(min(sizes) >= 4 and n % 4 == 0 for n in sizes)
        how = dict(topology_name=f"v5:{dims}", chip_config_name="megacore", chips_per_host_bounds=(2, 2, 1))
    else:
        wrap = (*(n == 16 for n in sizes), False)
        hosts = (2, 2, 1) if min(sizes) >= 2 else (1, 1, 1)
        how = dict(topology_name=f"{generation}:{dims}", chip_config_name="default", chips_per_host_bounds=hosts)
    try:
        topology = topologies.get_topology_desc(platform="tpu", num_slices=1, wrap=wrap, **how)
    except Exception as error:  # of XLA, of several kinds
        raise ValueError(
            f"the TPU compiler gives no topology {generation}:{dims}: {error}\n"
            "It comes with libtpu: make setup EXTRA=tpu"
        ) from error
    return np.asarray(topology.devices)
