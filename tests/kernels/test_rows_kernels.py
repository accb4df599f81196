"""rows.cu against its twin: dispatch, combine and their backwards, and the gradient of an embedding."""
import numpy as np
import pytest
from kernel_run import answer, equals_twin

from minimoe import cudasim
from minimoe.kernels import cuda, reference
from minimoe.kernels.launch import launch_count

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
WIDTHS = pytest.mark.parametrize("d", [0, 1, 4, 31, 33, 300])        # 300: more columns than a block has threads


def plan(counts, rows: int = 0, dropped=(), seed: int = 0):
    """row_ptr, token, perm and inv for tokens with so many assignments, in a random order, some of them dropped."""
    row_ptr = np.cumsum([0, *counts]).astype(np.int32)
    total = row_ptr[-1]
    perm = np.random.default_rng(seed).permutation(np.setdiff1d(np.arange(total), dropped)).astype(np.int32)
    inv = np.full(total, -1, np.int32)
    inv[perm] = np.arange(perm.size)
    return row_ptr, np.repeat(np.arange(len(counts)), counts).astype(np.int32), perm, inv


PLANS = {"one token": plan([1]), "no token": plan([]), "tokens with none, one and many": plan([0, 3, 1, 0, 33, 2, 0]),
         "no assignment": plan([0, 0, 0]), "some dropped": plan([2, 2, 0, 3, 5], dropped=[0, 3, 4, 11]),
         "all dropped": plan([2, 0, 1], dropped=[0, 1, 2]), "one has all": plan([0, 97, 0])}
EVERY_PLAN = pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)


def normal(shape, dtype, seed=1):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@FLOATS
@WIDTHS
@pytest.mark.parametrize("count", [0, 1, 31, 33, 101])
def test_gather_rows(count, d, dtype, device):
    index = np.random.default_rng(0).integers(0, 7, count).astype(np.int32)
    equals_twin("gather_rows", (normal((7, d), dtype), index), device)


@pytest.mark.parametrize("index", [np.array(6), np.array([[[6, 0, 0], [1, 2, 3]]]), np.zeros((2, 0, 3), np.int32)],
                         ids=["0-d", "3-d", "3-d and empty"])
def test_gather_rows_takes_an_index_of_any_shape(index, device):
    equals_twin("gather_rows", (normal((7, 5), "float64"), index), device)


@pytest.mark.parametrize("index", ["int8", "uint8", "int16", "int64", "uint32"])
def test_an_index_of_another_width_is_converted(index, device):
    equals_twin("gather_rows", (normal((7, 5), "float32"), np.array([6, 0, 0, 3], index)), device)


@pytest.mark.parametrize("dtype, shift", [("float32", 1), ("float32", 2), ("float64", 1)])
def test_rows_that_lie_across_16_byte_words_are_copied_too(dtype, shift, device):
    d = 8
    buffer = normal(shift + 3 * d, dtype)
    found = answer(lambda buffer, index: cuda.gather_rows(buffer[shift:].reshape(3, d), index),
                   (buffer, np.array([2, 0, 1], np.int32)), device)
    np.testing.assert_array_equal(found, buffer[shift:].reshape(3, d)[[2, 0, 1]])


@FLOATS
@WIDTHS
@EVERY_PLAN
@pytest.mark.parametrize("gated", [True, False])
def test_combine_rows(plan, d, dtype, gated, device):
    row_ptr, token, perm, inv = plan
    gates = normal(token.size, dtype) if gated else None
    equals_twin("combine_rows", (normal((perm.size, d), dtype), gates, inv, row_ptr), device)


@FLOATS
@WIDTHS
@EVERY_PLAN
def test_combine_rows_backward(plan, d, dtype, device):
    row_ptr, token, perm, inv = plan
    gy, rows = normal((row_ptr.size - 1, d), dtype), normal((perm.size, d), dtype, 2)
    equals_twin("combine_rows_backward", (gy, rows, normal(token.size, dtype, 3), perm, token), device)


def test_rows_wider_than_the_largest_block(device):
    row_ptr, token, perm, inv = plan([1, 2])
    rows, gates = normal((3, 1100), "float32"), normal(3, "float32")
    equals_twin("combine_rows", (rows, gates, inv, row_ptr), device, ("forward",))
    equals_twin("combine_rows_backward", (rows[:2], rows, gates, perm, token), device, ("forward",))
    equals_twin("gather_rows", (rows, token), device, ("forward",))


