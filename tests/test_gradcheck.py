"""gradcheck finds wrong gradients, and its report says where."""
import dataclasses

import numpy as np
import pytest

import minimoe
from minimoe import GradientError, Tensor, gradcheck, op_cases, ops


def scaled_backward(factor):
    @minimoe.op
    def cube(xp, x):
        return x * x * x, lambda gy: (gy * 3 * x * x * factor,)
    return cube


VALUES = np.array([[1.0, -0.7], [0.5, 2.0]])


def test_a_right_backward_passes_and_the_largest_error_comes_back():
    assert 0 < gradcheck(scaled_backward(1), [VALUES]) <= 1e-6


@pytest.mark.parametrize("factor", [1.001, 0.999, 1.00001, -1, 0, float("nan"), float("inf")])
def test_a_wrong_backward_fails(factor):
    with pytest.raises(GradientError):
        gradcheck(scaled_backward(factor), [VALUES])


def test_an_error_in_one_element_only_is_found_and_named():
    @minimoe.op
    def odd(xp, a, b):
        wrong = np.zeros(b.shape)
        wrong[1, 0] = 0.001
        return a + b * b, lambda gy: (gy, gy * (2 * b + wrong))

    with pytest.raises(GradientError, match=r"input 1 at \(1, 0\): analytic -?\d.*, numeric -?\d.*, relative error"):
        gradcheck(odd, [VALUES, VALUES])


def test_a_zero_backward_of_softmax_fails_because_the_upstream_gradient_is_random():
    @minimoe.op
    def softmax_without_backward(xp, x):
        z = np.exp(x)
        return z / z.sum(-1, keepdims=True), lambda gy: (np.zeros_like(x),)

    with pytest.raises(GradientError):
        gradcheck(softmax_without_backward, [VALUES])


def test_a_missing_gradient_counts_as_zero():
    @minimoe.op
    def forgets_b(xp, a, b):
        return a * b, lambda gy: (gy * b, None)

    with pytest.raises(GradientError, match=r"input 1 at \(0, 0\): analytic 0,"):
        gradcheck(forgets_b, [VALUES, VALUES])


def test_every_output_of_several_is_checked():
    @minimoe.op
    def two(xp, x):
        return (x * 1, x * 2), lambda gys: (gys[0] + gys[1] * 2.1,)

    with pytest.raises(GradientError):
        gradcheck(two, [VALUES])


def test_float32_and_tensors_are_checked_in_float64_and_stay_unchanged():
    tensor, array = Tensor(VALUES.astype("float32"), requires_grad=True), VALUES.astype("float32")
    seen = []
    gradcheck(lambda a, b: seen.append((a.dtype, b.dtype)) or a * b, [tensor, array])
    assert {dtype for pair in seen for dtype in pair} == {np.dtype("float64")}
    assert array.tolist() == VALUES.astype("float32").tolist() == tensor.numpy().tolist() and tensor.grad is None


def test_integers_and_booleans_are_passed_as_they_are():
    ids, keep = np.array([1, 0, 1]), np.array([True, False, True])

    def fn(table, ids, keep):
        assert type(ids) is np.ndarray and ids.dtype == np.int64 and keep.dtype == bool
        return ops.where(keep[:, None], ops.embedding(ids, table), 0.0)

    gradcheck(fn, [VALUES, ids, keep])


def test_there_must_be_a_float_input():
    with pytest.raises(ValueError, match="gradcheck: no input is a float array"):
        gradcheck(lambda x: x, [np.arange(3)])


def test_the_error_measure_is_the_documented_one():
    factor, rtol, atol = 1.01, 1.0, 0.5

    @minimoe.op
    def linear(xp, x):
        return x * 2, lambda gy: (gy * 2 * factor,)

    worst = gradcheck(linear, [np.array([1.0])], rtol=rtol, atol=atol, seed=3)
    n = 2 * np.random.default_rng(3).standard_normal(1)[0]
    assert worst == pytest.approx(abs(n * factor - n) / (abs(n) + atol / rtol), rel=1e-6)


def test_tolerance_is_an_argument():
    assert gradcheck(scaled_backward(1.01), [VALUES], rtol=0.1) == pytest.approx(0.01, rel=0.2)


def test_check_all_counts_the_rows_of_every_operation():
    results = op_cases.check_all()
    assert set(results) == set(ops.OPS)
    assert sum(r["cases"] for r in results.values()) == len(op_cases.CASES)
    assert 0 < max(r["worst"] for r in results.values()) <= 1e-6


def test_check_names_operation_and_row(monkeypatch):
    row = next(case for case in op_cases.CASES if str(case) == "mul (row)")
    monkeypatch.setitem(ops.OPS, "mul", lambda a, b: scaled_backward(1.001)(a) + b)
    with pytest.raises(GradientError, match=r"^mul \(row\): gradcheck: input 0 at"):
        op_cases.check(row)
    monkeypatch.setattr(op_cases, "CASES", [dataclasses.replace(row, note="renamed")])
    with pytest.raises(GradientError, match=r"^mul \(renamed\): "):
        op_cases.check_all()
