"""The shapes of published models have the parameter counts that their model cards state."""

import pytest

from m2jax.models import params
from m2jax.models.known import KNOWN

BILLIONS = {
    "hf:Qwen/Qwen2.5-32B": 32.5,
    "hf:baichuan-inc/Baichuan-M2-32B": 32.8,
    "hf:Qwen/Qwen3-32B": 32.8,
    "hf:Qwen/Qwen2.5-7B-Instruct": 7.61,
    "hf:Qwen/Qwen2.5-0.5B-Instruct": 0.49,
}


@pytest.mark.parametrize("name", KNOWN)
def test_parameters_are_as_many_as_published(name: str) -> None:
    assert params.count(KNOWN[name]) / 1e9 == pytest.approx(BILLIONS[name], rel=0.015)
