"""minimoe: DA-MoE from scratch on NumPy and CuPy. Every public name is importable from here; see the README's map."""
from minimoe.tensor import Tensor
from minimoe.autograd import no_grad, op
from minimoe.backend import available_backends
from minimoe.gradcheck import GradientError, gradcheck
from minimoe import ops
