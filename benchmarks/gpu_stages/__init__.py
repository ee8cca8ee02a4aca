"""The stages of `benchmarks.gpu`, each in a process of its own."""
