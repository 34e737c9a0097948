"""The engine's own thread: it takes jobs in, gives the engine one round after another, and tells what has come.

A job's `tell` is called in this thread. An error of the engine ends the thread: every job is told, then it is raised.
"""

from __future__ import annotations

import contextlib
import dataclasses
import queue
import threading
import traceback
from collections import Counter
from collections.abc import Callable
from typing import Any

from m2jax.sampler.engine import Engine
from m2jax.sampler.requests import Dialogue, Failed


@dataclasses.dataclass(eq=False)
class Job:
    """A dialogue to run. key: names its samples. watched: whether `tell` is also to hear of what there is so far.
    tell: (what the dialogue returned, `Failed`, or so far; whether that is the end).
    """

    dialogue: Dialogue
    key: int
    watched: bool
    tell: Callable[[Any, bool], None]
    number: int = -1


class Worker:
    """Owns the engine from `start` to `stop`. `counts`: the engine's, summed; `gauges`: rows and pages of this moment.
    dead: called in the thread when the engine has failed.
    """

    def __init__(self, engine: Engine, seed: int, dead: Callable[[], None] = lambda: None) -> None:
        self.engine, self.seed, self.dead = engine, seed, dead
        self.counts: Counter[str] = Counter()
        self.gauges: dict[str, int] = {}
        self.error: Exception | None = None
        self._inbox: queue.SimpleQueue[tuple[str, Job | None]] = queue.SimpleQueue()
        self._jobs: dict[int, Job] = {}
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)

    def start(self) -> None:
        self._look()
        self._thread.start()

    def submit(self, job: Job) -> None:
        self._inbox.put(("submit", job))

    def cancel(self, job: Job) -> None:
        """Ends a job, if it has not ended; its slot and pages are free before the next round."""
        self._inbox.put(("cancel", job))

    def stop(self) -> None:
        """Cancels what is running and ends the thread, after the round in flight."""
        self._inbox.put(("stop", None))
        self._thread.join()

    def _run(self) -> None:
        try:
            self.engine.begin(seed=self.seed)
            while self._take():
                self._round()
        except Exception as error:
            self.error = error
            failed = Failed(error, traceback.format_exc())
            for job in [*self._jobs.values(), *self._left()]:
                job.tell(failed, True)
            self.dead()
            raise

    def _round(self) -> None:
        for number, result in self.engine.step().items():
            self._jobs.pop(number).tell(result, True)
        if any(job.watched for job in self._jobs.values()):
            for ticket, answer in self.engine.partial():
                if self._jobs[ticket.dialogue].watched:
                    self._jobs[ticket.dialogue].tell(answer, False)

    def _take(self) -> bool:
        """Does what has been asked for, waiting where nothing runs; False where it is to stop."""
        while True:
            if not self._jobs:
                self._look()
            try:
                what, job = self._inbox.get(block=not self._jobs)
            except queue.Empty:
                self._look()
                return True
            if what == "stop":
                for number in list(self._jobs):
                    self.engine.cancel(number)
                self._jobs.clear()
                return False
            if what == "submit":
                job.number = self.engine.submit(job.dialogue, job.key)
                self._jobs[job.number] = job
            elif self._jobs.pop(job.number, None):
                self.engine.cancel(job.number)

    def _left(self) -> list[Job]:
        """Jobs that were never begun."""
        left = []
        with contextlib.suppress(queue.Empty):
            while True:
                what, job = self._inbox.get(block=False)
                left += [job] if what == "submit" else []
        return left

    def _look(self) -> None:
        self.counts.update(self.engine.stats())
        lanes = [lane.scheduler for lane in self.engine.lanes.values()]
        rows = sum(len(lane.rows) for lane in lanes)
        self.gauges = {
            "rows": rows,
            "waiting": sum(len(lane.in_flight()) for lane in lanes) - rows,
            "pages_free": sum(pages.available for lane in lanes for pages in lane.pages),
            "pages": sum(pages.n_pages - 1 for lane in lanes for pages in lane.pages),
        }
