"""Tests of the tests: a kernel broken on purpose must give another answer than its twin, or be reported by the checker.

Each row changes one place of a `.cu` file and calls one wrapper. Without the change the same call must pass, so it is
the change that is seen. To add a kernel, add rows to BROKEN.
"""
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from broken_dense import BROKEN as BROKEN_DENSE
from broken_routing import BROKEN as BROKEN_ROUTING
from kernel_run import equals_twin

from minimoe import cudasim
from minimoe.kernels import cuda
from minimoe.kernels import launch as launch_layer


@dataclass(frozen=True)
class Broken:
    file: str
    kernel: str                                     # in which the first occurrence of `old` from here on is replaced
    old: str
    new: str
    call: str                                       # name of a function of minimoe.kernels.cuda
    inputs: Callable[[], tuple]                     # its arguments, as host arrays


def r(*shape):
    return np.random.default_rng(0).standard_normal(shape)


def ints(*values):
    return np.array(values, np.int32)


EXPERT = np.random.default_rng(0).integers(0, 5, 600).astype(np.int32)
KEEP = np.random.default_rng(1).random(600) < 0.7


def gather(d=33):
    return r(7, d), ints(3, 0, 6, 6, 1)


def combine(gates=True):                            # tokens with 2, 0 and 3 assignments, of which the second is dropped
    return r(4, 35), r(5) if gates else None, ints(2, -1, 0, 3, 1), ints(0, 2, 2, 5)


def combine_backward(d=35):
    return r(3, d), r(3, d), r(5), ints(2, 4, 0), ints(0, 0, 2, 2, 2)


def sort(keep=True):
    return EXPERT, KEEP if keep else None, 5


def matmul(d=37, f=70):
    return r(72, d), r(3, d, f), ints(0, 67, 67, 72)


def matmul_turned():
    return r(72, 37), r(3, 70, 37).swapaxes(1, 2), ints(0, 67, 67, 72)


def weight_gradient():
    return r(72, 37), r(72, 70), ints(0, 67, 67, 72)


ROWS = [
    ("gather_rows", "row >= count", "row > count", "gather_rows", gather),
    ("gather_rows", "j < d; j += 32", "j <= d; j += 32", "gather_rows", gather),
    ("gather_rows", "d * sizeof(REAL) % 16 == 0 &&", "", "gather_rows", gather),
    ("gather_rows", "/ 16; j += 32", "/ 16 - 1; j += 32", "gather_rows", lambda: gather(34)),
    ("combine_rows", "column >= d", "column > d", "combine_rows", combine),
    ("combine_rows", "a < row_ptr[token + 1]", "a <= row_ptr[token + 1]", "combine_rows", combine),
    ("combine_rows", "row < 0", "row <= 0", "combine_rows", combine),
    ("combine_rows", "has_gates ? gates[a] : (REAL)1", "gates[a]", "combine_rows", lambda: combine(False)),
    ("combine_rows", "gates[a]", "gates[row]", "combine_rows", combine),
    ("combine_rows", "y[(size_t)token * d + column] = sum", "if (sum != 0) y[(size_t)token * d + column] = sum",
     "combine_rows", combine),
    ("combine_rows_backward", "row >= kept", "row > kept", "combine_rows_backward", combine_backward),
    ("combine_rows_backward", "j < d; j += 32", "j <= d; j += 32", "combine_rows_backward", combine_backward),
    ("combine_rows_backward", "along = warp_sum(along);", "", "combine_rows_backward", combine_backward),
    ("combine_rows_backward", "g_gates[a] = along", "g_gates[row] = along", "combine_rows_backward", combine_backward),
    ("combine_rows_backward", "if (lane == 0) g_gates", "g_gates", "combine_rows_backward", combine_backward),
    ("combine_rows", "row_ptr[token + 1]", "row_ptr[token] + 1", "embedding_gradient",
     lambda: (ints(4, 0, 4, 4, 1), r(5, 3), 6)),
]

SORTING = [
    ("rank_in_tile", "a < end && (", "(", "sort_by_expert", sort),
    ("rank_in_tile", "min(assignments, first + tile)", "first + tile", "sort_by_expert", lambda: sort(False)),
    ("rank_in_tile", "same & ((1u << lane) - 1)", "same & ~((2u << lane) - 1)", "sort_by_expert", sort),    # not stable
    ("rank_in_tile", "before + __popc(same)", "__popc(same)", "sort_by_expert", sort),
    ("rank_in_tile", "kept ? expert[a] : -1", "a < end ? expert[a] : -1", "sort_by_expert", sort),
    ("rank_in_tile", "__syncwarp();                                 // all", "// all", "sort_by_expert", sort),
    ("rank_in_tile", "__syncwarp();                                 // written", "// written", "sort_by_expert", sort),
    ("place_assignments", "a >= assignments", "a > assignments", "sort_by_expert", sort),
    ("place_assignments", "a / tile", "0", "sort_by_expert", sort),
    ("token_of_assignment", "i >= tokens", "i > tokens", "token_of_assignment", lambda: (ints(0, 2, 2, 5), 5)),
    ("token_of_assignment", "a < row_ptr[i + 1]", "a <= row_ptr[i + 1]", "token_of_assignment",
     lambda: (ints(0, 2, 2, 5), 5)),
]

