import pytest

from wavenet import engines
from wavenet.bench import measure


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two short rounds, as on a machine of two cores without a GPU."""
    monkeypatch.setattr(measure, "ROUNDS", 2)
    monkeypatch.setattr(measure, "SECONDS", 0.005)
    monkeypatch.setattr(measure, "WARM_UP", 64)
    monkeypatch.setattr(measure, "cores", lambda: 2)
    monkeypatch.setattr(engines, "nvidia", lambda: False)
