"""How many files may be open at once."""

import pytest

from wavenet.system.files import open_at_once

resource = pytest.importorskip("resource")


@pytest.mark.parametrize(
    ("soft", "hard", "wanted", "expected"),
    [
        (1024, 1024, 300, 300),
        # The system lets the limit be raised.
        (256, 4096, 300, 300),
        (256, resource.RLIM_INFINITY, 9000, 9000),
        # It does not let it be raised as far as that.
        (256, 256, 300, 192),
        (256, 300, 300, 236),
        (resource.RLIM_INFINITY, resource.RLIM_INFINITY, 9000, 9000),
        (20, 20, 5, 1),
    ],
)
def test_as_many_as_the_limits_of_the_shell_and_the_system_let(
    soft: int, hard: int, wanted: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = [(soft, hard)]
    monkeypatch.setattr(resource, "getrlimit", lambda _which: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _which, new: limits.append(new))
    assert open_at_once(wanted) == expected
    assert limits[-1][1] == hard


def test_a_limit_that_cannot_be_raised_is_kept_to(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise ValueError("not allowed to raise maximum limit")

    monkeypatch.setattr(resource, "getrlimit", lambda _which: (256, resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", refuse)
    assert open_at_once(300) == 192
