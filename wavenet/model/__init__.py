"""What a WaveNet is: what it predicts, its weights, its cost, its modules, its file."""
