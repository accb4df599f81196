"""The kernels in NumPy: routing, scatter and gather on raw arrays. Deterministic: every output has one writer.

Layouts (N tokens, A assignments, E experts; index arrays int32). Canonical order is token-major: the assignments of
token i are row_ptr[i]:row_ptr[i+1], best expert first. Sorted order puts the kept assignments of expert e at
offsets[e]:offsets[e+1]; perm leads from a sorted row to its assignment, inv back (-1: dropped, no row).
"""
from minimoe.kernels.reference.allocation import budget_counts
from minimoe.kernels.reference.attention import column_importance, masked_softmax, masked_softmax_backward
from minimoe.kernels.reference.dense import adamw_update, add_bias, bias_activation, layer_norm, layer_norm_backward
from minimoe.kernels.reference.grouped import grouped_matmul, grouped_sum, grouped_weight_gradient, segments
from minimoe.kernels.reference.routing import (
    router_backward,
    router_softmax,
    select_experts,
    select_gates,
    select_gates_backward,
)
from minimoe.kernels.reference.rows import combine_rows, combine_rows_backward, embedding_gradient, gather_rows
from minimoe.kernels.reference.sorting import sort_by_expert, token_of_assignment

__all__ = ["adamw_update", "add_bias", "bias_activation", "budget_counts", "column_importance", "combine_rows",
           "combine_rows_backward", "embedding_gradient", "gather_rows", "grouped_matmul", "grouped_sum",
           "grouped_weight_gradient", "layer_norm", "layer_norm_backward", "masked_softmax", "masked_softmax_backward",
           "router_backward", "router_softmax", "segments", "select_experts", "select_gates", "select_gates_backward",
           "sort_by_expert", "token_of_assignment"]
