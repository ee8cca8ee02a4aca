"""What sounds when: notes and labelled segments, from files and as typed.

A score is in seconds. `contours` makes frames of it, which a network can follow.
"""
