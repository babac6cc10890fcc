from collections.abc import Iterator

import pytest

from orchestrator.execute.executor import PythonExecutor


@pytest.fixture(scope="package")
def executor() -> Iterator[PythonExecutor]:
    """One executor for all tests that do not break it."""
    made = PythonExecutor()
    yield made
    made.close()
