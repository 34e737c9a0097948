"""launch/gpu/slurm.sh: the exact command, and what is said where the job or its flags cannot be."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import REPOSITORY
from tests.docs.pages import page_of, shown

FLAGS = ["--config=configs/rl_stage2.py:chip", "--workdir=/shared/a"]
JOB = {"SLURM_JOB_ID": "7", "SLURM_GPUS_ON_NODE": "4", "SLURM_CPUS_ON_NODE": "32", "SLURM_SUBMIT_DIR": str(REPOSITORY)}


def submit(cwd: Path, args: list[str], job: dict[str, str]) -> subprocess.CompletedProcess:
    """As Slurm runs it: a copy of the file, in another folder."""
    copy = cwd / "slurm_script"
    copy.write_bytes((REPOSITORY / "launch" / "gpu" / "slurm.sh").read_bytes())
    clean = {k: v for k, v in os.environ.items() if not k.startswith("SLURM")}
    command = ["bash", str(copy), *args]
    return subprocess.run(command, cwd=cwd, env=clean | {"DRY_RUN": "1"} | job, capture_output=True, text=True)


def test_the_page_gives_a_command_that_the_script_takes(tmp_path):
    (command,) = [command for command in shown(page_of("gpu")) if command[0] == "sbatch"]
    script = command.index("launch/gpu/slurm.sh")
    done = submit(tmp_path, command[script + 1 :], JOB)
    assert done.returncode == 0 and done.stdout.endswith(" ".join(["launch/train.py", *command[script + 1 :]]) + "\n")
    assert {word.split("=")[0] for word in command[1:script]} == {"--nodes", "--gpus-per-node"}


def test_one_process_a_node_sees_all_its_gpus(tmp_path):
    done = submit(tmp_path, FLAGS, JOB)
    line = f"JAX_LOCAL_DEVICE_IDS=0,1,2,3 srun --cpus-per-task=32 .venv/bin/python launch/train.py {' '.join(FLAGS)}\n"
    assert (done.stdout, done.returncode) == (line, 0), done.stderr


@pytest.mark.parametrize(
    ("args", "changed", "said"),
    [
        (FLAGS, {"SLURM_JOB_ID": ""}, "SLURM_JOB_ID is not set: give this script to sbatch"),
        (FLAGS, {"SLURM_GPUS_ON_NODE": ""}, "SLURM_GPUS_ON_NODE is '': submit with sbatch --gpus-per-node=N"),
        (FLAGS, {"SLURM_SUBMIT_DIR": "/"}, "launch/train.py is not in /: submit from the repository"),
        (FLAGS[1:], {}, "--config is missing"),
        (FLAGS[:1], {}, "--workdir must be the path of a folder that all nodes share"),
    ],
)
def test_what_cannot_be_is_named(tmp_path, args, changed, said):
    done = submit(tmp_path, args, JOB | changed)
    assert done.returncode == 2 and f"error: {said}" in done.stderr


def test_the_batch_lines_ask_for_one_task_a_node():
    text = (REPOSITORY / "launch" / "gpu" / "slurm.sh").read_text()
    assert "#SBATCH --ntasks-per-node=1" in text and "#SBATCH --requeue" in text
