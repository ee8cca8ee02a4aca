"""Figures, drawn without a screen: sound, losses, and the colours and sizes that all share."""
