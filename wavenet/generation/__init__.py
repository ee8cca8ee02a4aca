"""From a seed, a prompt or mel frames to blocks of audio."""
