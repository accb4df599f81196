# %% [markdown]
# # 1. From a function to its gradient
#
# **What you will understand at the end**
#
# - what the backward of one operation is, and why it needs a gradient from above;
# - how a whole computation is recorded as a graph, and how gradients walk home through it;
# - why the order of that walk matters;
# - how to check a gradient with finite differences, and the three ways in which that check can mislead you.
#
# **What you need.** NumPy arrays and broadcasting, the slope of a function of one variable, the chain rule.
#
# **Time.** About 60 minutes with the four exercises. The page itself runs in a few seconds and needs no GPU.
#
# Fill in the exercises where it says `YOUR CODE HERE`, run the cell, then run the check below it. A check that
# fails says in words what is wrong. Nothing later on the page depends on your answers.

# %% [setup]

# %%
import inspect

import matplotlib.pyplot as plt
import numpy as np

from minimoe import Tensor, ops
from minimoe.backend import to_host
from minimoe.plots import computation_graph

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"     # told apart with every kind of colour vision


def axes_for(width=7.0, height=3.2, columns=1):
    """A figure with one or more plain axes."""
    figure, axes = plt.subplots(1, columns, figsize=(width, height), layout="constrained", squeeze=False)
    for one in axes[0]:
        one.spines[["top", "right"]].set_visible(False)
    return axes[0] if columns > 1 else axes[0, 0]


def error_of(a, b):
    """The largest difference between two arrays; `to_host` fetches them from the GPU if they are there."""
    return float(np.abs(to_host(a) - to_host(b)).max())

# %% [markdown]
# ## 1.1 What a gradient answers
#
# Training a network means changing its weights so that one number, the **loss** $L$, becomes smaller. For each
# weight we ask: *if I nudge this weight a little, how much does the loss move?* The answer is a slope, and the
# array of all slopes is the **gradient**. We write it with a $\delta$: the gradient of $w$ is $\delta w =
# \partial L / \partial w$. It has the shape of $w$, one slope for each weight.
#
# Here is a tiny model: four inputs of width three, a weight matrix, a tanh, and the mean of the squares as loss.

# %%
random = np.random.default_rng(0)
x_data = random.standard_normal((4, 3))
w_data = random.standard_normal((3, 2))


def loss_of(x, w):
    """Mean square of tanh(x w): works on NumPy arrays."""
    return (np.tanh(x @ w) ** 2).mean()


print("x", x_data.shape, "  w", w_data.shape, "  x w", (x_data @ w_data).shape)
print(f"loss {loss_of(x_data, w_data):.6f}")

# %% [markdown]
# Let us nudge one weight by hand and divide the movement of the loss by the nudge.

# %%
nudged = w_data.copy()
nudged[0, 0] += 1e-6
slope = (loss_of(x_data, nudged) - loss_of(x_data, w_data)) / 1e-6
print(f"slope for w[0, 0], by nudging: {slope:.6f}")

# %% [markdown]
# A model with a million weights would need a million nudges, each with a run of the whole model. **Automatic
# differentiation** finds all slopes at once, for the price of a few runs, however many weights there are. We wrap
# the arrays in tensors, say which of them need a gradient, compute the loss, and call `backward`.

# %%
x = Tensor(x_data, backend=BACKEND)
w = Tensor(w_data, requires_grad=True, backend=BACKEND)
loss = (ops.tanh(x @ w) ** 2).mean()
loss.backward()
print("w.grad", w.grad.shape)
print(w.grad)

# %%
assert w.grad.shape == w.shape                              # one slope for each weight
assert abs(float(w.grad[0, 0]) - slope) < 1e-5              # and it is the slope that nudging finds

# %% [markdown]
# The rest of this lesson opens the call `loss.backward()`.
#
# ## 1.2 One operation and its way back
#
# The loss is a chain of small **operations**: a matrix product, a tanh, a power, a mean. Each operation knows two
# things. **Forward**: how to make its output $y$ from its input $x$. **Backward**: given the gradient $\delta y$
# of its output, what the gradient $\delta x$ of its input is.
#
# $\delta y$ is called the **upstream gradient**. It comes from everything that happened after this operation, and
# it says how much each element of $y$ matters to the loss. The operation knows nothing about the loss. It only
# multiplies the upstream gradient by its own slope, which is the chain rule:
#
# $$\delta x = \delta y \cdot \frac{\partial y}{\partial x}, \qquad \text{for } y = \tanh x: \quad
# \delta x = \delta y (1 - y^2).$$
#
# This is how the library writes tanh, read from the installed package. `gy` stands for $\delta y$, and `xp` is
# NumPy, or CuPy on a GPU. The function returns `y` together with its backward, and the backward answers with one
# gradient for each input. (The line `@op` wraps the function so that it takes tensors and is recorded.)

