"""The engines for GPUs."""
