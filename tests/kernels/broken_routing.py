"""Broken copies of attention.cu, allocation.cu and routing.cu, for test_broken_kernels.py: the kernel or function from
whose name on the text is changed, old text, new text, the wrapper that is called, and its arguments."""
import numpy as np

from minimoe.kernels import reference


def scores(columns=33, heads=2):
    """Six rows: two have nothing live, one sees NaN and nothing else."""
    random = np.random.default_rng(0)
    values, live = random.standard_normal((1, heads, 3, columns)), random.random((1, heads, 3, columns)) < 0.7
    live[0, 0, 0] = live[0, 1, 2] = False
    values[0, 1, 1, 0], live[0, 1, 1], live[0, 1, 1, 0] = np.nan, False, True
    return values, live


def long_scores():
    return scores(1100)


def weights(columns=33):
    p, gp = np.random.default_rng(1).random((2, 3, columns))
    return p, gp


def columns(measure="colsum"):
    p = np.random.default_rng(2).random((2, 2, 35, 35))
    p[:, 0, :, 2] /= 3                              # so that the first head is not the larger one everywhere
    return p, np.arange(35) < [[35], [19]], measure, "max"


def largest_columns():
    return columns("colmax")


def budget():
    """Equal importance, someone full, padding, fractions that are nearly equal."""
    importance = np.random.default_rng(3).integers(0, 4, (3, 40)) / 4
    importance[0, :3] = 2.5 - 1e-11, 1.5, 1 + 1e-11
    importance[0, 3:] = 0
    importance[1, 0] = 4
    importance[1, 1] = np.nan
    mask = np.arange(40) < [[3], [40], [33]]
    return importance, mask, np.array([5, 61, 47]), 0, 8


def logits():
    values = np.random.default_rng(4).standard_normal((5, 37))
    values[1, 36], values[2, 3], values[3], values[4, :9] = np.nan, np.inf, -np.inf, -np.inf
    return (values,)


def ties():
    values = np.random.default_rng(5).integers(0, 3, (3, 37)) / 2
    values[1, ::2], values[2, 3:9] = np.nan, -np.inf
    return values, np.array([0, 5, 42, 79], np.int32), 79


def along(form="renorm", after=True):
    """Three tokens with 3, 0 and 40 of 41 experts; some assignments are dropped, the first row is kept."""
    random = np.random.default_rng(6)
    row_ptr = np.array([0, 3, 3, 43], np.int32)
    p = random.dirichlet(np.ones(41), 3)
    expert = reference.select_experts(p + random.random(p.shape), row_ptr)
    inv = np.where(random.random(43) < 0.3, -1, np.arange(43)).astype(np.int32)
    inv[0] = 0
    p[:, 7] = 0
    return p, expert, inv, row_ptr, form, after


def gates_gradient():
    p, *rest = along()
    return np.random.default_rng(7).standard_normal(43), p, *rest


def router_gradient(upstream=True):
    p, *rest = along()
    dg, lse, share = (np.random.default_rng(8).standard_normal(n) for n in (43, 3, 41))
    gp = np.random.default_rng(9).standard_normal(p.shape) if upstream else None
    return dg, gp, np.array([0.7, 0.6, 0.5]), p, lse, share, np.array([True, True, False]), *rest


def router_gradient_alone():
    return router_gradient(upstream=False)


LAST_WRITER = "__syncwarp();                                     // the next writer"

ATTENTION = [
    ("larger", "a > b || a != a", "a > b", "masked_softmax", scores),
    ("live_row", "row / queries % heads", "row / queries / heads", "masked_softmax", scores),
    ("masked_softmax_warp", "row >= rows", "row > rows", "masked_softmax", scores),
    ("masked_softmax_warp", "k < columns && live", "live", "masked_softmax", scores),
    ("masked_softmax_warp", "&& live[k * live_k]", "", "masked_softmax", scores),
    ("masked_softmax_warp", "top = warp_max(top);", "", "masked_softmax", scores),
    ("masked_softmax_warp", "sum = warp_sum(sum);", "", "masked_softmax", scores),
    ("masked_softmax_warp", "dead = top == MINUS_INFINITY", "dead = false", "masked_softmax", scores),
    ("masked_softmax_warp", "if (k < columns) scores[k]", "if (k <= columns) scores[k]", "masked_softmax", scores),
    ("masked_softmax_warp", "1 / sum", "sum", "masked_softmax", scores),
    ("block_reduce", "__syncthreads();", "", "masked_softmax", long_scores),
    ("block_reduce", "__syncthreads();                                  // before", "// before", "masked_softmax",
     long_scores),
    ("block_reduce", "int w = 1", "int w = 2", "masked_softmax", long_scores),
    ("masked_softmax_block", "k += blockDim.x) scores[k] /=", "k += blockDim.x - 1) scores[k] /=", "masked_softmax",
     long_scores),
    ("masked_softmax_block", "dead || !live[k * live_k]", "dead", "masked_softmax", long_scores),
    ("masked_softmax_block", "dead = top == MINUS_INFINITY", "dead = false", "masked_softmax", long_scores),
    ("masked_softmax_backward", "row >= rows", "row > rows", "masked_softmax_backward", weights),
    ("masked_softmax_backward", "k < columns; k += 32) sum", "k <= columns; k += 32) sum", "masked_softmax_backward",
     weights),
    ("masked_softmax_backward", "sum = warp_sum(sum);", "", "masked_softmax_backward", weights),
    ("masked_softmax_backward", "k < columns; k += 32) gs", "k < columns - 1; k += 32) gs", "masked_softmax_backward",
     weights),
    ("column_importance", "column < n_keys &&", "column <= n_keys &&", "column_importance", columns),
    ("column_importance", "if (real[(size_t)q * real_step])", "", "column_importance", columns),
    ("column_importance", "__syncthreads();\n        if", "if", "column_importance", columns),
    ("column_importance", "__syncthreads();                              // before", "// before", "column_importance",
     columns),
    ("column_importance", "w < 8", "w < 7", "column_importance", columns),
    ("column_importance", "w < 8", "w < 7", "column_importance", largest_columns),
    ("column_importance", "y == 0 && column < n_keys", "column < n_keys", "column_importance", columns),
    ("column_importance", "mine ? p[", "column < n_keys ? p[", "column_importance", largest_columns),
]

