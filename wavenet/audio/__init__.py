"""Sound in and out: reading, writing, levels, quantisation, mel frames."""
