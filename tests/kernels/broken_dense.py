"""Broken copies of norm.cu, activation.cu and adamw.cu, for test_broken_kernels.py: file, the kernel or function from
whose name on the text is changed, old text, new text, the wrapper that is called, and its arguments."""
import numpy as np


def r(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def norm():
    return r(9, 35), r(35, seed=1), r(35, seed=2), 0.1


def plain_norm():
    return r(9, 35), None, None, 0.1


def far_from_zero():
    return np.float32(1e6) + r(3, 35).astype("float32"), None, None, 1e-5


def norm_backward(rows=70):                         # 70 rows: two chunks
    return r(rows, 35), r(rows, 35, seed=1), 1 + r(rows, 1, seed=2) ** 2, r(35, seed=3)


def plain_norm_backward():
    return (*norm_backward(9)[:3], None)


COUNTS = np.array([0, 0, 3, 3, 12], np.int32)       # experts 0 and 2 have no row


def bias(width=33):
    return r(12, width), r(4, width, seed=1), COUNTS


def activation(phi="gelu", gated=False):
    return (*bias(34), phi, gated)


def tanh_activation():
    return activation("gelu_tanh")


def gated():
    return activation("gelu", True)


def gated_relu():
    return np.array([[0.0, 2.0], [-1.0, 3.0], [1.0, 4.0]]), None, None, "relu", True


def plain_gated():
    return r(12, 34), None, None, "gelu", True


def one_bias():
    return r(12, 34), r(34, seed=1), None, "gelu"


def no_bias():
    return r(12, 34), None, None, "gelu"


def step(weight_decay=0.2, l2=0.0):
    return r(33), r(33, seed=1), r(33, seed=2), r(33, seed=3) ** 2, 3, 0.03, 0.7, 0.95, 1e-3, weight_decay, l2


def step_with_l2():
    return step(0.0, 0.2)


def step_of_endless_numbers():                      # 0 times infinity must not be added to the gradient
    theta, *rest = step(0.0, 0.0)
    theta[3] = np.inf
    return theta, *rest


NORM = [
    ("warp_sum", "step > 0", "step > 1", "layer_norm", norm),
    ("layer_norm", "row >= rows", "row > rows", "layer_norm", norm),
    ("layer_norm", "j < d; j += 32) sum += x[j];", "j <= d; j += 32) sum += x[j];", "layer_norm", norm),
    ("layer_norm", "REAL rest = warp_sum(sum) / d", "REAL rest = 0", "layer_norm", far_from_zero),
    ("layer_norm", "/ d + eps", "/ (d - 1) + eps", "layer_norm", norm),
    ("layer_norm", "centred * centred", "x[j] * x[j]", "layer_norm", norm),
    ("layer_norm", "has_weight ? weight[j] : (REAL)1", "weight[j]", "layer_norm", plain_norm),
    ("layer_norm", "has_bias ? bias[j] : (REAL)0", "bias[j]", "layer_norm", plain_norm),
    ("layer_norm", "if (lane == 0) inverse", "inverse", "layer_norm", norm),
    ("layer_norm_input_gradient", "row >= rows", "row > rows", "layer_norm_backward", norm_backward),
    ("layer_norm_input_gradient", "j < d", "j <= d", "layer_norm_backward", norm_backward),
    ("layer_norm_input_gradient", "g * xhat[j]", "g", "layer_norm_backward", norm_backward),
    ("layer_norm_input_gradient", "has_weight ? weight[j] : (REAL)1", "weight[j]", "layer_norm_backward",
     plain_norm_backward),
    ("layer_norm_input_gradient", "- mean ", "", "layer_norm_backward", norm_backward),
    ("layer_norm_weight_partials", "if (column < d)", "", "layer_norm_backward", norm_backward),
    ("layer_norm_weight_partials", "min(rows, (chunk + 1) * chunk_rows)", "(chunk + 1) * chunk_rows",
     "layer_norm_backward", norm_backward),
    ("layer_norm_weight_partials", "+ threadIdx.y; row", "; row", "layer_norm_backward", norm_backward),
    ("layer_norm_weight_partials", "__syncthreads();", "", "layer_norm_backward", norm_backward),
    ("layer_norm_weight_partials", "threadIdx.y == 0 &&", "", "layer_norm_backward", norm_backward),
    ("layer_norm_weight_partials", "k < 8", "k < 7", "layer_norm_backward", norm_backward),
    ("layer_norm_weight_sums", "column >= d", "column > d", "layer_norm_backward", norm_backward),
    ("layer_norm_weight_sums", "chunk < chunks", "chunk < 1", "layer_norm_backward", norm_backward),
]

ACTIVATION = [
    ("activate", "z > 0", "z >= 0", "bias_activation", gated_relu),
    ("activate", "z <= 0 ? (REAL)0 : z", "z", "bias_activation", gated_relu),
    ("activate", "(REAL)-0.70710678118654752", "(REAL)-0.7071", "bias_activation", activation),
    ("activate", "cdf + z *", "cdf + ", "bias_activation", activation),
    ("activate", "(REAL)0.044715", "(REAL)0.044", "bias_activation", tanh_activation),
    ("activate", "1 + 3 * cubic", "1 + cubic", "bias_activation", tanh_activation),
    ("place", "min(rows, *first + block_rows)", "*first + block_rows", "add_bias", bias),
    ("add_bias", "column >= columns", "column > columns", "add_bias", bias),
    ("add_bias", "while (e + 1 < groups && row >= offsets[e + 1]) e++;", "", "add_bias", bias),
    ("add_bias", "while (e + 1 < groups", "if (e + 1 < groups", "add_bias", bias),
    ("bias_activation", "column >= columns", "column > columns", "bias_activation", activation),
    ("bias_activation", "while (e + 1 < groups", "if (e + 1 < groups", "bias_activation", activation),
    ("bias_activation", "e + 1 < groups && ", "", "bias_activation", one_bias),
    ("bias_activation", "groups ? bias[(size_t)e * columns + column] : (REAL)0", "bias[(size_t)e * columns + column]",
     "bias_activation", no_bias),
    ("bias_activation", "slope[at] = derivative", "if (derivative > 0) slope[at] = derivative", "bias_activation",
     activation),
    ("bias_gated_activation", "column >= columns", "column > columns", "bias_activation", gated),
    ("bias_gated_activation", "while (e + 1 < groups && row >= offsets[e + 1]) e++;", "", "bias_activation", gated),
    ("bias_gated_activation", "groups ? b[columns] : (REAL)0", "b[columns]", "bias_activation", plain_gated),
    ("bias_gated_activation", "groups ? b[0]", "groups ? b[columns]", "bias_activation", gated),
    ("bias_gated_activation", "slope[value] = open", "slope[value] = v", "bias_activation", gated),
]

ADAMW = [
    ("adamw_update", "i < n", "i <= n", "adamw_update", step),
    ("adamw_update", "i += stride", "i += 1", "adamw_update", step),
    ("adamw_update", "one_minus_beta2 * gradient * gradient", "one_minus_beta2 * gradient", "adamw_update", step),
    ("adamw_update", "m[i] = first", "m[i] = gradient", "adamw_update", step),
    ("adamw_update", "keep * old", "old", "adamw_update", step),
    ("adamw_update", "gradient += l2 * old", "gradient += l2", "adamw_update", step_with_l2),
    ("adamw_update", "if (l2 != 0)", "", "adamw_update", step_of_endless_numbers),
    ("adamw_update", "(sqrt(second) + eps)", "sqrt(second + eps)", "adamw_update", step),
]

BROKEN = [(file, *row) for file, rows in (("norm.cu", NORM), ("activation.cu", ACTIVATION), ("adamw.cu", ADAMW))
          for row in rows]
