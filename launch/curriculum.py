"""All five stages one after the other, each from where the one before ended, and what each adds (`make curriculum`):

    python launch/curriculum.py [--preset=cpu] [--workdir=runs/curriculum] [--model=smollm2-135m-instruct]

WORKDIR/STAGE is the stage's run, WORKDIR/STAGE/model what it ended with (a Hugging Face folder), STAGE/figures.jsonl
how good a doctor that is (configs/eval_doctor.py); WORKDIR/table.md and figure.svg compare them. Each part is a command
of its own, which is said before it runs. Stopped at any point, the same command goes on.
"""

import importlib
import json
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from absl import app, flags

sys.path.append(str(Path(__file__).resolve().parents[1]))  # where the configs are

from m2jax import adapters
from m2jax.report import stages

STAGES = ("midtrain", "sft", "rl_stage1", "rl_stage2", "rl_stage3")
CPU = {  # what stage 2 has here in place of its cpu preset, which is the demo's: replies are short, and the steps small
    "rl_stage2": (
        "--config.steps=12",
        "--config.data.clinic=1000",
        "--config.data.prompts_per_step=24",
        "--config.data.samples_per_prompt=8",
        "--config.sampling.max_tokens=32",
        "--config.sampling.slots=96",
        "--config.sampling.temperature=1.0",
        "--config.reward.unchecked=judge",
        "--config.reward.length_scale=0.0",  # replies have 15 tokens when it begins
        "--config.judge.adapter=grader",
        "--config.optimizer.lr=1e-4",
        "--config.eval.samples_per_prompt=1",
        "--config.watch.every=4",
    ),
}
ADAPTERS = {"rl_stage2": "judge.adapter", "rl_stage3": "consult.adapter"}
VERIFIED = ("rl_stage2", "rl_stage3")  # whose judge and patient are the model that all begins with
_PRESET = flags.DEFINE_string("preset", "cpu", "Preset of every stage; of the evaluation smoke where that is it.")
_WORKDIR = flags.DEFINE_string("workdir", "runs/curriculum", "Folder for everything.")
_MODEL = flags.DEFINE_string("model", None, "Where the first stage begins (default: its preset's model): see README.")
_STAGES = flags.DEFINE_list("stages", list(STAGES), "Which stages, in this order.")
_SET = flags.DEFINE_multi_string("set", [], "STAGE.KEY=VALUE, a value of one stage's config (or of eval's).")


def main(argv: list[str]) -> None:
    if len(argv) > 1:
        raise app.UsageError(f"{argv[1]!r} is no flag; see --help")
    try:
        start, own = asked()
        values = {"model": start, "preset": _PRESET.value, "stages": _STAGES.value, "set": _SET.value}
        begin(Path(_WORKDIR.value), values)
    except ValueError as error:
        sys.exit(f"error: {error}")
    workdir = Path(_WORKDIR.value)
    evaluation = "configs/eval_doctor.py" + (":smoke" if _PRESET.value == "smoke" else "")
    measured, model = {"start": measure(evaluation, start, workdir / "start", own["eval"])}, start
    for name in _STAGES.value:
        run = workdir / name
        if not (run / "summary.json").exists():
            given = [f"--config.model={model}", *([f"--config.verifier={start}"] if name in VERIFIED else [])]
            command(
                "launch/train.py", f"--config=configs/{name}.py:{_PRESET.value}", *given, f"--workdir={run}", *own[name]
            )
        if not (run / "summary.json").exists():
            sys.exit(f"error: {name} was stopped before its end; the same command goes on from there")
        if not (run / "model").exists():
            partial = run / "model.partial"
            shutil.rmtree(partial, ignore_errors=True)
            command("launch/export.py", f"--run={run}", f"--out={partial}")
            os.replace(partial, run / "model")
        model = str(run / "model")
        measured[name] = measure(evaluation, model, run, own["eval"])
        (workdir / "table.md").write_text(stages.table(measured))
        (workdir / "figure.svg").write_text(stages.figure(measured))
    print(f"\n{stages.table(measured)}\n{workdir / 'table.md'} and {workdir / 'figure.svg'}")


def asked() -> tuple[str, dict[str, list[str]]]:
    """The model that all begins with, and the flags of each stage's own values. ValueError where a stage or its preset
    is none.
    """
    if unknown := [name for name in _STAGES.value if name not in STAGES]:
        raise ValueError(f"--stages names {unknown}; the stages are {', '.join(STAGES)}")
    configs = [importlib.import_module(f"configs.{name}").get_config(_PRESET.value) for name in _STAGES.value]
    start = _MODEL.value or configs[0].model
    of_preset = CPU if _PRESET.value == "cpu" else {}
    own: dict[str, list[str]] = {name: [*of_preset.get(name, ())] for name in (*STAGES, "eval")}
    if start != adapters.card("grader")["model"]:  # they are of that model alone
        for name, key in ADAPTERS.items():
            own[name].append(f"--config.{key}=")
    for value in _SET.value:
        stage, _, rest = value.partition(".")
        if stage not in own:
            raise ValueError(f"--set={value} is of no stage; begin with one of {', '.join(STAGES)} or eval, and a dot")
        own[stage].append(f"--config.{rest}")
    return start, own


def begin(workdir: Path, values: dict) -> None:
    """Writes what is asked for to `workdir`/curriculum.json. ValueError where something else was begun there: what is
    there is not done again.
    """
    file = workdir / "curriculum.json"
    there = json.loads(file.read_text()) if file.exists() else values
    if changed := sorted(key for key in values if there.get(key) != values[key]):
        raise ValueError(
            f"{workdir} holds a curriculum with other values of {', '.join(changed)}; give the same to go on with it, "
            "or another --workdir"
        )
    workdir.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(values, indent=1) + "\n")


def measure(config: str, model: str, folder: Path, more: list[str]) -> stages.Figures:
    """The figures of a model by name, kept in `folder`/figures.jsonl."""
    file = folder / "figures.jsonl"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        told = command("launch/eval.py", f"--config={config}", f"--config.model={model}", "--json", *more, heard=True)
        file.with_suffix(".partial").write_text(told)
        os.replace(file.with_suffix(".partial"), file)
    return stages.read(file)


def command(*argv: str, heard: bool = False) -> str:
    """Runs a script of this repository; what it prints where that is to be heard. Ends this program where it fails."""
    print("+ python", shlex.join(argv), flush=True)
    repository = Path(__file__).resolve().parents[1]
    done = subprocess.run(
        [sys.executable, str(repository / argv[0]), *(_rooted(repository, a) for a in argv[1:])],
        stdout=subprocess.PIPE if heard else None,
        text=True,
    )
    if done.returncode:
        sys.exit(f"error: {argv[0]} ended with {done.returncode}; the same command goes on from there")
    return done.stdout or ""


def _rooted(repository: Path, argument: str) -> str:
    """A config's path from anywhere."""
    return argument.replace("--config=configs/", f"--config={repository}/configs/", 1)


if __name__ == "__main__":
    app.run(main)