# %%
print(inspect.getsource(ops.tanh))

# %% [markdown]
# We send a random upstream gradient back through tanh and compare with the formula.

# %%
x = Tensor(random.standard_normal((2, 3)), requires_grad=True, backend=BACKEND)
y = ops.tanh(x)
gy = Tensor(random.standard_normal((2, 3)), backend=BACKEND)
y.backward(gy)

print("y", y.shape, "  gy", gy.shape, "  x.grad", x.grad.shape)
by_formula = gy.numpy() * (1 - y.numpy() ** 2)
print("largest difference to the formula:", error_of(x.grad, by_formula))
assert error_of(x.grad, by_formula) < 1e-12

# %% [markdown]
# An operation with two inputs sends back two gradients. In a matrix product $y = a b$ the element $a_{ij}$ enters
# each $y_{ik}$ with slope $b_{jk}$, so $\delta a_{ij} = \sum_k \delta y_{ik} b_{jk}$: as matrices $\delta a =
# \delta y b^\top$, and likewise $\delta b = a^\top \delta y$. Each gradient has the shape of its array; where all
# sizes differ, only one product fits.

# %%
a = Tensor(random.standard_normal((4, 3)), requires_grad=True, backend=BACKEND)
b = Tensor(random.standard_normal((3, 2)), requires_grad=True, backend=BACKEND)
gy = Tensor(random.standard_normal((4, 2)), backend=BACKEND)
(a @ b).backward(gy)

print("gy", gy.shape, "@ b.T", b.numpy().T.shape, "gives ga", a.grad.shape)
print("a.T", a.numpy().T.shape, "@ gy", gy.shape, "gives gb", b.grad.shape)
assert error_of(a.grad, gy.numpy() @ b.numpy().T) < 1e-12
assert error_of(b.grad, a.numpy().T @ gy.numpy()) < 1e-12

# %% [markdown]
# ### Exercise 1.1: the backward of the sigmoid
#
# The sigmoid $y = 1 / (1 + e^{-x})$ squeezes a number into the range from 0 to 1. Its slope can be written with
# $y$ alone: $\partial y / \partial x = y (1 - y)$. That is convenient, because the backward then need not keep
# $x$.
#
# Write its backward: given the upstream gradient `gy` and the output `y`, two arrays of the same shape, return
# the gradient of `x`.

# %% [exercise] sigmoid_backward
def sigmoid_backward(gy, y):
    """The gradient of x where y = sigmoid(x). gy, y: arrays of one shape; returns an array of that shape."""
    ### BEGIN SOLUTION
    return gy * y * (1 - y)
    ### END SOLUTION

# %% [check] sigmoid_backward points=1
fresh = np.random.default_rng()
for shape in [(5,), (3, 4)]:
    y_check = fresh.uniform(0.1, 0.9, shape)
    gy_check = fresh.uniform(1.5, 3.0, shape)
    answer = sigmoid_backward(gy_check, y_check)
    assert answer is not None, "sigmoid_backward gives nothing back: end it with return"
    assert np.shape(answer) == shape, f"the gradient has shape {np.shape(answer)}; it must have the shape of y, {shape}"
    assert not np.allclose(answer, y_check * (1 - y_check)), (
        "this is the slope alone: multiply it by the upstream gradient gy")
    assert not np.allclose(answer, gy_check * (1 - y_check**2)), (
        "this is the backward of tanh; the sigmoid's slope is y (1 - y)")
    assert not np.allclose(answer, gy_check * y_check), "the factor (1 - y) of the slope is missing"
    again = 1 / (1 + np.exp(-y_check))
    assert not np.allclose(answer, gy_check * again * (1 - again)), (
        "the sigmoid was taken once more: y is its output already, so put it into y (1 - y) as it is")
    assert np.allclose(answer, gy_check * y_check * (1 - y_check)), "the gradient is not gy times the slope y (1 - y)"
