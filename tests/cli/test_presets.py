"""`wavenet presets`."""

from tests.helpers import wavenet
from wavenet.model import locate


def test_presets_are_listed_with_their_field_and_purpose() -> None:
    lines = wavenet("presets").output.splitlines()
    assert {line.split()[0] for line in lines[1:-1]} == {
        "model", *locate.bundled(),
        "tiny", "small", "paper", "music", "r9y9-mulaw256", "r9y9-mol", "nv-wavenet", "ibab",
        "wavenet-1024", "vocoder", "vocoder-small", "voices", "small-44k",
    }  # fmt: skip
    assert any("3,070" in line and "777,984" in line for line in lines)
    assert "docs/settings.md" in lines[-1]
