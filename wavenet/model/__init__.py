"""What a WaveNet is: what it predicts, its weights, its cost, its modules, its file.

Begin with `reference`, the network in ordinary PyTorch; `network` is the one that is trained. What
the letters of shapes mean stands in `wavenet.glossary`.
"""
