"""Every differentiable operation, as functions on tensors. `OPS` maps name to operation."""
from minimoe.autograd import OPS
