"""Files, signals, this machine, a device, a progress bar: nothing of audio or networks."""
