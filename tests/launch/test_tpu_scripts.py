"""launch/tpu: the exact commands, what is said where a setting cannot be, and a run that outlives its TPU.

A gcloud may be on this machine: every test puts another one before it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from configs import rl_stage2
from m2jax.aot import topology
from tests.conftest import REPOSITORY

SETTINGS = {"PROJECT_ID": "p", "ZONE": "z", "QUEUED_RESOURCE_ID": "stage2", "ACCELERATOR_TYPE": "v5p-128"}
GCLOUD = "gcloud compute tpus queued-resources"
WHERE = "--project=p --zone=z --quiet"
TRAIN = ["--config=configs/rl_stage2.py:32b", "--workdir=gs://bucket/runs/a"]
SHELL = [*sorted((REPOSITORY / "launch").rglob("*.sh")), REPOSITORY / ".ci" / "run"]
Run = Callable[..., subprocess.CompletedProcess]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Runs launch/tpu/<name>.sh with arguments and settings; `executable` puts a command before the machine's own."""
    (tmp_path / "bin").mkdir()
    fake = REPOSITORY / "tests" / "launch" / "fake_gcloud.py"
    executable(tmp_path, "gcloud", f'exec "{sys.executable}" "{fake}" "$@"')

    def call(name: str, *args: str, **settings: str) -> subprocess.CompletedProcess:
        clean = {
            k: v for k, v in os.environ.items() if k not in ("SPOT", "SLICES", "SOON", "DRY_RUN", "RUNTIME_VERSION")
        }
        path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
        env = clean | SETTINGS | {"POLL": "0", "FAKE": str(tmp_path), "PATH": path} | settings
        command = ["bash", f"launch/tpu/{name}.sh", *args]
        return subprocess.run(command, cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=120)

    return call


def executable(tmp_path: Path, name: str, body: str) -> None:
    file = tmp_path / "bin" / name
    file.write_text(f"#!/usr/bin/env bash\n{body}\n")
    file.chmod(0o755)


def test_the_scripts_are_sound_shell():
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if not shellcheck:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, *map(str, SHELL)], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert len(SHELL) == 9


@pytest.mark.parametrize(
    ("name", "args", "settings", "lines"),
    [
        (
            "create",
            [],
            {},
            [
                f"{GCLOUD} create stage2 --accelerator-type=v5p-128 --runtime-version=v2-alpha-tpuv5 --node-id=stage2 "
                + WHERE
            ],
        ),
        (
            "create",
            [],
            {"SPOT": "1", "SLICES": "2", "ACCELERATOR_TYPE": "v6e-256"},
            [
                f"{GCLOUD} create stage2 --accelerator-type=v6e-256 --runtime-version=v2-alpha-tpuv6e --node-count=2 "
                f"--node-prefix=stage2 --spot {WHERE}"
            ],
        ),
        (
            "setup",
            [],
            {},
            [
                "mkdir -p .cache",
                "git ls-files -z --cached --others --exclude-standard | tar -czf .cache/m2jax.tgz --null -T -",
                f"{GCLOUD} scp .cache/m2jax.tgz stage2:m2jax.tgz --node=all --worker=all {WHERE}",
                f"{GCLOUD} ssh stage2 --node=all --worker=all --command='mkdir -p m2jax && "
                f"tar -xzf m2jax.tgz -C m2jax && bash m2jax/launch/tpu/worker.sh setup' {WHERE}",
            ],
        ),
        (
            "run",
            TRAIN,
            {},
            [
                f"{GCLOUD} ssh stage2 --node=all --worker=all --command='bash m2jax/launch/tpu/worker.sh train "
                f"--config=configs/rl_stage2.py:32b --workdir=gs://bucket/runs/a' {WHERE}"
            ],
        ),
        (
            "logs",
            ["--worker=3"],
            {},
            [f"{GCLOUD} ssh stage2 --node=0 --worker=0 --command='tail -n 100 -F m2jax/train.log' --worker=3 " + WHERE],
        ),
        ("delete", [], {}, [f"{GCLOUD} delete stage2 --force {WHERE}"]),
    ],
    ids=["create", "spot slices", "setup", "run", "logs", "delete"],
)
def test_a_dry_run_prints_the_commands_and_calls_nothing(run, tmp_path, name, args, settings, lines):
    done = run(name, *args, DRY_RUN="1", **settings)
    assert (done.stdout.splitlines(), done.returncode) == (lines, 0), done.stderr
    asked = f"{GCLOUD} list --filter='name~/stage2$' --format='value(state.state)' {WHERE}"
    assert done.stderr.splitlines() == [asked] * (name in ("setup", "run"))
    assert not (tmp_path / "calls").exists()


def test_what_is_printed_is_what_a_shell_reads_back(run):
    awkward = "--config.sampling.mesh=(8, 1, 8)"
    printed = run("run", *TRAIN, awkward, DRY_RUN="1").stdout
    words = subprocess.run(["bash", "-c", f"printf '%s\\n' {printed}"], capture_output=True, text=True).stdout
    command = next(word for word in words.splitlines() if word.startswith("--command="))
    remote = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {command.removeprefix('--command=')}"], capture_output=True, text=True
    )
    assert remote.stdout.splitlines()[-3:] == [*TRAIN, awkward]


