"""How well a model predicts recordings, or copies them."""
