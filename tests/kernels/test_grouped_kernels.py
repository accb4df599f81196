"""grouped.cu against its twin: one matrix per expert."""
import numpy as np
import pytest
from kernel_run import answer, compare, equals_twin

from minimoe import cudasim
from minimoe.kernels import cuda, reference
from minimoe.kernels.cuda.grouped import TILE
from minimoe.kernels.launch import launch_count

FLOATS = pytest.mark.parametrize("dtype", ["float32", "float64"])
COUNTS = {"no row": [0, 0], "one row": [1], "an expert with none": [5, 0, 3], "all on the last": [0, 0, TILE + 3],
          "all on the first": [33, 0, 0, 0], "whole tiles": [TILE, 2 * TILE],
          "uneven": [TILE - 1, 1, 0, TILE + 1, 31, 7], "nine with one each": [1] * 9}
EVERY_COUNT = pytest.mark.parametrize("counts", COUNTS.values(), ids=COUNTS)
SIZES = pytest.mark.parametrize("d, f", [(1, 1), (17, 31), (33, 67), (0, 3), (3, 0)])
ONCE = (1,)                                         # one order where there are many sizes; all in a test of their own


def offsets_of(counts):
    return np.cumsum([0, *counts]).astype(np.int32)


def normal(shape, dtype="float64", seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@FLOATS
@SIZES
@EVERY_COUNT
def test_grouped_matmul(counts, d, f, dtype, device):
    inputs = normal((sum(counts), d), dtype), normal((len(counts), d, f), dtype, 1), offsets_of(counts)
    equals_twin("grouped_matmul", inputs, device, ONCE)


@FLOATS
@SIZES
@EVERY_COUNT
def test_grouped_matmul_with_the_transposed_weight(counts, d, f, dtype, device):
    x, weight, offsets = normal((sum(counts), f), dtype), normal((len(counts), d, f), dtype, 1), offsets_of(counts)
    found = answer(lambda x, weight, offsets: cuda.grouped_matmul(x, weight.swapaxes(1, 2), offsets),
                   (x, weight, offsets), device, ONCE)
    compare(found, reference.grouped_matmul(x, weight.swapaxes(1, 2), offsets))


@FLOATS
@SIZES
@EVERY_COUNT
def test_grouped_weight_gradient(counts, d, f, dtype, device):
    inputs = normal((sum(counts), d), dtype), normal((sum(counts), f), dtype, 1), offsets_of(counts)
    equals_twin("grouped_weight_gradient", inputs, device, ONCE)


@FLOATS
@pytest.mark.parametrize("f", [0, 1, 31, 33, 67])
@EVERY_COUNT
def test_grouped_sum(counts, f, dtype, device):
    equals_twin("grouped_sum", (normal((sum(counts), f), dtype), offsets_of(counts)), device)


@FLOATS
def test_no_order_of_threads_changes_a_bit(dtype, device):
    x, gy, offsets = normal((70, 35), dtype), normal((70, 66), dtype), offsets_of([0, 67, 3])
    equals_twin("grouped_matmul", (x, normal((3, 35, 66), dtype), offsets), device)
    equals_twin("grouped_weight_gradient", (x, gy, offsets), device)


def test_a_thousand_experts_most_of_them_without_rows(device):
    counts = [int(e % 97 == 5) * (1 + e // 97) for e in range(1031)]
    inputs = normal((sum(counts), 3)), normal((1031, 3, 2)), offsets_of(counts)
    equals_twin("grouped_matmul", inputs, device, ("forward",))
    equals_twin("grouped_sum", (inputs[0], inputs[2]), device, ("forward",))


def test_nan_stays_with_its_own_expert(device):
    x, gy, offsets = normal((9, 5)), normal((9, 4)), offsets_of([3, 2, 4])
    x[3], gy[4] = np.nan, np.nan                    # rows of expert 1, with neighbours in the same tile
    y = equals_twin("grouped_matmul", (x, normal((3, 5, 4)), offsets), device)
    gw = equals_twin("grouped_weight_gradient", (x, gy, offsets), device)
    total = equals_twin("grouped_sum", (gy, offsets), device)
    assert np.isfinite(y[[0, 1, 2, 4, 5, 6, 7, 8]]).all() and np.isnan(y[3]).all()
    assert np.isfinite(gw[[0, 2]]).all() and np.isfinite(total[[0, 2]]).all() and np.isnan(total[1]).all()


def test_the_transposed_weight_is_not_copied(monkeypatch):
    """Else every backward would copy the weights of all experts."""
    from minimoe.kernels.cuda import grouped
    passed = []
    monkeypatch.setattr(grouped, "launch", lambda *args: passed.append(args[-1]))
    weight = cudasim.asarray(normal((2, 3, 5)))
    grouped.grouped_matmul(cudasim.asarray(normal((4, 5))), weight.swapaxes(1, 2), cudasim.asarray(offsets_of([1, 3])))
    assert cudasim_memory(passed[0][1]) == cudasim_memory(weight) and passed[0][2] is True


def cudasim_memory(array) -> int:
    return (array if array.base is None else array.base)._host.ctypes.data


@pytest.mark.parametrize("view", [lambda w: w[::2], lambda w: w[:2, :, ::-1], lambda w: w[:2].swapaxes(1, 2)[:, ::-1]],
                         ids=["every second", "reversed", "transposed and reversed"])
def test_other_views_are_read_as_they_are_seen(view, device):
    x, weight, offsets = normal((9, 10)), normal((4, 5, 5)), offsets_of([2, 7])
    found = answer(lambda x, w, o: cuda.grouped_matmul(x[:, ::2], view(w), o), (x, weight, offsets), device)
    compare(found, reference.grouped_matmul(x[:, ::2], view(weight), offsets))
    gradient = answer(lambda x, o: cuda.grouped_weight_gradient(x[:, ::2], x[:, 5:], o), (x, offsets), device)
    compare(gradient, reference.grouped_weight_gradient(x[:, ::2], x[:, 5:], offsets))
    total = answer(lambda x, o: cuda.grouped_sum(x.T, o), (x, offsets_of([2, 8])), device)
    compare(total, reference.grouped_sum(x.T, offsets_of([2, 8])))


@pytest.mark.parametrize("name", ["grouped_matmul", "grouped_weight_gradient", "grouped_sum"])
def test_the_library_form_gives_the_same_on_the_device(name, device):
    x, gy, weight, offsets = normal((50, 7)), normal((50, 9)), normal((4, 7, 9)), offsets_of([20, 0, 1, 29])
    inputs = {"grouped_matmul": (x, weight, offsets), "grouped_weight_gradient": (x, gy, offsets),
              "grouped_sum": (x, offsets)}[name]
    compare(answer(getattr(reference, name), inputs, device), answer(getattr(cuda, name), inputs, device))


def test_where_there_is_nothing_to_write_no_kernel_is_started(device):
    before, offsets = launch_count(), offsets_of([0, 0])
    answer(cuda.grouped_matmul, (np.ones((0, 3)), np.ones((2, 3, 4)), offsets), device)
    answer(cuda.grouped_matmul, (np.ones((5, 3)), np.ones((2, 3, 0)), offsets_of([2, 3])), device)
    answer(cuda.grouped_weight_gradient, (np.ones((5, 0)), np.ones((5, 3)), offsets_of([2, 3])), device)
    answer(cuda.grouped_sum, (np.ones((5, 0)), offsets_of([2, 3])), device)
    assert launch_count() == before


@pytest.mark.parametrize("bounds, rows", [([0, 3, 2, 5], 5), ([1, 5], 5), ([0, 4], 5)])
def test_segments_refuse_offsets_that_do_not_cover_the_rows(bounds, rows, device):
    with pytest.raises(ValueError, match=f"must rise from 0 to {rows}, the number of rows"):
        answer(lambda offsets: cuda.segments(offsets, rows), (np.array(bounds),), device)


def test_segments_skip_experts_without_rows(device):
    assert answer(lambda o: tuple(cuda.segments(o, 5)), (np.array([0, 0, 2, 2, 5]),), device) == ((1, 0, 2), (3, 2, 5))


def test_the_kernels_wait_for_nothing_and_segments_for_the_offsets():
    x, weight, offsets = (cudasim.asarray(a) for a in (normal((8, 3)), normal((2, 3, 4)), offsets_of([3, 5])))
    before = cudasim.host_synchronisations()
    y = cuda.grouped_matmul(x, weight, offsets)
    cuda.grouped_matmul(y, weight.swapaxes(1, 2), offsets)
    cuda.grouped_weight_gradient(x, y, offsets)
    cuda.grouped_sum(y, offsets)
    assert cudasim.host_synchronisations() == before
    cuda.segments(offsets, 8)
    assert cudasim.host_synchronisations() == before + 1