print("Right: upstream gradient times slope, element by element.")

# %% [markdown]
# ### Exercise 1.2: what is copied forward is summed backward
#
# A layer adds the same bias $b$ to every row: $y = x + b$ with $x$ of shape $(N, d)$ and $b$ of shape $(d)$.
# NumPy copies $b$ to all $N$ rows. A nudge to one element of $b$ moves $N$ elements of $y$, so its gradient
# collects a part from each of them.
#
# Return both gradients, each in the shape of its array.

# %% [exercise] add_bias_backward
def add_bias_backward(gy, x, b):
    """The gradients (gx, gb) where y = x + b. gy, x: arrays (N, d); b: (d,)."""
    ### BEGIN SOLUTION
    return gy, gy.sum(axis=0)
    ### END SOLUTION

# %% [check] add_bias_backward points=2
fresh = np.random.default_rng()
gy_check, x_check = fresh.uniform(0.5, 1.5, (2, 5, 3))
answer = add_bias_backward(gy_check, x_check, np.zeros(3))
assert isinstance(answer, tuple) and len(answer) == 2, "return two gradients: return gx, gb"
gx_check, gb_check = answer
assert np.shape(gx_check) == (5, 3), f"gx has shape {np.shape(gx_check)}; it must have the shape of x, (5, 3)"
assert np.allclose(gx_check, gy_check), "gx is wrong: x moves y one to one, so its gradient is gy itself"
assert np.shape(gb_check) != (5, 3), (
    "gb still has one row for each row of x: sum the rows, because b was copied to all of them")
assert np.shape(gb_check) == (3,), (
    f"gb has shape {np.shape(gb_check)}; it must have the shape of b, (3,): sum over the rows only, axis=0, and keep "
    "no axis of length 1")
assert not np.allclose(gb_check, gy_check.mean(axis=0)), (
    "gb is the mean of the rows; every row moves with b, so their gradients add up: use the sum")
assert np.allclose(gb_check, gy_check.sum(axis=0)), "gb is not the sum of gy over the rows"
print("Right: broadcasting copies on the way forward, so the way back adds up.")

# %% [markdown]
# ## 1.3 The graph
#
# While a computation runs, each operation on a tensor that needs a gradient leaves a **node**: its name, its
# backward, and which nodes its inputs came from. Together they are the **graph** of the computation. Here is that
# of our tiny model. White boxes are the **leaves**, the tensors that we made ourselves and that get a gradient.
# Blue boxes are operations, with the shape of what they give. The computation follows the arrows; gradients walk
# against them.

# %%
w = Tensor(w_data, requires_grad=True, backend=BACKEND)
bias = Tensor(np.zeros(2), requires_grad=True, backend=BACKEND)
loss = (ops.tanh(Tensor(x_data, backend=BACKEND) @ w + bias) ** 2).mean()
computation_graph(loss, names={"w": w, "bias": bias})

# %% [markdown]
# `x` is not in the picture: nobody asked for its gradient.
#
# `backward` starts at the right with the upstream gradient 1 (a loss moves one to one with itself) and hands a
# gradient from node to node. We can watch it: `retain_grad` makes a tensor in the middle keep the gradient that
# passes through it.

# %%
product = Tensor(x_data, backend=BACKEND) @ w
summed = (product + bias).retain_grad()
squeezed = ops.tanh(summed).retain_grad()
loss = (squeezed**2).mean()
loss.backward()
print("gradient of the tanh's output ", squeezed.grad.shape)
print("gradient of the tanh's input  ", summed.grad.shape)
print("gradient of the bias          ", bias.grad.shape)
print("gradient of w                 ", w.grad.shape)

mean_of_squares = 2 * squeezed.numpy() / squeezed.size                       # (4, 2): the slope of mean(y ** 2)
assert error_of(squeezed.grad, mean_of_squares) < 1e-12
assert error_of(summed.grad, mean_of_squares * (1 - squeezed.numpy() ** 2)) < 1e-12
assert error_of(bias.grad, to_host(summed.grad).sum(axis=0)) < 1e-12         # copied forward, summed backward

