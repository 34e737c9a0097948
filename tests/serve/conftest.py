"""One tiny model for all tests of the server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from m2jax.serve import models
from m2jax.serve.models import Served
from tests.serve.site import Site, running
from tests.train import tiny_run


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Served:
    folder = tiny_run.write_model(tmp_path_factory.mktemp("served") / "tiny")
    return models.serve(str(folder), slots=4, longest=2048, burst=4)


@pytest.fixture(scope="module")
def site(served: Served) -> Iterator[Site]:
    with running(served) as made:
        yield made
