"""What every test shares: eight virtual CPU devices, one compilation cache, the default model.

JAX reads its settings when it is imported, so they are put in the environment here, before any test module
is imported; a process that a test starts inherits them. `M2JAX_TEST_PLATFORM=tpu` (or cuda) runs the tests
on a real device.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hypothesis
import pytest

REPOSITORY = Path(__file__).resolve().parent.parent
DEVICES_FLAG = "--xla_force_host_platform_device_count"


def set_environment() -> None:
    """Chooses JAX's platform, device count and cache; what the caller has set in the environment stays.

    The cache is shared by the workers of pytest-xdist. JAX locks it only when its size is bounded; unbounded,
    a worker could read an entry that another one is still writing (`jax/_src/lru_cache.py`).
    """
    os.environ["JAX_PLATFORMS"] = os.environ.get("M2JAX_TEST_PLATFORM", "cpu")
    flags = os.environ.get("XLA_FLAGS", "")
    if DEVICES_FLAG not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {DEVICES_FLAG}=8".strip()
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(REPOSITORY / ".cache" / "jax"))
    os.environ.setdefault("JAX_COMPILATION_CACHE_MAX_SIZE", str(4 * 2**30))  # bytes
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.2")


def mend_cache() -> None:
    """Removes what a killed process was writing to the cache: without its time, JAX writes nothing to it any more."""
    for entry in (REPOSITORY / ".cache" / "jax").glob("*-cache"):
        if not entry.with_name(entry.name.removesuffix("-cache") + "-atime").exists():
            entry.unlink(missing_ok=True)


if "jax" in sys.modules:
    raise pytest.UsageError("jax was imported before tests/conftest.py: remove the plugin (-p) that does it")
set_environment()
if "PYTEST_XDIST_WORKER" not in os.environ:  # once, before the workers begin
    mend_cache()
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, max_examples=50, database=None)
hypothesis.settings.load_profile("ci")


@pytest.fixture(scope="session")
def smollm2_path() -> Path:
    """The default model's GGUF file; the test is skipped where it is neither cached nor to be fetched."""
    from m2jax.weights import names

    try:
        return names.resolve("smollm2-135m-instruct")
    except ConnectionError as error:
        pytest.skip(f"SmolLM2 is not cached and there is no network to fetch it: {error}")