@pytest.mark.parametrize(
    ("name", "args", "settings", "said"),
    [
        ("create", [], {"PROJECT_ID": ""}, "PROJECT_ID is not set; for example: export PROJECT_ID="),
        ("setup", [], {"ZONE": ""}, "ZONE is not set"),
        ("delete", [], {"QUEUED_RESOURCE_ID": ""}, "QUEUED_RESOURCE_ID is not set"),
        ("create", [], {"ACCELERATOR_TYPE": ""}, "ACCELERATOR_TYPE is not set"),
        ("create", [], {"ACCELERATOR_TYPE": "v9-8"}, "RUNTIME_VERSION is not set and does not follow"),
        ("create", [], {"QUEUED_RESOURCE_ID": "A b"}, "QUEUED_RESOURCE_ID is 'A b'; give at most 63 lower-case"),
        ("create", [], {"SPOT": "yes"}, "SPOT is 'yes'; give 1"),
        ("create", [], {"SLICES": "0"}, "SLICES is '0'; give the number"),
        ("logs", [], {"DRY_RUN": "true"}, "DRY_RUN is 'true'; give 1"),
        ("run", TRAIN, {"POLL": "1m"}, "POLL is '1m'; give whole seconds"),
        ("run", TRAIN[1:], {}, "--config is missing"),
        ("run", TRAIN[:1], {}, "--workdir must be a folder that all machines share"),
        ("run", [TRAIN[0], "--workdir=runs/a"], {}, "--workdir must be a folder that all machines share"),
        ("run", [TRAIN[0], "--workdir=gs://bucket"], {}, "--workdir must be a folder"),
        ("setup", [], {}, "there is no queued resource stage2 in z: launch/tpu/create.sh makes one"),
    ],
)
def test_what_cannot_be_is_named_with_its_remedy(run, tmp_path, name, args, settings, said):
    done = run(name, *args, **settings)
    assert done.returncode == 2 and f"error: {said}" in done.stderr
    assert done.stdout == "" and not (tmp_path / "state").exists()


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Stands in for what a TPU's machine has: `make setup` gives it a Python whose training is three steps, kept in
    the run folder; gcsfuse shows the bucket tmp_path/bucket. $FAKE/trouble, taken once, befalls it after a step.
    """
    (tmp_path / "bucket").mkdir()
    for name in ("sudo", "apt-get", "curl", "python3"):
        executable(tmp_path, name, "true")
    executable(tmp_path, "mountpoint", '[[ -L "$2" ]]')
    executable(tmp_path, "gcsfuse", 'rmdir "${@: -1}" && ln -s "$FAKE/${@: -2:1}" "${@: -1}"')
    executable(
        tmp_path, "make", 'echo "$@" >>"$FAKE/made"; mkdir -p .venv/bin; cp "$FAKE/bin/trained" .venv/bin/python'
    )
    executable(
        tmp_path,
        "trained",
        """
        echo "$@" >>"$FAKE/started"
        folder=${3#--workdir=}
        mkdir -p "$folder"
        while (($(wc -l <"$folder/steps" 2>/dev/null || echo 0) < 3)); do
            echo "a step" | tee -a "$folder/steps"
            if [[ -e $FAKE/trouble ]]; then mv "$FAKE/trouble" "$FAKE/came"; source "$FAKE/came"; fi
        done
        echo through
        """,
    )
    return tmp_path


def test_a_run_outlives_a_tpu_that_is_taken_away(run, machine):
    """From nothing: it queues, sets up, trains; the TPU goes after a step; a new one goes on from the checkpoint."""
    (machine / "trouble").write_text('printf SUSPENDED >"$FAKE/state"; exit 1')
    done = run("run", *TRAIN)
    assert done.returncode == 0, done.stderr
    arrival = ["create", "list", "list", "list", "train", "list", "scp", "setup", "list", "train"]
    assert (machine / "calls").read_text().split() == ["list", *arrival, "list", "delete", *arrival]
    workdir = machine / "home" / "buckets" / "bucket" / "runs" / "a"
    started = f"launch/train.py --config=configs/rl_stage2.py:32b --workdir={workdir}"
    assert (machine / "started").read_text().splitlines() == [started] * 2
    assert (machine / "bucket" / "runs" / "a" / "steps").read_text().split("\n") == ["a step"] * 3 + [""]
    assert "through" in done.stdout and "stage2 is SUSPENDED: queueing" in done.stderr
    assert not (machine / "bucket" / f".m2jax-probe-{os.uname().nodename}").exists()


def _active(machine: Path, trouble: str) -> None:
    """A TPU that is there, whose training does what the shell's words in `trouble` say."""
    (machine / "state").write_text("ACTIVE")
    (machine / "home").mkdir()
    (machine / "trouble").write_text(trouble)


def test_a_training_that_fails_at_once_is_not_begun_again(run, machine):
    _active(machine, "echo 'error: no such key'; exit 1")
    done = run("run", *TRAIN, SOON="3600")
    assert done.returncode == 2 and "soon after its start" in done.stderr and "launch/tpu/delete.sh" in done.stderr
    assert "error: no such key" in done.stdout and len((machine / "started").read_text().splitlines()) == 1


def test_a_training_that_fails_later_is_begun_again(run, machine):
    _active(machine, "exit 1")
    assert run("run", *TRAIN, SOON="0").returncode == 0
    assert len((machine / "started").read_text().splitlines()) == 2


def test_a_training_that_would_end_so_again_is_not_begun_again(run, machine):
    _active(machine, "exit 3")
    done = run("run", *TRAIN, SOON="0")
    assert done.returncode == 2 and "ended as it would again" in done.stderr and "launch/tpu/delete.sh" in done.stderr
    assert len((machine / "started").read_text().splitlines()) == 1


@pytest.mark.parametrize(("saves", "starts"), [(False, 3), (True, 5)], ids=["stuck", "gets on"])
def test_a_training_that_gets_nowhere_is_begun_three_times(run, machine, saves, starts):
    """It fails every time: without a checkpoint, or with a newer one at the first two."""
    (machine / "state").write_text("ACTIVE")
    (machine / "home").mkdir()
    save = 'n=$(wc -l <"$FAKE/started"); ((n > 2)) || mkdir -p "$folder/checkpoints/$((8 + n))"' if saves else ""
    (machine / "trouble").write_text(f': >"$folder/steps"; cp "$FAKE/came" "$FAKE/trouble"\n{save}\nexit 1')
    done = run("run", *TRAIN, SOON="0")
    assert done.returncode == 2 and "three times without a newer checkpoint" in done.stderr
    assert len((machine / "started").read_text().splitlines()) == starts


def test_a_tpu_that_never_comes_ends_the_run(run, machine):
    (machine / "begins").write_text("FAILED")
    done = run("run", *TRAIN)
    assert done.returncode == 2 and "queued for three times" in done.stderr and "said Google" in done.stdout
    assert (machine / "calls").read_text().split().count("create") == 3


def test_a_second_watch_takes_up_the_same_training(run, machine):
    """The first is killed, as by Ctrl-C or a lost connection; the training goes on without it."""
    worker = machine / "home" / "m2jax" / "launch" / "tpu" / "worker.sh"
    worker.parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / "launch" / "tpu" / "worker.sh", worker)
    (machine / "state").write_text("ACTIVE")
    env = os.environ | {"PATH": f"{machine / 'bin'}:{os.environ['PATH']}", "FAKE": str(machine)}
    subprocess.run(["bash", worker, "setup"], check=True, env=env)
    (machine / "trouble").write_text("until [[ -e $FAKE/go ]]; do sleep 0.05; done")
    first = subprocess.Popen(["bash", worker, "train", TRAIN[0], f"--workdir={machine}/bucket/b"], env=env)
    while not (machine / "came").exists():
        assert first.poll() is None
    first.kill()
    first.wait()
    env |= {"GO": "1"}
    second = subprocess.Popen(
        ["bash", worker, "train", TRAIN[0], f"--workdir={machine}/bucket/b"],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "the training runs already" in second.stderr.readline()
    (machine / "go").touch()
    out, _ = second.communicate(timeout=60)
    assert second.returncode == 0 and "through" in out
    assert len((machine / "started").read_text().splitlines()) == 1


def test_a_bucket_that_cannot_rename_folders_is_told_at_the_start(run, machine):
    (machine / "state").write_text("ACTIVE")
    (machine / "home").mkdir()
    executable(machine, "mv", "exit 1")
    done = run("run", *TRAIN, SOON="3600")
    assert done.returncode == 2 and "--enable-hierarchical-namespace" in done.stderr
    assert not (machine / "started").exists()


def test_the_page_gives_commands_that_the_scripts_take(run):
    """docs/tpu.md: its settings with its commands, on a dry run; its presets and topologies are known."""
    page = (REPOSITORY / "docs" / "tpu.md").read_text()
    blocks = [line for block in page.split("```")[1::2] for line in block.splitlines()]
    exported = next(line for line in blocks if line.startswith("export "))
    settings = dict(word.split("=", 1) for word in exported.split()[1:])
    assert settings.keys() >= SETTINGS.keys()
    scripts = [line.split("#")[0].split("[")[0].split() for line in blocks if line.startswith("launch/tpu/")]
    assert [Path(words[0]).stem for words in scripts] == ["create", "setup", "run", "logs", "delete"]
    for words in scripts:
        done = run(Path(words[0]).stem, *words[1:], DRY_RUN="1", **settings)
        assert done.returncode == 0 and GCLOUD in done.stdout, done.stderr
    for preset in re.findall(r"configs/rl_stage2.py:([\w.]+)", page):
        rl_stage2.get_config(preset)
    for name in re.findall(r"--topology=(\S+?)[`\s]", page):
        assert name.partition(":")[0] in topology.CHIPS