# %% [markdown]
# ## 1.4 The diamond: why the order matters
#
# In a chain there is only one way to walk. It becomes interesting when a value is used twice. Below, `h` goes
# into two operations, and their results meet again: the graph has the shape of a diamond. A transformer is full
# of them, because each of its layers adds what it computes to its input.
#
# A value that is used twice was copied, so its gradient is the *sum* of what comes back from both uses.

# %%
def diamonds(x, count):
    """`count` diamonds in a row: h, then tanh(h) + h / 2, which is the next h."""
    h = x * x
    for _ in range(count):
        h = ops.tanh(h) + h * 0.5
    return h


x = Tensor(np.array([0.7]), requires_grad=True, backend=BACKEND)
computation_graph(diamonds(x, 1).sum(), names={"x": x})

# %% [markdown]
# (The two arrows on the left: `x * x` uses `x` twice, too.) Suppose we hand gradients on as soon as they arrive:
# at each node run its backward and go on at once to its inputs. At the first `mul` box this walk arrives twice,
# once along each side of the diamond. What shall it do the second time?
#
# One tempting answer: add to the sum kept at the node, then pass the sum on. This walk does so on the real nodes
# of the graph (`node.backward` and `node.edges` are what `@op` recorded), and counts its steps.

# %%
def walk_at_once(root, pass_on_the_sum):
    """A wrong walk, or a slow one. Returns the leaf's gradient, the steps taken and the number of different nodes."""
    sums, steps = {}, 0
    waiting = [(root._node, np.ones(root.shape))]
    while waiting:
        target, g = waiting.pop()
        sums[target] = sums.get(target, 0) + g
        if isinstance(target, Tensor):                      # a leaf: the walk ends here
            leaf = target
            continue
        steps += 1
        gradients = target.backward(sums[target] if pass_on_the_sum else g)
        for slot, _, source, *_ in target.edges:
            waiting.append((source, gradients[slot]))
    return float(sums[leaf].sum()), steps, len(sums) - 1


def walk_of_the_library(count):
    x = Tensor(np.array([0.7]), requires_grad=True)
    diamonds(x, count).sum().backward()
    return float(x.grad.sum())


x = Tensor(np.array([0.7]), requires_grad=True)
wrong, _, _ = walk_at_once(diamonds(x, 1).sum(), pass_on_the_sum=True)
truth = walk_of_the_library(1)
above, below = (float(diamonds(Tensor(np.array([0.7 + step])), 1).sum()) for step in (1e-6, -1e-6))
nudging = (above - below) / 2e-6
print(f"passing the sum on   {wrong:.6f}")
print(f"the library          {truth:.6f}")
print(f"nudging              {nudging:.6f}")
assert abs(truth - nudging) < 1e-6 and abs(wrong - truth) > 0.1

# %% [markdown]
# That walk is wrong: what came along the first side was sent down twice, once alone and once inside the sum.
#
# The other answer is to pass on only what has just arrived. That gives the right result, because gradients add
# up. But then everything below a diamond is walked twice, below two diamonds four times, below three eight times.

# %%
counts = np.arange(1, 13)
slow, patient = [], []
for count in counts:
    x = Tensor(np.array([0.7]), requires_grad=True)
    gradient, steps, nodes = walk_at_once(diamonds(x, count).sum(), pass_on_the_sum=False)
    assert abs(gradient - walk_of_the_library(count)) < 1e-9                  # right, but ...
    slow.append(steps)
    patient.append(nodes)

axes = axes_for()
axes.semilogy(counts, slow, "o-", color=RED)
axes.semilogy(counts, patient, "s-", color=BLUE)
axes.text(counts[-1] + 0.2, slow[-1], "hand on at once", color=RED, va="center")
axes.text(counts[-1] + 0.2, patient[-1], "every node once", color=BLUE, va="center")
axes.set(xlabel="diamonds in a row", ylabel="backward steps", xlim=(0.5, 15.5), xticks=counts)
plt.show()
print(f"{counts[-1]} diamonds: {slow[-1]} steps against {patient[-1]} nodes")
assert slow[-1] > 2 ** counts[-1]                                             # it doubles with every diamond

# %% [markdown]
# The cure is patience: **run a node's backward only after all of its users have sent their part.** Then each node
# runs once, with the full sum.
#
# How do we know that all users are done? Number the nodes in the order in which they are made. An operation can
# only use what already exists, so a node's users always have larger numbers than the node itself. Walk from the
# largest number to the smallest, and no part can arrive late. This is the library's walk. `queue` holds the nodes
# that have received something, and hands out the youngest first; `pending` holds their sums. (`_fit` sums over
# what broadcasting has copied; the line with `shared` only saves memory.)

