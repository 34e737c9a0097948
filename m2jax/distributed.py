"""Process start-up and what the processes of one run agree on.

`start` comes before JAX is imported anywhere: the allocator's settings, the compilation cache. `join` comes next,
before JAX touches a device: it makes this process one of a run's. All processes take the same decisions from the same
data; what one alone can see (a signal, the disk) goes through `any_process` or `from_first`, which all call in the same
order.
"""

from __future__ import annotations

import contextlib
import glob
import importlib.util
import itertools
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any

# glibc hands large buffers back to the kernel and faults them in again on the next step: on a CPU that cost up to half
# of the time
MALLOC = "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=8589934592:glibc.malloc.trim_threshold=17179869184"
FLAGS = ("coordinator", "num_processes", "process_id")
SILENCE = 20  # seconds without a sign of life after which a process counts as dead
_DAY_MS = 24 * 3600 * 1000

_calls = itertools.count()


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


def join(argv: list[str]) -> list[str]:
    """Joins the run's other processes, if there are any; returns argv without --coordinator=HOST:PORT,
    --num_processes=N and --process_id=I.

    Without these flags, a Slurm step of several tasks, a TPU VM and GKE tell JAX who there is. Exits with a message
    where the flags cannot be, or not all processes come within five minutes.
    """
    try:
        given, rest = split_flags(argv)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    if given and given["num_processes"] == 1 or not given and not several(os.environ):
        return rest
    import jax

    who = {"coordinator_address": given["coordinator"], **{k: given[k] for k in FLAGS[1:]}} if given else {}
    try:
        jax.distributed.initialize(**who, heartbeat_timeout_seconds=SILENCE, shutdown_timeout_seconds=SILENCE)
    except (RuntimeError, ValueError) as error:
        text = f"error: this process did not find the others of the run: {error}"
        raise SystemExit(f"{text}\nIs every process started, with the same coordinator, which is process 0?") from error
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # JAX only takes note of it; `train.loop` has its own handler
    return rest


def split_flags(argv: list[str]) -> tuple[dict[str, Any], list[str]]:
    """(values of `FLAGS`, the other arguments): {} where none is given. ValueError names what is missing or wrong."""
    given: dict[str, Any] = {}
    rest = []
    arguments = iter(argv)
    for argument in arguments:
        name, equals, value = argument.partition("=")
        if name.startswith("--") and name[2:] in FLAGS:
            given[name[2:]] = value if equals else next(arguments, "")
        else:
            rest.append(argument)
    if not given:
        return {}, rest
    missing = [f"--{name}" for name in FLAGS if name not in given]
    if missing:
        raise ValueError(f"{' and '.join(missing)} missing: give --{', --'.join(FLAGS)} to every process, or none")
    for name in FLAGS[1:]:
        if not given[name].isdecimal():
            raise ValueError(f"--{name} is {given[name]!r}; give a whole number")
        given[name] = int(given[name])
    host, _, port = given["coordinator"].rpartition(":")
    if not host or not port.isdecimal():
        raise ValueError(f"--coordinator is {given['coordinator']!r}; give HOST:PORT of process 0")
    if given["process_id"] >= given["num_processes"]:
        raise ValueError(
            f"--process_id is {given['process_id']} and --num_processes {given['num_processes']}; "
            "processes count from 0, so the last one is num_processes - 1"
        )
    return given, rest


def several(environment: Mapping[str, str]) -> bool:
    """Whether Slurm, GKE or a TPU VM has started this process, possibly as one of several."""
    if int(environment.get("SLURM_NTASKS", 1)) > 1 and "SLURM_STEP_NODELIST" in environment:
        return True
    if environment.get("JAX_PLATFORMS", "tpu").split(",")[0] != "tpu":
        return False
    if "," in environment.get("TPU_WORKER_HOSTNAMES", "") or int(environment.get("MEGASCALE_NUM_SLICES", 1)) > 1:
        return True
    chips = glob.glob("/dev/accel[0-9]*") + glob.glob("/dev/vfio/[0-9]*")
    return bool(chips) and importlib.util.find_spec("libtpu") is not None


def is_first() -> bool:
    """Whether this is the process that writes files and speaks to the user."""
    import jax

    return jax.process_index() == 0


def from_first(value: Any) -> Any:
    """The value (JSON) that process 0 gives; the others wait for it."""
    return _gather(value)[0]


def any_process(flag: bool) -> bool:
    """Whether `flag` is true in any process; all wait for each other."""
    return any(_gather(bool(flag)))


@contextlib.contextmanager
def fail_together() -> Iterator[None]:
    """An error in one process of several ends this one within seconds, and the others `SILENCE` seconds later.

    Where the error may be another's death, it first waits until JAX has told (and ended this process), or it was not.
    """
    try:
        yield
    except Exception as error:
        import jax

        if jax.process_count() == 1:
            raise
        traceback.print_exc()
        me = f"process {jax.process_index()} of {jax.process_count()}"
        if isinstance(error, jax.errors.JaxRuntimeError):
            print(
                f"{me}: a collective failed; JAX now finds out whether a process has died", file=sys.stderr, flush=True
            )
            time.sleep(SILENCE + 10)
        print(f"error: {me} ends: {error}", file=sys.stderr, flush=True)
        os._exit(1)  # an orderly end would wait for the others, which wait for this one


def _gather(value: Any) -> list[Any]:
    """The values of all processes, in order. By way of the coordinator: no device takes part."""
    import jax

    if jax.process_count() == 1:
        return [value]
    from jax._src.distributed import global_state  # JAX offers no public door to its key-value store

    client, count, me, call = global_state.client, jax.process_count(), jax.process_index(), next(_calls)
    if me:
        client.key_value_set(f"m2jax/{call}/{me}", json.dumps(value))
    else:
        others = [client.blocking_key_value_get(f"m2jax/{call}/{i}", _DAY_MS) for i in range(1, count)]
        values = json.dumps([value, *map(json.loads, others)])
        client.key_value_set(f"m2jax/{call}/all", values)
        if call:
            client.key_value_delete(f"m2jax/{call - 1}/")  # all are past it
    return json.loads(client.blocking_key_value_get(f"m2jax/{call}/all", _DAY_MS))
