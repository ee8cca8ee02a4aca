"""Sound in and out: reading, writing, levels, trimming, quantisation, mel frames."""
