"""Process start-up: the allocator's settings, the compilation cache; and what the first process tells the others.

Call `start` before JAX is imported anywhere.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

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


def is_first() -> bool:
    """Whether this is the process that speaks to the world outside."""
    import jax

    return jax.process_index() == 0


def from_first(value: Any) -> Any:
    """The value (JSON) that process 0 gives; the others wait for it. All call it in the same order."""
    import jax

    if jax.process_count() == 1:
        return value
    import numpy as np
    from jax.experimental import multihost_utils

    text = np.frombuffer(json.dumps(value).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(text.size)))
    padded = np.zeros(1 << max(8, (size - 1).bit_length()), np.uint8)  # few sizes: each is compiled
    padded[: min(size, text.size)] = text[:size]
    return json.loads(np.asarray(multihost_utils.broadcast_one_to_all(padded))[:size].tobytes())
