"""What the pages say can be done: every command names a script, flags, presets and values that there are; every example
in Python runs; links lead somewhere.

Commands stand in blocks marked bash; what is in brackets in those marked text and in running text is left away. All are
held against the scripts, and each is one that a test runs, in small, or one that no test can.
"""

from __future__ import annotations

import ast
import functools
import importlib
import importlib.util
import re
from pathlib import Path

import pytest
from ml_collections import ConfigDict

from m2jax.records.__main__ import main as records
from tests.conftest import REPOSITORY
from tests.docs.pages import FENCED, PAGES, Command, blocks, page_of, shown, sketched
from tests.train.tiny_run import write_model

# What a command begins with, where need be after its page, and the test that takes it from there and runs it.
RUN = {
    "README: python -c": "docs/test_readme.py",
    "README: python -m m2jax.data.clinic_tfds --form=tasks": "docs/test_readme.py",
    "README: python -m m2jax.records": "docs/test_readme.py",
    "README: python -m m2jax.weights": "docs/test_readme.py",
    "README: python launch/chat.py --role": "docs/test_readme.py",
    "README: python launch/data.py decontaminate": "docs/test_readme.py",
    "README: python launch/eval.py --config=configs/eval_doctor.py": "docs/test_readme.py",
    "README: python launch/eval.py --config=configs/eval_verifier.py": "docs/test_readme.py",
    "README: python launch/export.py": "test_export.py",
    "README: python launch/reject.py --config=configs/rl_stage2.py": "docs/test_readme.py",
    "README: python launch/serve.py": "launch/test_serve.py",
    "README: python launch/train.py --config=configs/rl_stage1.py --config.data.path=data": "docs/test_readme.py",
    "README: python launch/train.py --config=configs/rl_stage2.py": "docs/test_readme.py",
    "README: python launch/view.py": "docs/test_readme.py",
    "data: python -m m2jax.data.clinic_tfds": "docs/test_data.py",
    "data: python launch/consultations.py": "docs/test_data.py",
    "data: python launch/corpus.py": "docs/test_data.py",
    "data: python launch/data.py": "docs/test_data.py",
    "data: python launch/difficulty.py": "docs/test_data.py",
    "data: python launch/reject.py": "docs/test_data.py",
    "data: python launch/train.py": "docs/test_data.py",
    "evaluation: python launch/compare.py": "docs/test_evaluation.py",
    "evaluation: python launch/eval.py": "docs/test_evaluation.py",
    "evaluation: python launch/export.py": "test_export.py",
    "gpu: sbatch": "launch/test_slurm.py",
    "report: python -m tests.report.made_runs": "docs/test_readme.py",
    "report: python launch/chat.py --transcript": "docs/test_readme.py",
    "report: python launch/view.py": "report/test_view.py",
    "serving: curl": "serve/test_page.py",
    "serving: python launch/eval.py": "docs/test_evaluation.py",
    "serving: python launch/lm_eval.py": "serve/test_page.py",
    "serving: python launch/load.py": "serve/test_page.py",
    "serving: python launch/serve.py": "launch/test_serve.py",
    "tpu: launch/tpu/": "launch/test_tpu_scripts.py",
    "tpu: python launch/export.py": "test_export.py",
    "verifier: python -m m2jax.records": "test_docs.py",
    "verifier: python launch/chat.py --role": "docs/test_readme.py",
    "verifier: python launch/eval.py": "docs/test_readme.py",
    "verifier: python launch/export.py": "test_export.py",
}
# What no test runs, and why.
NOT_RUN = {
    "README: sbatch": "Slurm",
    "data: python launch/curriculum.py": "hours",
    "evaluation: python launch/serve.py": "devices",
    "export": "shell",
    "gcloud": "gcloud",
    "gpu: python launch/train.py": "GPU",
    "lm_eval": "lm_eval",
    "make adapters": "hours",
    "make curriculum": "hours",
    "make demo": "minutes",
    "make setup": "installs",
    "make test": "itself",
    "make test-aot": "installs",
    "make test-gpu": "installs",
    "python launch/bench.py": "minutes",
    "python launch/compile.py": "libtpu",
    "serving: python tests/serve/openai_client.py": "openai",
    "verifier: python launch/adapter.py": "hours",
    "verifier: python launch/gate.py": "minutes",
    "verifier: python launch/train.py": "hours",
}
FOUND = [(page, command) for page in PAGES for command in (*shown(page), *sketched(page))]
COMMANDS = [pytest.param(command, id=f"{page.stem}: {' '.join(command[1:4])}") for page, command in FOUND]


@functools.cache
def flags_of(script: Path) -> dict[str, list[str] | None]:
    """The flags that a script defines, with the values of an enum where they are written there."""
    found: dict[str, list[str] | None] = {}
    for node in ast.walk(ast.parse(script.read_text("utf-8"))):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or not node.args:
            continue
        name = node.args[0].value if isinstance(node.args[0], ast.Constant) else None
        if node.func.attr.startswith("DEFINE_"):
            enum = node.args[2] if node.func.attr == "DEFINE_enum" else None
            found[name] = ast.literal_eval(enum) if isinstance(enum, ast.List | ast.Tuple) else None
        elif node.func.attr == "add_argument":
            found[str(name).removeprefix("--")] = None
    return found


