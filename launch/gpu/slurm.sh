#!/usr/bin/env bash
# Trains on GPUs under Slurm, one process a node; submit it from the repository:
#
#   sbatch --nodes=2 --gpus-per-node=8 launch/gpu/slurm.sh --config=configs/rl_stage2.py:chip --workdir=/shared/run --config.grpo.micro_groups=16
#
# Partition, account and time go to sbatch too. Before the time is up, and where the job is taken off, the training
# saves; a job that is put back into the queue goes on from its last checkpoint. DRY_RUN=1 prints the command.
#SBATCH --job-name=m2jax
#SBATCH --ntasks-per-node=1
#SBATCH --signal=TERM@300
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=m2jax-%j.log
set -euo pipefail

die() {
    printf 'error: %s\n' "$*" >&2
    exit 2
}

[[ -n ${SLURM_JOB_ID:-} ]] || die "SLURM_JOB_ID is not set: give this script to sbatch (its first lines say how)"
gpus=${SLURM_GPUS_ON_NODE:-}
[[ $gpus =~ ^[1-9][0-9]*$ ]] || die "SLURM_GPUS_ON_NODE is '$gpus': submit with sbatch --gpus-per-node=N"
cd "${SLURM_SUBMIT_DIR:-.}" # Slurm runs a copy of this file
[[ -f launch/train.py ]] || die "launch/train.py is not in $PWD: submit from the repository"
[[ " $*" == *" --config="* ]] || die "--config is missing: sbatch ... launch/gpu/slurm.sh --config=FILE:PRESET --workdir=/shared/run"
[[ " $*" == *" --workdir=/"* ]] || die "--workdir must be the path of a folder that all nodes share: --workdir=/shared/run"

# JAX finds the coordinator by itself; of the devices it would take one a task, but here a task has all of its node.
JAX_LOCAL_DEVICE_IDS=$(seq -s, 0 $((gpus - 1)))
export JAX_LOCAL_DEVICE_IDS
# without that many, srun would give the task one CPU
command=(srun --cpus-per-task="${SLURM_CPUS_ON_NODE:?}" .venv/bin/python launch/train.py "$@")
if [[ ${DRY_RUN:-0} == 1 ]]; then
    printf 'JAX_LOCAL_DEVICE_IDS=%s %s\n' "$JAX_LOCAL_DEVICE_IDS" "${command[*]}"
    exit
fi
[[ -x .venv/bin/python ]] || die ".venv is missing in $PWD: make setup EXTRA=cuda"
exec "${command[@]}"
