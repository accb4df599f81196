"""The kernels on a GPU: every function launches a kernel of a `.cu` file, or several. Names, signatures, layouts and
results are those of `minimoe.kernels.reference`, where they are described.

Arrays may be views; index arrays may be of any integer type, and are converted to int32.
"""
from minimoe.kernels.cuda.allocation import budget_counts
from minimoe.kernels.cuda.attention import column_importance, masked_softmax, masked_softmax_backward
from minimoe.kernels.cuda.dense import adamw_update, add_bias, bias_activation, layer_norm, layer_norm_backward
from minimoe.kernels.cuda.grouped import grouped_matmul, grouped_sum, grouped_weight_gradient, segments
from minimoe.kernels.cuda.routing import (
    router_backward,
    router_softmax,
    select_experts,
    select_gates,
    select_gates_backward,
)
from minimoe.kernels.cuda.rows import combine_rows, combine_rows_backward, embedding_gradient, gather_rows
from minimoe.kernels.cuda.sorting import sort_by_expert, token_of_assignment

__all__ = ["adamw_update", "add_bias", "bias_activation", "budget_counts", "column_importance", "combine_rows",
           "combine_rows_backward", "embedding_gradient", "gather_rows", "grouped_matmul", "grouped_sum",
           "grouped_weight_gradient", "layer_norm", "layer_norm_backward", "masked_softmax", "masked_softmax_backward",
           "router_backward", "router_softmax", "segments", "select_experts", "select_gates", "select_gates_backward",
           "sort_by_expert", "token_of_assignment"]
