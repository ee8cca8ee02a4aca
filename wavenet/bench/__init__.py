"""How fast engines are. `benchmarks/` of the repository has what they are compared with."""