STRIPS = "__syncthreads();\n        add_products"
REUSE = "__syncthreads();                              // before the next strips"
GROUPED = [
    ("copy_rows", "first + row < rows &&", "", "grouped_matmul", matmul),
    ("copy_columns", "&& first + column < width", "", "grouped_matmul", matmul),
    ("add_products", "s < DEPTH", "s < DEPTH - 1", "grouped_matmul", matmul),
    ("write_sums", "first_row + i < rows &&", "", "grouped_matmul", matmul),
    ("write_sums", "first_column + j < columns", "first_column + j <= columns", "grouped_matmul", matmul),
    ("grouped_matmul", "/ TILE + middle <= tile", "/ TILE + middle < tile", "grouped_matmul", matmul),
    ("grouped_matmul", "row >= rows", "row + TILE > rows", "grouped_matmul", matmul),
    ("grouped_matmul", "start < k", "start + DEPTH < k", "grouped_matmul", matmul),
    ("grouped_matmul", STRIPS, "add_products", "grouped_matmul", matmul),
    ("grouped_matmul", REUSE, "//", "grouped_matmul", matmul),
    ("grouped_matmul", "if (transposed)", "if (!transposed)", "grouped_matmul", matmul_turned),
    ("grouped_weight_gradient", STRIPS, "add_products", "grouped_weight_gradient", weight_gradient),
    ("grouped_weight_gradient", REUSE, "//", "grouped_weight_gradient", weight_gradient),
    ("grouped_weight_gradient", "start < rows", "start + DEPTH < rows", "grouped_weight_gradient", weight_gradient),
    ("grouped_weight_gradient", "write_sums", "if (rows) write_sums", "grouped_weight_gradient", weight_gradient),
    ("grouped_sum", "if (column < n)", "", "grouped_sum", lambda: (r(72, 37), ints(0, 67, 67, 72))),
    ("grouped_sum", "row < offsets[e + 1]", "row <= offsets[e + 1]", "grouped_sum",
     lambda: (r(72, 37), ints(0, 67, 67, 72))),
    ("grouped_sum", "__syncthreads();", "", "grouped_sum", lambda: (r(72, 37), ints(0, 67, 67, 72))),
    ("grouped_sum", "w < 8", "w < 7", "grouped_sum", lambda: (r(72, 37), ints(0, 67, 67, 72))),
]

BROKEN = [Broken(file, *row) for file, rows in (("rows.cu", ROWS), ("sorting.cu", SORTING), ("grouped.cu", GROUPED))
          for row in rows] + [Broken(*row) for row in (*BROKEN_ROUTING, *BROKEN_DENSE)]


def broken_text(row: Broken) -> str:
    """The file with the change, which must be possible."""
    before, name, after = launch_layer.source(row.file).partition(f" {row.kernel}(")
    assert row.old in after, f"{row.file} has no {row.old!r} from {row.kernel} on"
    return before + name + after.replace(row.old, row.new, 1)


def forget_compiled():
    launch_layer._parameters.cache_clear()
    launch_layer._module.cache_clear()


@pytest.fixture
def replaced(monkeypatch):
    """replaced(file, text): launches find this text in place of the file, until the test ends."""
    real = launch_layer.source

    def replace(file: str, text: str) -> None:
        monkeypatch.setattr(launch_layer, "source", lambda asked: text if asked == file else real(asked))
        forget_compiled()

    yield replace
    monkeypatch.undo()
    forget_compiled()


@pytest.mark.parametrize("row", BROKEN, ids=lambda row: f"{row.kernel}: {row.old} -> {row.new or 'nothing'}")
def test_a_broken_kernel_is_noticed(row, replaced):
    text = broken_text(row)
    replaced(row.file, text)
    with pytest.raises((AssertionError, cudasim.SimulationError)) as caught:
        equals_twin(row.call, row.inputs(), "cudasim")
    assert "does not compile" not in str(caught.value)


CALLS = {(row.call, row.inputs): row for row in BROKEN}


@pytest.mark.parametrize("row", CALLS.values(), ids=lambda row: row.call)
def test_the_whole_kernel_passes_where_broken_ones_are_noticed(row):
    equals_twin(row.call, row.inputs(), "cudasim")


def test_every_kernel_is_broken_somewhere():
    assert {row.call for row in BROKEN} <= set(cuda.__all__)
    broken = {(row.file, row.kernel) for row in BROKEN}
    for file in {row.file for row in BROKEN}:
        assert {(file, kernel) for kernel in launch_layer._parameters(file)} <= broken
