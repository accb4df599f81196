"""Arithmetic and simple functions, element by element. Two inputs broadcast as in NumPy; see `together` for dtypes.

Where a function has no slope (sqrt, log or a power at 0, a quotient by 0) choose a safe argument first and the result
second: `where(x > 0, log(where(x > 0, x, 1)), 0)`. `where` alone sends a gradient of 0 into the branch not taken, and
0 times an infinite slope is NaN.
"""
from __future__ import annotations

from minimoe.autograd import op
from minimoe.backend import is_array
from minimoe.ops.checks import as_array, as_float, check_broadcast, together


@op
def add(xp, a, b):
    """y = a + b. Raises ValueError for shapes that do not broadcast, TypeError for bool with bool."""
    a, b = together(xp, "add", a, b)
    return a + b, lambda gy: (gy, gy)


@op
def sub(xp, a, b):
    """y = a - b. Raises ValueError for shapes that do not broadcast, TypeError for bool with bool."""
    a, b = together(xp, "sub", a, b)
    return a - b, lambda gy: (gy, -gy)


@op
def mul(xp, a, b):
    """y = a b. Raises ValueError for shapes that do not broadcast, TypeError for bool with bool."""
    a_varies, b_varies = is_array(a), is_array(b)   # a number has no gradient: do not work one out
    a, b = together(xp, "mul", a, b)
    return a * b, lambda gy: (gy * b if a_varies else None, gy * a if b_varies else None)


@op
def div(xp, a, b):
    """y = a / b; at least one is a float. Raises ValueError for shapes that do not broadcast, TypeError for dtypes."""
    a_varies, b_varies = is_array(a), is_array(b)
    a, b = together(xp, "div", a, b)
    if a.dtype.kind != "f":
        raise TypeError(f"div: a and b are {a.dtype}; one must be float32 or float64: use .astype('float32')")
    y = a / b

    def backward(gy):
        ga = gy / b
        return ga if a_varies else None, -ga * y if b_varies else None

    return y, backward


@op
def neg(xp, x):
    """y = -x. Raises TypeError for bool."""
    x = as_array(xp, "neg", "x", x)
    if x.dtype.kind == "b":
        raise TypeError("neg: x is bool; use ~x on the array for its opposite, or x.astype('float32')")
    return -x, lambda gy: (-gy,)


@op
def pow(xp, x, exponent):
    """y = x ** exponent, slope exponent * x ** (exponent - 1). x: float; exponent: a number.

    Raises TypeError for an integer x and for an exponent that is no number.
    """
    x = as_float(xp, "pow", "x", x)
    if not isinstance(exponent, int | float):
        raise TypeError(f"pow: exponent is a {type(exponent).__name__}; it must be a number: use exp(b * log(a))")

    def backward(gy):
        if exponent == 0:
            return (xp.zeros_like(x),)              # at x = 0 the formula would give 0 * inf
        return (gy * (_power(xp, x, exponent - 1) * exponent),)

    return _power(xp, x, exponent), backward


def _power(xp, x, exponent):
    """x ** exponent; 2 and 3 as products, because a power costs as much as sixty of them."""
    if exponent == 2:
        return x * x
    if exponent == 3:
        return x * x * x
    return xp.power(x, x.dtype.type(exponent))


@op
def exp(xp, x):
    """y = e ** x. x: float, any shape. Raises TypeError for integers."""
    y = xp.exp(as_float(xp, "exp", "x", x))
    return y, lambda gy: (gy * y,)


@op
def log(xp, x):
    """y = ln x. x: float, any shape. Raises TypeError for integers."""
    x = as_float(xp, "log", "x", x)
    return xp.log(x), lambda gy: (gy / x,)


@op
def sqrt(xp, x):
    """y = square root of x, slope 1 / (2 y). x: float, any shape. Raises TypeError for integers.

    The slope at 0, which is infinite, counts as 0 (ours): so the length sqrt(sum(x * x)) of a zero vector has the
    gradient 0 and not NaN.
    """
    y = xp.sqrt(as_float(xp, "sqrt", "x", x))

    def backward(gy):
        return (gy / xp.where(y == 0, xp.full_like(y, xp.inf), 2 * y),)

    return y, backward


@op
def abs(xp, x):
    """y = |x|; the slope at 0 is 0. Raises TypeError for what is no number."""
    x = as_array(xp, "abs", "x", x)
    return xp.abs(x), lambda gy: (gy * xp.sign(x),)


@op
def maximum(xp, a, b):
    """y = the larger of a and b; where they are equal each gets half of the gradient. Raises as add."""
    a, b = together(xp, "maximum", a, b)
    return xp.maximum(a, b), lambda gy: _share(xp, gy, a > b, a == b)


@op
def minimum(xp, a, b):
    """y = the smaller of a and b; where they are equal each gets half of the gradient. Raises as add."""
    a, b = together(xp, "minimum", a, b)
    return xp.minimum(a, b), lambda gy: _share(xp, gy, a < b, a == b)


def _share(xp, gy, a_wins, equal):
    """gy for a where it wins, half of it where both are equal; the rest for b."""
    ga = gy * a_wins + gy * equal * 0.5
    return ga, gy - ga


@op
def clip(xp, x, min=None, max=None):
    """y = x limited to min..max (numbers, None for no limit); slope 1 from min to max with both ends, 0 outside.

    x: float, any shape. Raises ValueError for no limit at all and min > max, TypeError for integers and for limits
    that are no numbers.
    """
    x = as_float(xp, "clip", "x", x)
    if not isinstance(min, int | float | None) or not isinstance(max, int | float | None):
        raise TypeError(f"clip: min is a {type(min).__name__} and max a {type(max).__name__}; they must be numbers: "
                        "use maximum and minimum for arrays")
    if (min is None and max is None) or (None not in (min, max) and min > max):
        raise ValueError(f"clip: min is {min} and max is {max}; give one of them, or min <= max")

    def backward(gy):
        inside = xp.ones(x.shape, bool)
        if min is not None:
            inside &= x >= min
        if max is not None:
            inside &= x <= max
        return (gy * inside,)

    return xp.clip(x, min, max), backward


@op
def where(xp, condition, a, b):
    """y = a where `condition` (bool) is True, b elsewhere. All three broadcast; the branch not taken gets gradient 0.

    Raises TypeError for a condition that is not bool, ValueError for shapes that do not broadcast.
    """
    condition = as_array(xp, "where", "condition", condition)
    if condition.dtype.kind != "b":
        raise TypeError(f"where: condition is {condition.dtype}; it must be bool: use condition != 0")
    a, b = together(xp, "where", a, b)
    check_broadcast("where", condition=condition.shape, a=a.shape, b=b.shape)
    return xp.where(condition, a, b), lambda gy: (None, gy * condition, gy * ~condition)
