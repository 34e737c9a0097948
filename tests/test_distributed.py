"""Who starts a process together with others, and what is said where its flags cannot be."""

from __future__ import annotations

import re

import pytest

from m2jax import distributed

THREE = ["--coordinator=host:81", "--num_processes=2", "--process_id=1"]


def test_flags_are_taken_out_of_the_others() -> None:
    given, rest = distributed.split_flags(["--config=a", *THREE, "--config.steps=3"])
    assert given == {"coordinator": "host:81", "num_processes": 2, "process_id": 1}
    assert rest == ["--config=a", "--config.steps=3"]
    assert (
        distributed.split_flags(["--process_id", "1", "--num_processes", "2", "--coordinator", "host:81"])[0] == given
    )
    assert distributed.split_flags(["--config=a"]) == ({}, ["--config=a"])


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (THREE[:1], "--num_processes and --process_id missing"),
        (THREE[1:], "--coordinator missing"),
        (["--coordinator=host", *THREE[1:]], "--coordinator is 'host'; give HOST:PORT"),
        ([*THREE[:2], "--process_id=2"], "--process_id is 2 and --num_processes 2"),
        ([*THREE[:2], "--process_id=-1"], "--process_id is '-1'; give a whole number"),
        ([THREE[0], "--num_processes=0", "--process_id=0"], "--process_id is 0 and --num_processes 0"),
    ],
)
def test_flags_that_cannot_be_are_named(argv: list[str], said: str) -> None:
    with pytest.raises(SystemExit, match=re.escape(said)):
        distributed.join(argv)


def test_one_process_stays_as_it_is() -> None:
    assert distributed.join(["--coordinator=host:81", "--num_processes=1", "--process_id=0", "rest"]) == ["rest"]
    assert distributed.from_first({"a": 1}) == {"a": 1} and distributed.is_first()
    assert distributed.any_process(True) and not distributed.any_process(False)


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"SLURM_NTASKS": "2", "SLURM_STEP_NODELIST": "n[1-2]", "JAX_PLATFORMS": "cpu"}, True),
        ({"SLURM_NTASKS": "2", "JAX_PLATFORMS": "cpu"}, False),  # a batch script, not a step
        ({"SLURM_NTASKS": "1", "SLURM_STEP_NODELIST": "n1", "JAX_PLATFORMS": "cpu"}, False),
        ({"TPU_WORKER_HOSTNAMES": "a,b"}, True),
        ({"TPU_WORKER_HOSTNAMES": "a,b", "JAX_PLATFORMS": "cpu"}, False),
        ({"MEGASCALE_NUM_SLICES": "2"}, True),
        ({"JAX_PLATFORMS": "cpu"}, False),
    ],
)
def test_environments_that_start_several(environment: dict[str, str], found: bool) -> None:
    assert distributed.several(environment) == found
