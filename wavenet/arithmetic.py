"""Integer arithmetic that several packages need."""


def ceil_div(a: int, b: int) -> int:
    """a / b, rounded up."""
    return -(-a // b)


def is_power_of_two(n: int) -> bool:
    return n > 0 and n & (n - 1) == 0