# %%
source = inspect.getsource(minimoe.autograd.backward)
print(source[source.index("    pending:"):])

# %% [markdown]
# To see the order, we make an operation that changes nothing but writes its name down on the way back;
# `minimoe.op` turns any function of this form into an operation.

# %%
visited = []


@minimoe.op
def note(xp, x, name):
    """y = x; the backward notes the name."""
    def backward(gy):
        visited.append(name)
        return (gy,)

    return x, backward


x = Tensor(np.array([0.7]), requires_grad=True, backend=BACKEND)
h = note(x * x, "h, made first")
left = note(ops.tanh(h), "left side, made second")
right = note(h * 0.5, "right side, made third")
note(left + right, "result, made last").sum().backward()
print("\n".join(visited))
assert visited[0] == "result, made last" and visited[-1] == "h, made first" and len(visited) == 4

# %% [markdown]
# ### Exercise 1.3: the walk
#
# A **tape** is the simplest record of a computation: a list of steps in the order in which they ran. A step is a
# tuple `(output, inputs, backward)`: the name of what it made, a tuple with the names of what it used, and a
# function that turns the gradient of the output into a tuple with one gradient for each input. All values are
# plain numbers. For example
#
# ```python
# tape = [("h", ("x",), lambda g: (2 * g,)),                 # h = 2 x
#         ("y", ("h", "x"), lambda g: (3 * g, 5 * g))]       # y = 3 h + 5 x
# ```
#
# Write the walk. `gradients` starts as `{"y": 1.0}`, with the gradient of the last output. Fill in the gradient
# of every other name, and return the dictionary.

# %% [exercise] walk_tape
def walk_tape(tape, gradients):
    """Adds the gradient of every input on the tape to the dictionary `gradients`, and returns it."""
    ### BEGIN SOLUTION
    for output, inputs, backward in reversed(tape):
        for name, g in zip(inputs, backward(gradients[output]), strict=True):
            gradients[name] = gradients.get(name, 0.0) + g
    ### END SOLUTION
    return gradients

# %% [check] walk_tape points=3
fresh = np.random.default_rng()


def walked(tape):
    """The answer's gradients; a name that the walk asked for too early is told in words."""
    try:
        return walk_tape(tape, {tape[-1][0]: 1.0})
    except KeyError as missing:
        raise AssertionError(f"the walk needs the gradient of {missing} before anybody has sent it: start at the last "
                             "step and walk to the first") from None


p, q, r, s = fresh.uniform(2, 3, 4)
try:
    walk_tape([("y", ("x",), lambda g: (p * g,))], {"y": 1.0})
except KeyError as missing:
    raise AssertionError(f"{missing} has no gradient yet when its first part arrives: start from 0, "
                         "gradients.get(name, 0)") from None
chain = [("h", ("x",), lambda g: (p * g,)), ("y", ("h",), lambda g: (q * g,))]
found = walked(chain)
assert isinstance(found, dict) and "x" in found, "the gradient of x is missing: every input of every step needs one"
assert np.isclose(found["x"], p * q), "a plain chain is wrong: x must get the product of the two slopes"
diamond = [("h", ("x",), lambda g: (p * g,)), ("a", ("h",), lambda g: (q * g,)), ("b", ("h",), lambda g: (r * g,)),
           ("y", ("a", "b"), lambda g: (g, s * g))]
found = walked(diamond)
for part, place in ((q, "last"), (r * s, "first")):
    assert not np.isclose(found.get("h", 0), part), (
        f"h is used twice and kept only the gradient that came {place}: add the new one to what is already there")
assert np.isclose(found.get("h", 0), q + r * s), "the gradient of h is not the sum of what comes back from its two uses"
assert np.isclose(found["x"], p * (q + r * s)), (
    "x does not get the full sum of h: run a step only when all its users are done")
print("Right: from the last step to the first, and gradients of one value add up.")