def test_dispatch_and_combine_are_adjoint(device):
    row_ptr, token, perm, inv = PLANS["some dropped"]
    x, s = normal((row_ptr.size - 1, 37), "float64"), normal((perm.size, 37), "float64", 2)
    forth = answer(cuda.gather_rows, (x, token[perm]), device)
    back = answer(cuda.combine_rows, (s, None, inv, row_ptr), device)
    assert (forth * s).sum() == pytest.approx((x * back).sum(), rel=1e-12)


@FLOATS
@pytest.mark.parametrize("d", [1, 33, 300])
@pytest.mark.parametrize("ids", [[], [3], [0] * 50, [4, 0, 4, 4, 1, 0, 4], list(range(5)) * 7], ids=len)
def test_embedding_gradient(ids, d, dtype, device):
    equals_twin("embedding_gradient", (np.array(ids, np.int64), normal((len(ids), d), dtype), 5), device)


def test_ids_that_are_no_integers_are_refused(device):
    with pytest.raises(TypeError, match="an index array is float64; it must hold integers"):
        answer(cuda.embedding_gradient, (np.ones(3), np.ones((3, 2)), 4), device)


def test_the_last_row_of_a_table_of_256_is_reached_by_one_byte_ids(device):
    ids = np.array([255, 0, 255], np.uint8)
    found = answer(cuda.embedding_gradient, (ids, np.array([[1.0], [2.0], [4.0]]), 256), device)
    np.testing.assert_array_equal(found[[0, 1, 255], 0], [2, 0, 5])


@pytest.mark.parametrize("view", [lambda a: a[::2], lambda a: a[:12, ::-1], lambda a: a.T[:12], lambda a: a[:12, 1:]],
                         ids=["every second", "reversed", "transposed", "columns"])
def test_views_are_read_as_they_are_seen(view, device):
    row_ptr, token, perm, inv = plan([3, 0, 4, 5])
    rows = normal((24, 24), "float64")
    gates = normal(24, "float64")[::2]
    seen = view(rows)
    found = answer(lambda rows, gates, inv, row_ptr: cuda.combine_rows(view(rows), gates[::2], inv, row_ptr),
                   (rows, normal(24, "float64"), inv, row_ptr), device)
    np.testing.assert_allclose(found, reference.combine_rows(np.ascontiguousarray(seen), gates, inv, row_ptr),
                               rtol=1e-12, atol=1e-12)
    found = answer(lambda gy, rows, *rest: cuda.combine_rows_backward(view(gy)[:4], view(rows), *rest),
                   (rows, rows, np.ascontiguousarray(gates), perm, token), device)
    expected = reference.combine_rows_backward(np.ascontiguousarray(seen[:4]), np.ascontiguousarray(seen),
                                               np.ascontiguousarray(gates), perm, token)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)


def test_where_there_is_nothing_to_write_no_kernel_is_started(device):
    none, row_ptr, index = np.ones((0, 5)), np.zeros(1, np.int32), np.zeros(0, np.int32)
    before = launch_count()
    answer(cuda.gather_rows, (np.ones((3, 5)), index), device)
    answer(cuda.gather_rows, (np.ones((3, 0)), np.zeros(4, np.int32)), device)
    answer(cuda.combine_rows, (none, none[:, 0], index, row_ptr), device)
    answer(cuda.combine_rows_backward, (np.ones((2, 5)), none, none[:, 0], index, index), device)
    answer(cuda.embedding_gradient, (index, none, 0), device)
    assert launch_count() == before


def test_nothing_here_waits_for_the_device():
    row_ptr, token, perm, inv = (cudasim.asarray(a) for a in PLANS["some dropped"])
    rows, gates, gy = (cudasim.asarray(normal(shape, "float32")) for shape in ((8, 5), 12, (5, 5)))
    before = cudasim.host_synchronisations()
    cuda.gather_rows(gy, token)
    cuda.combine_rows(rows, gates, inv, row_ptr)
    cuda.combine_rows_backward(gy, rows, gates, perm, token)
    cuda.embedding_gradient(token[:5], gy, 9)
    assert cudasim.host_synchronisations() == before
