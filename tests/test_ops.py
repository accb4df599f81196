"""Every row of the table of operations against its reference, its numeric gradient, strange strides and float32."""
import numpy as np
import pytest
from op_references import REFERENCES as GENERAL
from op_references_moe import REFERENCES as MOE

from minimoe import Tensor, op_cases, ops
from minimoe.backend import backend_name, to_backend, to_host

REFERENCES = GENERAL | MOE
every_case = pytest.mark.parametrize("case", op_cases.CASES, ids=str)


def as_tuple(y):
    return y if isinstance(y, tuple) else (y,)


def inputs_of(case):
    return case.inputs(np.random.default_rng(1))


def run(case, inputs, backend, upstream=None):
    """(inputs, outputs, upstream gradients): each output is walked back on its own, and the inputs keep the sums."""
    inputs = [Tensor(a, requires_grad=True, backend=backend) if a.dtype.kind == "f" else to_backend(a, backend)
              for a in inputs]
    outputs = as_tuple(op_cases.apply(case, inputs, backend=backend))
    if upstream is None:
        random = np.random.default_rng(2)
        upstream = [to_backend(random.standard_normal(y.shape).astype(to_host(y.data).dtype), backend) for y in outputs]
    for i, gy in enumerate(upstream):
        as_tuple(op_cases.apply(case, inputs, backend=backend))[i].backward(gy)
    return inputs, outputs, upstream


def numbers(inputs, outputs):
    """Everything that came out, on the host: outputs, then gradients."""
    gradients = [t.grad for t in inputs if isinstance(t, Tensor)]
    return [to_host(a) for a in [*(y.data for y in outputs), *gradients]]


@every_case
def test_forward_equals_the_slow_reference(case, backend):
    inputs = inputs_of(case)
    _, outputs, _ = run(case, inputs, backend)
    expected = as_tuple(REFERENCES[case.op](*([inputs] if case.as_list else inputs), **case.kwargs))
    assert len(outputs) == len(expected)
    for y, reference in zip(outputs, expected, strict=True):
        assert y.shape == np.shape(reference)
        np.testing.assert_allclose(y.numpy(), reference, rtol=1e-12, atol=1e-14)


@every_case
def test_backward_equals_central_differences(case, backend):
    assert op_cases.check(case, backend) <= 1e-6


@every_case
def test_inputs_and_upstream_stay_and_gradients_are_fresh_arrays_like_the_inputs(case, backend):
    originals = inputs_of(case)
    inputs, outputs, upstream = run(case, [a.copy() for a in originals], backend)
    random = np.random.default_rng(2)
    for gy, y in zip(upstream, outputs, strict=True):
        assert to_host(gy).tobytes() == random.standard_normal(y.shape).tobytes()
    for value, original in zip(inputs, originals, strict=True):
        assert to_host(getattr(value, "data", value)).tobytes() == original.tobytes()
    tensors = [t for t in inputs if isinstance(t, Tensor)]
    others = [*(t.data for t in tensors), *(y.data for y in outputs), *upstream]
    for i, t in enumerate(tensors):
        assert (t.grad.shape, t.grad.dtype, backend_name(t.grad)) == (t.shape, t.dtype, backend)
        shared = [a for a in [*others, *(u.grad for u in tensors[:i])] if np.shares_memory(to_host(t.grad), to_host(a))]
        assert not shared


def every_second(a):
    wide = np.full((*a.shape[:-1], 2 * a.shape[-1]), np.nan)
    wide[..., ::2] = a
    return wide[..., ::2]


STRIDES = {"every second": every_second, "transposed": lambda a: a.T.copy().T,
           "reversed": lambda a: a[::-1].copy()[::-1], "stretched": lambda a: np.broadcast_to(a[:1], a.shape)}


@pytest.mark.parametrize("strides", STRIDES)
@every_case
def test_views_give_what_contiguous_copies_give(case, strides, backend):
    def view(a):
        return STRIDES[strides](a) if a.ndim and a.dtype.kind == "f" else a

    views = [view(a) for a in inputs_of(case)]
    copies = [np.ascontiguousarray(a) if a.ndim else a for a in views]
    inputs, outputs, upstream = run(case, copies, backend)
    upstream_views = [view(to_host(gy)) for gy in upstream]
    if strides == "stretched":                      # changes the values: walk the copies back once more, from these
        inputs, outputs, _ = run(case, copies, backend, [to_backend(gy.copy(), backend) for gy in upstream_views])
    view_inputs, view_outputs, _ = run(case, views, backend, [to_backend(gy, backend) for gy in upstream_views])
    for got, expected in zip(numbers(view_inputs, view_outputs), numbers(inputs, outputs), strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-11, atol=1e-12)


@every_case
def test_float32_stays_float32_and_agrees_with_float64_on_numpy(case, backend):
    """G08 (HIPS/autograd#671) for every operation: no float64 in values or gradients."""
    narrow = [a.astype(np.float32) if a.dtype.kind == "f" else a for a in inputs_of(case)]
    wide = [a.astype(np.float64) if a.dtype.kind == "f" else a for a in narrow]
    inputs, outputs, upstream = run(case, narrow, backend)
    wide_inputs, wide_outputs, _ = run(case, wide, "numpy", [to_host(gy).astype(np.float64) for gy in upstream])
    for got, expected in zip(numbers(inputs, outputs), numbers(wide_inputs, wide_outputs), strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_operations_table_references_and_public_names_are_the_same_list():
    names = set(ops.OPS)
    assert names == {case.op for case in op_cases.CASES}
    assert names == set(REFERENCES)
    assert names == set(ops.__all__) - {"OPS"}
    assert all(getattr(ops, name) is function for name, function in ops.OPS.items())


def test_rows_of_the_table_have_different_names():
    names = [str(case) for case in op_cases.CASES]
    assert len(set(names)) == len(names)
