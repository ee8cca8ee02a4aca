"""Which machine a figure was taken on."""

from wavenet.machine import machine

__all__ = ["machine"]
