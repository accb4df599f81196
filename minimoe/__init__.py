"""minimoe: DA-MoE from scratch on NumPy. Every public name is importable from here; see the README's map."""
from minimoe import data, models, moe, nn, ops, optim, plots, training
from minimoe.autograd import no_grad, op
from minimoe.backend import available_backends
from minimoe.gradcheck import GradientError, gradcheck
from minimoe.tensor import Tensor

__version__ = "0.1.0"
__all__ = ["GradientError", "Tensor", "available_backends", "data", "gradcheck", "models", "moe", "nn", "no_grad",
           "op", "ops", "optim", "plots", "training"]