# %% [markdown]
# ## 1.5 Finite differences
#
# A backward is easy to get wrong: a forgotten factor, a transposed matrix. The model still trains, only worse. So
# each backward deserves a check that knows nothing about it. We have already used one: nudging. With a step $h$
# there are two ways,
#
# $$\text{forward: } \frac{f(x + h) - f(x)}{h}, \qquad \text{central: } \frac{f(x + h) - f(x - h)}{2h}.$$
#
# How large should $h$ be? Calculus says: as small as possible. Let us try it on $f(x) = e^x$ at $x = 1$, where
# the true slope is known, and plot the error for all steps.

# %%
steps = np.logspace(-15, -1, 113)


def slope_errors(kind, dtype):
    """The relative error of the slope of exp at 1 for every step, computed in `dtype`."""
    one = dtype(1.0)
    found = []
    for h in steps.astype(dtype):
        above, here, below = np.exp(one + h), np.exp(one), np.exp(one - h)
        found.append((above - here) / h if kind == "forward" else (above - below) / (2 * h))
    return np.abs(np.array(found, dtype=np.float64) / np.exp(1.0) - 1)


curves = {"forward, float64": (slope_errors("forward", np.float64), BLUE, "-"),
          "central, float64": (slope_errors("central", np.float64), RED, "-"),
          "central, float32": (slope_errors("central", np.float32), GREEN, "--")}
axes = axes_for(height=3.8)
for name, (errors, colour, line) in curves.items():
    axes.loglog(steps, np.maximum(errors, 1e-14), line, color=colour, label=name, linewidth=1.6)
axes.axvline(1e-5, color=GREY, linewidth=1)
axes.text(1.3e-5, 3e-14, "gradcheck's step", color=GREY, va="bottom")
axes.set(xlabel="step h", ylabel="relative error of the slope", ylim=(1e-14, 10), xlim=(1e-15, 0.1))
axes.legend(frameon=False, loc="lower left")
plt.show()

# %% [markdown]
# Each curve is a valley. **On the right** the step is too large: the function bends within it. The forward error
# falls with $h$, the central one with $h^2$, because the bends on both sides cancel. **On the left** the step is
# too small: $f(x+h)$ and $f(x-h)$ agree in nearly all digits, and their difference is made of rounding. In
# float64 a number carries about 16 digits, in float32 about 7. (Where the dashed curve is flat, even $1 + h$
# rounds to 1: the slope comes out as 0.)
#
# The best step lies where the two meet. For central differences that is near the cube root of the rounding error.

# %%
rough = {}
for name, (errors, _, _) in curves.items():
    smooth = [np.median(errors[i:i + 9]) for i in range(len(errors) - 8)]     # the middle of 9 neighbours: less noise
    best = int(np.argmin(smooth)) + 4
    rough[name] = (steps[best], min(smooth))
    print(f"{name}: best step about {steps[best]:.0e}, relative error there {min(smooth):.0e}")
print(f"cube root of the rounding error: float64 {np.finfo(np.float64).eps ** (1 / 3):.0e}, "
      f"float32 {np.finfo(np.float32).eps ** (1 / 3):.0e}")
assert rough["central, float64"][1] < rough["forward, float64"][1] < rough["central, float32"][1]
assert 1e-6 < rough["central, float64"][0] < 1e-4

# %% [markdown]
# So we check gradients in float64, with central differences and a step of $10^{-5}$, and no other way. In float32
# the error is large even at the best step, and a small mistake would hide behind it.
#
# ### Exercise 1.4: central differences for an array
#
# Write `numeric_gradient(f, x, step)`: `f` takes an array and returns a number; nudge each element of `x` in
# turn, up and down, and return the array of slopes. `np.ndindex(x.shape)` walks over all indices. Leave `x` as
# you found it.

# %% [exercise] numeric_gradient
def numeric_gradient(f, x, step=1e-5):
    """Central differences of f at x. x: float array of any shape; returns an array of that shape."""
    gradient = np.zeros(x.shape)
    ### BEGIN SOLUTION
    for index in np.ndindex(x.shape):
        kept = x[index]
        x[index] = kept + step
        above = f(x)
        x[index] = kept - step
        below = f(x)
        x[index] = kept
        gradient[index] = (above - below) / (2 * step)
    ### END SOLUTION
    return gradient

