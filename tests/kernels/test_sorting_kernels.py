"""sorting.cu against its twin, and the laws of a stable sort by expert."""
import numpy as np
import pytest
from kernel_run import answer, equals_twin

from minimoe import cudasim
from minimoe.backend import get_backend
from minimoe.kernels import cuda
from minimoe.kernels.cuda.sorting import TILE
from minimoe.kernels.launch import launch_count

SIZES = pytest.mark.parametrize("assignments", [0, 1, 31, 33, TILE - 1, TILE, TILE + 1, 3 * TILE + 101])


def experts(assignments, n_experts, kind="random"):
    r = np.random.default_rng(assignments)
    return {"random": r.integers(0, n_experts, assignments), "the last": np.full(assignments, n_experts - 1),
            "two": r.integers(0, 2, assignments) * (n_experts - 1),
            "in turn": np.arange(assignments) % n_experts}[kind].astype(np.int32)


@SIZES
@pytest.mark.parametrize("n_experts", [1, 3, 64, 1031])
@pytest.mark.parametrize("kind", ["random", "the last", "two", "in turn"])
def test_sort_by_expert(assignments, n_experts, kind, device):
    equals_twin("sort_by_expert", (experts(assignments, n_experts, kind), None, n_experts), device)


@SIZES
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_sort_of_the_kept_ones(assignments, share, device):
    keep = np.random.default_rng(0).random(assignments) < share
    equals_twin("sort_by_expert", (experts(assignments, 5), keep, 5), device)


def test_the_sort_is_stable_and_inv_undoes_perm(device):
    expert = experts(2 * TILE + 9, 4)
    keep = np.arange(expert.size) % 3 > 0
    counts, offsets, perm, inv = answer(cuda.sort_by_expert, (expert, keep, 4), device)
    assert offsets.tolist() == [0, *np.cumsum([np.sum(expert[keep] == e) for e in range(4)])]
    for e in range(4):
        np.testing.assert_array_equal(perm[offsets[e]:offsets[e + 1]], np.flatnonzero(keep & (expert == e)))
        assert counts[e] == np.sum(keep & (expert == e))
    np.testing.assert_array_equal(inv[perm], np.arange(perm.size))
    assert (inv[~keep] == -1).all()


@pytest.mark.parametrize("assignments", [5, 2 * TILE])
def test_every_answer_is_packed(assignments, device):
    """So that it can be handed to the next kernel as it is."""
    xp = get_backend(device)
    for keep in (None, xp.ones(assignments, bool)):
        for array in cuda.sort_by_expert(xp.asarray(experts(assignments, 4)), keep, 4):
            assert array.flags.c_contiguous and array.dtype == xp.int32


def test_where_there_is_nothing_to_write_no_kernel_is_started(device):
    before = launch_count()
    answer(cuda.sort_by_expert, (experts(0, 4), None, 4), device)
    answer(cuda.sort_by_expert, (experts(0, 4), np.ones(0, bool), 4), device)
    answer(cuda.token_of_assignment, (np.zeros(1, np.int32), 0), device)
    assert launch_count() == before


@pytest.mark.parametrize("dtype", ["int64", "uint8", "int16"])
def test_expert_numbers_of_another_width_are_converted(dtype, device):
    equals_twin("sort_by_expert", (experts(40, 4).astype(dtype), None, 4), device)


def test_expert_numbers_and_keep_may_be_views(device):
    expert, keep = experts(80, 4), np.arange(80) % 5 > 1
    found = answer(lambda expert, keep: cuda.sort_by_expert(expert[::-2], keep[1::2], 4), (expert, keep), device)
    for one, other in zip(found, answer(cuda.sort_by_expert, (expert[::-2].copy(), keep[1::2].copy(), 4), device),
                          strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("counts", [[], [0], [1], [0, 3, 0, 0, 40, 1, 0], [1] * 300, [0] * 300, [0] * 299 + [7]],
                         ids=lambda c: f"{len(c)} tokens, {sum(c)} assignments")
def test_token_of_assignment(counts, device):
    row_ptr = np.cumsum([0, *counts]).astype(np.int32)
    equals_twin("token_of_assignment", (row_ptr, sum(counts)), device)


def test_a_row_ptr_of_another_width_is_converted(device):
    equals_twin("token_of_assignment", (np.array([0, 2, 2, 3]), 3), device)


def test_one_number_is_read_back_where_some_may_be_dropped_and_else_none():
    expert, keep, row_ptr = (cudasim.asarray(a) for a in (experts(600, 5), np.arange(600) % 2 > 0, np.array([0, 600])))
    before = cudasim.host_synchronisations()
    cuda.token_of_assignment(row_ptr, 600)
    cuda.sort_by_expert(expert, None, 5)
    assert cudasim.host_synchronisations() == before
    cuda.sort_by_expert(expert, keep, 5)
    assert cudasim.host_synchronisations() == before + 1
