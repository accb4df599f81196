"""Every differentiable operation, as functions on tensors. `OPS` maps name to operation."""
from minimoe.autograd import OPS
from minimoe.ops.activations import gelu, relu, sigmoid, tanh
from minimoe.ops.attention import attention
from minimoe.ops.dispatch import combine, dispatch
from minimoe.ops.dropout import dropout
from minimoe.ops.elementwise import (
    abs,
    add,
    clip,
    div,
    exp,
    log,
    maximum,
    minimum,
    mul,
    neg,
    pow,
    sqrt,
    sub,
    where,
)
from minimoe.ops.embedding import embedding
from minimoe.ops.grouped import expert_ffn, grouped_linear
from minimoe.ops.losses import cross_entropy, mse_loss
from minimoe.ops.matmul import linear, matmul
from minimoe.ops.norm import layer_norm, rms_norm
from minimoe.ops.reduce import logsumexp, max, mean, min, sum
from minimoe.ops.routing import router_terms, select_gates
from minimoe.ops.shape import broadcast_to, concatenate, getitem, reshape, split, stack, transpose
from minimoe.ops.softmax import log_softmax, softmax

__all__ = [
    "OPS", "abs", "add", "attention", "broadcast_to", "clip", "combine", "concatenate", "cross_entropy", "dispatch",
    "div", "dropout", "embedding", "exp", "expert_ffn", "gelu", "getitem", "grouped_linear", "layer_norm", "linear",
    "log", "log_softmax", "logsumexp", "matmul", "max", "maximum", "mean", "min", "minimum", "mse_loss", "mul", "neg",
    "pow", "relu", "reshape", "rms_norm", "router_terms", "select_gates", "sigmoid", "softmax", "split", "sqrt",
    "stack", "sub", "sum", "tanh", "transpose", "where",
]
