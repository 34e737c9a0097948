"""Mathematics: replies and their values; and the workers, which die and are replaced."""

from __future__ import annotations

import os
import signal
import threading
import time

import pytest

from m2jax.rules.final import answered, boxed, final
from m2jax.rules.mathematics import Mathematics, met
from m2jax.rules.workers import Workers

CASES = [  # answer, reply, whether it is met
    (r"\frac{1}{2}", r"So it is \boxed{0.5}.", True),
    (r"\frac{1}{2}", "The answer is 1/2.", True),
    (r"\frac{1}{2}", r"**Answer:** $\frac12$", True),
    (r"\frac{1}{2}", r"Answer: \(\frac{2}{4}\)", True),
    ("$7$", "7", True),
    ("7", "We add them.\n\n$x = 7$", True),
    ("7", "We add them.\n3 + 4 = 7", True),
    ("7", "The answer is seven.", False),
    ("7", "The answer is 8.", False),
    ("7", r"\boxed{7} or rather \boxed{8}", False),  # the last one counts
    ("7", r"\boxed{8} or rather \boxed{7}", True),
    ("7", "<think>\\boxed{7}</think>I do not know.", False),
    ("7", "<think>\\boxed{8}</think>The answer is **7**.", True),
    ("7", "<think>It is \\boxed{7}", False),
    ("7", "Thus, the value of $x$ is 7.", True),
    ("7", "Hence the total is 7 dollars.", True),
    ("7", "#### 7", True),
    ("36", "The total area is 36 square meters.", True),
    ("7x", r"\boxed{7 x}", True),
    ("7", "Hence $x$ is 7 or 8.", False),
    ("\\frac{3}{4}", "Therefore, the probability is $\\frac{3}{4}$.", True),
    ("1, 2", "The solutions are $x=1$ and $x=2$.", True),
    ("1, 2", "The solutions are $1$ and $3$.", False),
    ("7", "I think that 7 is a prime number.", False),
    ("7", "", False),
    ("7", r"\boxed{}", False),
    ("7", r"\boxed{5, 6, 7, 8}", False),
    ("7", r"\boxed{\text{7}}", True),
    ("12", "The final answer is **12** apples.", True),
    ("12", "Final answer: $12$ apples, because 3 · 4 = 12.", True),
    ("12", "The answer to the problem is 12.", True),
    ("1000", "The answer is $1{,}000$ dollars", True),
    ("1000", "The answer is 1,000.", True),
    ("2\\pi", "The answer is 2π.", True),
    ("2\\pi", "The answer is 2*pi", True),
    ("\\sqrt{2}", "The answer is sqrt(2).", True),
    ("\\sqrt{8}", r"\boxed{2\sqrt{2}}", True),
    ("x^2+2x+1", r"\boxed{(x+1)^2}", True),
    ("x^2+2x+1", r"\boxed{x^2+1}", False),
    ("\\{1, 2, 3\\}", r"\boxed{\{3, 2, 1\}}", True),
    ("(1, 2)", r"\boxed{(2, 1)}", False),
    ("[0, 1)", r"\boxed{[0,1)}", True),
    ("[0, 1)", r"\boxed{[0,1]}", False),
    ("8", r"\boxed{2**3}", True),
    ("50\\%", r"\boxed{0.5}", True),
    ("-3", "The answer is −3.", True),
    ("\\text{even}", r"\boxed{\text{Even}}", True),
    ("\\text{even}", r"\boxed{neve}", False),
    ("\\begin{pmatrix}1\\\\2\\end{pmatrix}", "\\boxed{\\begin{bmatrix}1\\\\2\\end{bmatrix}}", True),
    ("1", r"\boxed{\frac{1}{}", False),
    ("1", r"\boxed{__import__('os').system('true')}", False),
]


@pytest.mark.parametrize(("answer", "reply", "right"), CASES)
def test_values(answer, reply, right):
    assert met(Mathematics(answer), reply) is right


@pytest.mark.parametrize("answer", ["", "  ", None, 7, "$$"])
def test_an_answer_that_is_none_is_named(answer):
    with pytest.raises(ValueError, match="answer is .*; give a formula"):
        Mathematics(answer)


def test_final_statements():
    assert final("It is 5. The answer is 7, not 5.") == "7, not 5."
    assert final("Final answer: 7\nThe answer is 8") == "7"
    assert final("**Answer**:\n\n**7**") == "7**"
    assert final("The answer to the question is 7") == "7"
    assert final("No answer.") is None
    assert boxed(r"\boxed{a{b}c} \boxed{\frac{1}{2}} \boxed{d") == ["a{b}c", r"\frac{1}{2}"]
    assert answered("<think>a</think> b") == answered("a</think>b") == "b"
    assert answered("<think>a") == ""


BOMB = {"job": "same_value", "expected": "3", "given": "9^{9^{9^9}}"}
EQUAL = {"job": "same_value", "expected": "3", "given": "6/2"}
SLOW = {"job": "full_match", "pattern": "(a|a)*b", "text": "a" * 60}


@pytest.fixture(scope="module")
def workers():
    pool = Workers(limit=1, seconds=0.5)
    yield pool
    pool.close()


def test_a_worker_that_hangs_is_ended_and_replaced(workers):
    for request in (SLOW, BOMB):
        start = time.monotonic()
        assert not workers.ask(request)
        assert time.monotonic() - start < 10
        assert workers.ask(EQUAL) is True


def test_a_worker_that_is_killed_is_replaced(workers):
    assert workers.ask(EQUAL) is True
    (worker,) = workers._all
    os.kill(worker.pid, signal.SIGKILL)
    time.sleep(0.05)
    assert workers.ask(EQUAL) is True
    assert worker not in workers._all


def test_requests_from_threads_get_their_own_answers(workers):
    texts = ["a" * n for n in range(20)]
    answers: dict[str, object] = {}
    threads = [
        threading.Thread(
            target=lambda t=t: answers.update({t: workers.ask({"job": "full_match", "pattern": "(aa)*", "text": t})})
        )
        for t in texts
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == {text: len(text) % 2 == 0 for text in texts}


def test_closed_workers_are_gone_and_start_again(workers):
    workers.ask(EQUAL)
    (worker,) = workers._all
    workers.close()
    assert worker.poll() is not None
    assert workers.ask(EQUAL) is True
