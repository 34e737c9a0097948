"""Compares evaluations, paired by record: python launch/compare.py A B ... [--out=table.md]

Each is the folder (config.workdir) of one, or a file that `launch/eval.py --json` printed. One column each, with 95%
intervals, and below a value the paired gain over the one before it; of figures that are right or wrong by record, also
the p of McNemar's exact test.
"""

import sys
from pathlib import Path

from absl import app, flags

from m2jax.report import stages

_OUT = flags.DEFINE_string("out", "", "Markdown file to write as well.")


def main(argv: list[str]) -> None:
    files = argv[1:]
    if len(files) < 2:
        sys.exit("error: give at least two, each the folder of an evaluation or what `launch/eval.py --json` printed")
    try:
        said = stages.table({name: stages.read(_file(Path(name))) for name in files})
    except (ValueError, OSError, KeyError, TypeError) as error:
        sys.exit(f"error: {error}")
    print(said, end="")
    if _OUT.value:
        Path(_OUT.value).write_text(said)


def _file(given: Path) -> Path:
    return given / "figures.jsonl" if given.is_dir() else given


if __name__ == "__main__":
    app.run(main)
