"""How well a model predicts recordings, or resynthesises them."""
