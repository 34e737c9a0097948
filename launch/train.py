"""Trains a model: python launch/train.py --config=configs/rl_stage2.py[:preset] [--workdir=runs/name]
[--config.key=value ...]

A run folder that already holds checkpoints goes on where it stopped. Several processes run this same command; on TPU
VMs, GKE and under Slurm they find each other, elsewhere each also gets --coordinator=HOST:PORT --num_processes=N
--process_id=I (HOST is that of process 0). The run folder is on a disk that all of them share.
"""

from m2jax import distributed

distributed.start()

import sys
from pathlib import Path

sys.argv[1:] = distributed.join(sys.argv[1:])
sys.path.append(str(Path(__file__).resolve().parents[1]))  # so that a config may build on another one

from absl import app, flags, logging
from ml_collections import config_flags

_CONFIG = config_flags.DEFINE_config_file("config", None, "Config file, with :preset if it has any.", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Run folder; runs/<config>-<preset> by default.")


def parse(argv: list[str]) -> list[str]:
    """absl's parser; what is wrong is told in one line, without the config library's traceback."""
    try:
        return flags.FLAGS(argv)
    except (flags.Error, AttributeError, KeyError, OSError) as error:
        inner = error.args[0] if error.args and isinstance(error.args[0], Exception) else error
        text = str(inner.args[0] if isinstance(inner, KeyError) and inner.args else inner).strip()
        lines = [line.strip() for line in text.splitlines()]
        sys.exit("error: " + (lines[-1] if "Traceback" in text else " ".join(lines)))


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag; values are given as --config.key=value")
    logging.set_verbosity(logging.WARNING)  # not every file that Orbax writes
    from m2jax import run as training

    config = _CONFIG.value
    stem = flags.FLAGS["config"].config_filename.rsplit("/", 1)[-1].split(".py")[0]
    with distributed.fail_together():
        training.run(config, _WORKDIR.value or f"runs/{stem}-{config.preset}", command=" ".join(["python", *sys.argv]))


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    app.run(main, flags_parser=parse)
