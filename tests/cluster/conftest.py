"""Fixtures of the cluster tests: one head for all, machines for each, and the recording of the fault tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.machines import Cluster, interpreter_without_package
from tests.faults.conftest import judging, recording, undisturbed

__all__ = ["judging", "recording", "undisturbed"]


@pytest.fixture(scope="session")
def bare_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An interpreter that does not have this project."""
    return interpreter_without_package(tmp_path_factory.mktemp("bare") / "venv")


@pytest.fixture(scope="module")
def head(bare_python: Path) -> Iterator[Cluster]:
    """A head without CPUs."""
    cluster = Cluster(bare_python)
    yield cluster
    cluster.close()


@pytest.fixture
def cluster(head: Cluster) -> Iterator[Cluster]:
    """A cluster to which the test adds machines."""
    yield head
    head.kill_machines()