ALLOCATION = [
    ("budget_counts", "!mask[i] ? -1.0 :", "", "budget_counts", budget),
    ("budget_counts", "counts[i] = 0;", "", "budget_counts", budget),
    ("budget_counts", "other[i] = !mask[i] ? -1.0 : sound ?", "other[i] = !mask[i] ? -1.0 : true ?", "budget_counts",
     budget),
    ("budget_counts", "mine && j < i", "mine && j > i", "budget_counts", budget),
    ("budget_counts", "__syncthreads();\n    for (int step", "for (int step", "budget_counts", budget),
    ("budget_counts", "r + step < n", "r + step <= n", "budget_counts", budget),
    ("budget_counts", "__syncthreads();\n        double* swap", "double* swap", "budget_counts", budget),
    ("budget_counts", "> cap * tail[r]", "> 2 * cap * tail[r]", "budget_counts", budget),
    ("budget_counts", "rint((exact - floor(exact)) * 1e9)", "exact - floor(exact)", "budget_counts", budget),
    ("budget_counts", "fraction[r] && s < r", "fraction[r] && s > r", "budget_counts", budget),
    ("budget_counts", "rank < rest", "rank <= rest", "budget_counts", budget),
    ("block_sum", "__syncthreads();", "", "budget_counts", budget),
    ("block_sum", "__syncthreads();                                  // before", "// before", "budget_counts", budget),
]

ROUTING = [
    ("router_softmax", "token >= tokens", "token > tokens", "router_softmax", logits),
    ("router_softmax", "e < experts; e += 32) top", "e <= experts; e += 32) top", "router_softmax", logits),
    ("router_softmax", "&& top < -MINUS_INFINITY", "", "router_softmax", logits),
    ("larger", "a > b || a != a", "a > b", "router_softmax", logits),
    ("router_softmax", "sum = warp_sum(sum);", "", "router_softmax", logits),
    ("router_softmax", "e < experts; e += 32)\n        if", "e < experts - 1; e += 32)\n        if", "router_softmax",
     logits),
    ("comes_before", "a > b : i < j", "a > b : i > j", "select_experts", ties),
    ("comes_before", "if (a_counts != b_counts) return a_counts;", "", "select_experts", ties),
    ("select_experts", "a < row_ptr[token + 1]", "a <= row_ptr[token + 1]", "select_experts", ties),
    ("select_experts", "e < experts; e += 32", "e < experts - 1; e += 32", "select_experts", ties),
    ("select_experts", "int step = 16", "int step = 8", "select_experts", ties),
    ("chosen_sum", "|| inv[a] >= 0", "|| inv[a] > 0", "select_gates", along),
    ("chosen_sum", "sum = warp_sum(sum);", "", "select_gates", along),
    ("select_gates", "a = begin + lane; a < end", "a = begin + lane; a <= end", "select_gates", along),
    ("select_gates", "inv[a] >= 0 ? gate", "inv[a] >= -1 ? gate", "select_gates", along),
    ("add_gate_gradient", "kept ? dg[a] : (REAL)0", "dg[a]", "select_gates_backward", gates_gradient),
    ("add_gate_gradient", "|| !after_drop ? mixed", "|| true ? mixed", "select_gates_backward", gates_gradient),
    ("add_gate_gradient", "warp_sum(mixed)", "mixed", "select_gates_backward", gates_gradient),
    ("select_gates_backward", "gp[e] = 0", "if (e) gp[e] = 0", "select_gates_backward", gates_gradient),
    ("select_gates_backward", LAST_WRITER, "//", "select_gates_backward", gates_gradient),
    ("router_backward", "has_gp ? gp[row + e] : (REAL)0", "gp[row + e]", "router_backward", router_gradient_alone),
    ("router_backward", "&& p[e] > 0", "", "router_backward", router_gradient),
    ("router_backward", "counted[(size_t)token * counted_step]", "true", "router_backward", router_gradient),
    ("router_backward", LAST_WRITER, "//", "router_backward", router_gradient),
    ("router_backward", "gz);\n    __syncwarp();", "gz);", "router_backward", router_gradient),
    ("router_backward", "warp_sum(along)", "along", "router_backward", router_gradient),
    ("router_backward", "- z * lse[token]", "", "router_backward", router_gradient),
]

BROKEN = [*(("attention.cu", *row) for row in ATTENTION), *(("allocation.cu", *row) for row in ALLOCATION),
          *(("routing.cu", *row) for row in ROUTING)]
