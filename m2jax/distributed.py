"""Process start-up: the allocator's settings, the compilation cache. Call `start` before JAX is imported anywhere."""

from __future__ import annotations

import os
import sys

# glibc hands large buffers back to the kernel and faults them in again on the next step: on a CPU that cost up to half
# of the time
MALLOC = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:glibc.malloc.trim_threshold=17179869184"


def start() -> None:
    """Restarts the process once with the allocator's settings (Linux), and turns JAX's persistent compilation cache on.

    What the user has set in the environment stays: GLIBC_TUNABLES, JAX_COMPILATION_CACHE_DIR.
    """
    os.environ.setdefault(
        "JAX_COMPILATION_CACHE_DIR",
        os.path.join(os.environ.get("M2JAX_CACHE", os.path.expanduser("~/.cache/m2jax")), "jax"),
    )
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.5")
    if sys.platform == "linux" and "GLIBC_TUNABLES" not in os.environ:
        os.environ["GLIBC_TUNABLES"] = MALLOC
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