# %% [check] numeric_gradient points=2
fresh = np.random.default_rng()
x_check = fresh.uniform(1, 2, (2, 3))
weights = fresh.uniform(1, 2, (2, 3))
before = x_check.copy()
answer = numeric_gradient(lambda a: (weights * a**2).sum(), x_check, step=1e-3)
truth_check = 2 * weights * before
assert np.allclose(x_check, before, rtol=0, atol=1e-9), (
    "x is not as it was before: put every element back after its two nudges")
assert np.shape(answer) == (2, 3), f"the answer has shape {np.shape(answer)}; it must have the shape of x, (2, 3)"
assert np.any(answer), (
    "all slopes are 0: write each slope into gradient[index], and nudge up and down in two different copies of x")
assert not np.allclose(answer, 2 * truth_check, rtol=1e-6), (
    "every slope is twice too large: the two nudges are 2 * step apart, so divide by that")
assert not np.allclose(answer, truth_check + weights * 1e-3, rtol=1e-6), (
    "this is the forward difference: nudge down as well, and use both values")
assert np.allclose(answer, truth_check, rtol=1e-6), "the slopes are not those of f: nudge one element at a time"
print("Right: two evaluations for every element, and x as it was.")

# %% [markdown]
# ## 1.6 How finite differences lie
#
# A check that passes is only worth something if a wrong backward would have failed it. There are three traps. The
# first we have just seen: **a bad step**.
#
# ### Kinks
#
# The function $\mathrm{relu}(x) = \max(x, 0)$ has a kink at 0. Left of it the slope is 0, right of it 1. If the
# two nudges stand on different sides, the quotient is something in between that is the slope nowhere.

# %%
step = 0.1                                                                     # large, so that one can see it
points = np.linspace(-0.3, 0.3, 241)
numeric = (np.maximum(points + step, 0) - np.maximum(points - step, 0)) / (2 * step)
leaf = Tensor(points, requires_grad=True, backend=BACKEND)
ops.relu(leaf).sum().backward()
analytic = to_host(leaf.grad)

axes = axes_for()
axes.plot(points, np.where(points < 0, 0.0, np.nan), color=BLUE, linewidth=2, label="backward")
axes.plot(points, np.where(points > 0, analytic, np.nan), color=BLUE, linewidth=2)
axes.plot(points, numeric, "--", color=RED, linewidth=2, label="central difference")
axes.axvspan(-step, step, color=GREY, alpha=0.15, linewidth=0)
axes.text(0, 1.08, "nudges on both sides", ha="center", color="black")
axes.set(xlabel="x", ylabel="slope of relu", ylim=(-0.08, 1.2))
axes.legend(frameon=False, loc="center left")
plt.show()
apart = np.abs(numeric - analytic) > 1e-9
print(f"at x = 0 the central difference says {numeric[120]:.2f}, the backward {analytic[120]:.2f}")
assert apart[np.abs(points) < 0.9 * step].all() and not apart[np.abs(points) > 1.1 * step].any()

# %% [markdown]
# Neither number is wrong: at a kink there is no slope, and the library chooses 0 there, as PyTorch does. So
# **choose inputs away from kinks**, by more than the step. The same holds for the maximum of an array: where two
# elements tie, a nudge changes which of them is the largest.
#
# ### An upstream gradient of ones
#
# To check an operation whose output is an array we need one number. The obvious choice is the sum of the outputs;
# then the upstream gradient is all ones. For some operations that is a trap. Here are the rows of a softmax,
# which turns numbers into probabilities $p$ ($\circ$ multiplies element by element):
#
# $$p_j = \frac{e^{x_j}}{\sum_k e^{x_k}}, \qquad \delta x = p \circ (\delta p - \textstyle\sum_k p_k \delta p_k).$$
#
# Below is a softmax with a mistake in its backward: it subtracts the plain mean of the upstream gradient instead
# of the mean weighted by $p$.

# %%
@minimoe.op
def broken_softmax(xp, x):
    """Softmax over the last axis, with a mistake in the backward."""
    y = xp.exp(x - x.max(axis=-1, keepdims=True))
    y = y / y.sum(axis=-1, keepdims=True)                                      # (R, C), rows sum to 1

    def backward(gy):
        return (y * (gy - gy.mean(axis=-1, keepdims=True)),)                   # should be (gy * y).sum(...)

    return y, backward


rows = random.standard_normal((6, 5))


