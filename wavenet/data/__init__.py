"""From a folder of recordings to batches on a device: decoded once, split, cut into windows."""