def check_config(value: str, overrides: list[tuple[str, str]]) -> None:
    """The preset is there, and each key with a value of its type."""
    file, _, preset = value.partition(":")
    module = importlib.import_module(file.removesuffix(".py").replace("/", "."))
    config: ConfigDict = module.get_config(preset) if preset else module.get_config()
    for key, text in overrides:
        owner, _, name = key.rpartition(".")
        tree = functools.reduce(lambda t, k: t[k], owner.split("."), config) if owner else config
        assert name in tree, f"{file} has no {key}"
        if not isinstance(tree[name], str):
            assert isinstance(ast.literal_eval(text), type(tree[name]) | int), f"{key} is no {type(tree[name])}: {text}"


def script_of(command: Command) -> tuple[Path, list[str]]:
    """The script that a command of Python names, and its arguments; those of a shell script are training's."""
    for i, word in enumerate(command):
        if word.endswith(".sh"):
            assert (REPOSITORY / word).is_file(), word
            training = Path(word).stem in ("run", "slurm")
            return Path("launch/train.py"), command[i + 1 :] if training else []
    if command[1] == "-m":
        module = Path(*command[2].split("."))
        return next(
            f for f in (module.with_suffix(".py"), module / "__main__.py") if (REPOSITORY / f).is_file()
        ), command[3:]
    return Path(command[1]), command[2:]


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_is_one_that_there_is(command: Command) -> None:
    if command[0] == "make":
        targets = re.findall(r"^([a-z-]+):", (REPOSITORY / "Makefile").read_text(), re.MULTILINE)
        assert all(word in targets for word in command[1:])
        return
    if command[0] not in ("python", "sbatch") and not command[0].startswith("launch/"):
        assert command[0] in ("curl", "export", "gcloud", "lm_eval"), command
        return
    if command[1:2] == ["-c"]:
        compile(command[2], "-c", "exec")
        return
    script, given = script_of(command)
    known = flags_of(REPOSITORY / script)
    pairs = [word.removeprefix("--").partition("=") for word in given if word.startswith("--")]
    for name, _, value in pairs:
        if name.startswith("config."):
            continue
        assert name in known or name.removeprefix("no") in known, f"{script} has no flag --{name}"
        assert known.get(name) is None or value in known[name], f"--{name}={value}: it takes {known[name]}"
    if script.stem == "bench":
        assert f'"{given[0]}": bench_' in (REPOSITORY / script).read_text()
    config = next((value for name, _, value in pairs if name == "config"), "NAME")
    if "NAME" not in config:
        check_config(config, [(n.removeprefix("config."), v) for n, _, v in pairs if n.startswith("config.")])


def test_every_command_is_one_that_a_test_runs_or_one_that_none_can() -> None:
    used = set()
    for page, command in FOUND:
        text = " ".join(command)
        named = {key for key in (*RUN, *NOT_RUN) if f"{page.stem}: {text}".startswith(key) or text.startswith(key)}
        assert named, f"{page.name}: no test runs {text!r}: write one, or name it in NOT_RUN of this file"
        assert named <= RUN.keys() or named <= NOT_RUN.keys(), f"{text} is in RUN and in NOT_RUN: {named}"
        used |= named
    assert used == RUN.keys() | NOT_RUN.keys(), f"no page has these: {(RUN.keys() | NOT_RUN.keys()) - used}"


def test_a_test_that_runs_commands_reads_their_page() -> None:
    for key, test in RUN.items():
        text = (REPOSITORY / "tests" / test).read_text()
        page = key.partition(":")[0]
        assert any(words in text for words in (f'"{page}"', f'"{page}.md"', "in PAGES")), f"{test} reads no {page}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_stand_in_blocks_marked_bash_or_have_gaps_and_stand_in_blocks_marked_text(page: Path) -> None:
    for marked, text in FENCED.findall(page.read_text("utf-8")):
        for line in text.splitlines() if marked != "bash" else ():
            if re.match(r"(\.venv/bin/)?(python|make|sbatch|gcloud|curl|lm_eval) |launch/.*\.sh\b", line):
                assert marked == "text" and "[" in line, line


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda page: page.stem)
def test_examples_run(page: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of a page in one go; the model is a tiny one. What asks a server by a package that m2jax does without is
    only compiled (tests/serve asks the same).
    """
    source = "\n".join(blocks(page, "python"))
    code = compile(source, page.name, "exec")
    imported = re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)
    if missing := [name for name in imported if importlib.util.find_spec(name) is None]:
        pytest.skip(f"compiled, not run: it imports {', '.join(missing)}")
    if "smollm2-135m-instruct" in source:
        source = source.replace("smollm2-135m-instruct", str(write_model(tmp_path / "model")))
        code = compile(source, page.name, "exec")
    exec(code, {"__name__": "example"})
    assert "print(" not in source or capsys.readouterr().out


def test_the_record_of_the_verifiers_page_is_read_and_cleaned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = page_of("verifier")
    monkeypatch.chdir(tmp_path)
    (line,) = blocks(page, "json")
    Path("patients.jsonl").write_text(line)
    own = [c[3:] for c in shown(page) if c[1:3] == ["-m", "m2jax.records"]]
    assert len(own) == 2
    for arguments in own:
        records(arguments)
        assert '"id": "mine-1"' in Path("records.jsonl").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_to_files(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        assert (page.parent / target).exists(), target