def both_gradients(operation, upstream):
    """What the backward says and what central differences say, for f = sum(upstream * operation(x))."""
    leaf = Tensor(rows, requires_grad=True)
    (operation(leaf) * Tensor(upstream)).sum().backward()
    numeric = np.zeros(rows.shape)
    for index in np.ndindex(rows.shape):
        nudge = np.zeros(rows.shape)
        nudge[index] = 1e-5
        above, below = (float((operation(Tensor(rows + sign * nudge)).numpy() * upstream).sum()) for sign in (1, -1))
        numeric[index] = (above - below) / 2e-5
    return leaf.grad, numeric


results = {kind: both_gradients(broken_softmax, upstream)
           for kind, upstream in (("ones", np.ones(rows.shape)), ("random", random.standard_normal(rows.shape)))}

# %% [markdown]
# In the pictures every point is one element of the gradient. On the grey line both sides agree.

# %%
for axes, (kind, (analytic, numeric)) in zip(axes_for(7.2, 3.6, columns=2), results.items(), strict=True):
    axes.plot([-0.6, 0.6], [-0.6, 0.6], color=GREY, linewidth=1, zorder=1)
    axes.plot(numeric, analytic, "o", color=BLUE if kind == "ones" else RED, alpha=0.7, zorder=2)
    axes.set(xlabel="central difference", ylabel="backward", xlim=(-0.6, 0.6), ylim=(-0.6, 0.6), aspect="equal")
    axes.set_title(f"upstream gradient: {kind}", size=10)
plt.show()
for kind, (analytic, numeric) in results.items():
    print(f"{kind:6} largest disagreement {error_of(analytic, numeric):.1e}")
assert error_of(*results["ones"]) < 1e-9 and error_of(*results["random"]) > 1e-2

# %% [markdown]
# With ones, all points sit at zero and the broken backward looks perfect. The reason: the elements of a row
# always sum to 1, so the sum of all outputs cannot move, and its gradient is 0. Many mistakes give 0 as well.
# With a **random upstream gradient** the mistake is plain.
#
# The library's check draws one, and uses float64 and central differences for each element.

# %%
print(inspect.signature(minimoe.gradcheck))
worst = minimoe.gradcheck(ops.softmax, [rows])
print(f"softmax: largest relative error {worst:.1e}")
try:
    minimoe.gradcheck(broken_softmax, [rows])
    caught = ""
except minimoe.GradientError as error:
    caught = str(error)
print("broken_softmax:", caught)
assert worst < 1e-6 and "analytic" in caught

# %% [markdown]
# ## 1.7 All of it together
#
# The library has no sine. With what you know, a new operation takes four lines, and one more to check it.

# %%
@minimoe.op
def sine(xp, x):
    """y = sin(x). x: float, any shape."""
    return xp.sin(x), lambda gy: (gy * xp.cos(x),)


print(f"sine alone: {minimoe.gradcheck(sine, [rows]):.1e}")


def small_model(x, w, b):
    return ops.softmax(sine(x @ w + b)) @ ops.transpose(w)


shapes = [(4, 3), (3, 5), (5,)]
worst = minimoe.gradcheck(small_model, [random.standard_normal(shape) for shape in shapes])
print(f"inside a model with inputs {shapes}: {worst:.1e}")
print(f"operations in the library, each checked in this way by its tests: {len(ops.OPS)}")
assert "sine" not in ops.OPS and worst < 1e-6

# %% [markdown]
# ## What to take away
#
# - An operation goes forward, and knows how to turn the gradient of its output into the gradient of its inputs.
#   The gradient has the shape of what it belongs to.
# - What is copied forward, by broadcasting or by being used twice, is summed backward.
# - Walk from the youngest node to the oldest: then each node runs once, with the full sum.
# - Check each backward with central differences, in float64, with a step near $10^{-5}$, away from kinks, and
#   with a random upstream gradient.
#
# **Read on.** `minimoe/autograd.py` is the whole engine, and `minimoe/ops/softmax.py` a whole operation. A. G.
# Baydin, B. A. Pearlmutter, A. A. Radul and J. M. Siskind, *Automatic differentiation in machine learning: a
# survey* ([arXiv 1502.05767](https://arxiv.org/abs/1502.05767)), section 3.2, is about the walk we took here,
# which they call reverse mode.
#
# **Next.** Lesson 2, `02_attention.ipynb`: how words look at each other, and what that says about how important
# they are.
