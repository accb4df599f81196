# %% [markdown]
# # 6. A CUDA kernel, run without a GPU
#
# **What you will understand at the end**
#
# - what a kernel is, and how thousands of threads each find their own small piece of work;
# - how the last step of an expert layer, the weighted sum of what the experts say, becomes a kernel;
# - what shared memory and a barrier are for, and why a kernel without its barrier can still give the right
#   number;
# - why this library adds no floating-point numbers with atomics;
# - what limits such a kernel on a GPU: not arithmetic but bytes, and in which order they are asked for.
#
# **What you need.** NumPy, and from lesson 3 the words *token*, *expert*, *gate* and *router*. Enough of C to
# read `for (int i = 0; i < n; i++)`.
#
# **Time.** About 75 minutes with the four exercises. The page itself runs in less than a minute the first time,
# most of which is the compiler's, and in a few seconds after that, since compiled kernels are kept. No GPU is
# needed.
#
# CUDA C is the language in which NVIDIA's GPUs are programmed. Here a **simulator** runs it on the processor: it
# comes with the library, runs each CUDA thread as a small program of its own, and watches every access to memory.
# With a GPU and CuPy the same kernels run there instead.

# %% [setup]

# %%
import re
import textwrap
import time
from importlib import resources

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import ListedColormap
from matplotlib.patches import Rectangle

from minimoe import Tensor, cudasim, kernels
from minimoe.backend import get_backend
from minimoe.kernels.launch import source
from minimoe.moe import route
from minimoe.plots import routing_plan

BLUE, RED, GREEN, GREY = "#0072B2", "#D55E00", "#009E73", "#6b7280"     # told apart with every kind of colour vision

xp = get_backend("cupy") if BACKEND == "cupy" else cudasim              # where kernels run
no_simulator = minimoe.available_backends()["cudasim"]                  # "" or what is missing
no_kernels = no_simulator if xp is cudasim else ""
print("kernels run", "on a GPU" if xp is not cudasim else "nowhere here" if no_simulator else "in the simulator")
print("simulator:", no_simulator or "ready")

# %% [markdown]
# The simulator needs the compiler g++ on x86-64 Linux. **Where it is missing, the page still works**: you then
# read the results that were recorded when the page was written, marked `(recorded)`, and the exercises cannot be
# checked. The functions below take care of it. Where kernels can run, they also make sure that the recorded
# result is still what comes out.

# %%
def simulate(run, recorded, missing=no_kernels):
    """What run() gives, or what was recorded for this page where kernels cannot run. Prints it."""
    answer = recorded if missing else run()
    print(textwrap.fill(("(recorded) " if missing else "") + str(answer), 110))
    same = [re.sub(r"byte \d+", "byte ...", str(a)) for a in (answer, recorded)]
    assert same[0] == same[1], (
        f"this page recorded {recorded}; if you changed the cell, the line above is your result")
    return answer


def checked(run, recorded):
    """The same for a kernel with a fault: what the checker says. A GPU has no checker, so the simulator must run it."""
    def sentence():
        try:
            with cudasim.settings(check=True):
                run()
        except cudasim.SimulationError as error:
            return str(error)
        return "no fault"

    return simulate(sentence, recorded, no_simulator)


def numbered(code):
    """The text of a kernel with the line numbers that the checker uses."""
    return "\n".join(f"{number:2}  {line}" for number, line in enumerate(code.splitlines(), 1))

# %% [markdown]
# ## 6.1 The combine step
#
# In an expert layer the router sends token $i$ to $K_i$ experts. Each such pair of a token and an expert is an
# **assignment** $a$, with its gate $g_a$. The rows are sorted by expert, the experts do their work, and then
# every token collects what its experts said about it:
#
# $$y_i = \sum_{a \text{ of token } i} g_a \cdot \text{row}_a.$$
#
# This last step is called **combine**. (That a token uses $K_i$ experts is confirmed by the abstract of the
# DA-MoE paper; that the gates are the router's probabilities as they are, without dividing by their sum, is our
# assumption, taken from the Switch Transformer.)
#
# We route six words to four experts. The numbers are made up; the last word is padding and goes nowhere.

# %%
random = np.random.default_rng(4)
words = ["the", "film", "was", "not", "bad", "[PAD]"]
k = np.array([1, 2, 1, 3, 2, 0], np.int32)                            # experts per token
routing = route(Tensor(random.standard_normal((6, 4)).astype(np.float32)), k)
routing_plan(routing, words)

# %% [markdown]
# On the right are the rows as the experts have them. The **routing plan** says where everything lies, in two
# small arrays of integers:
#
# - the assignments stand token by token, and those of token $i$ are numbered `row_ptr[i]` up to, but without,
#   `row_ptr[i + 1]`;
# - assignment `a` has its row at `inv[a]`.

# %%
plan, gates = routing.plan, routing.gates.numpy()
N, A, d = plan.n_tokens, plan.expert.size, 40
rows = random.integers(-9, 10, (A, d)).astype(np.float32)             # what the experts said, sorted by expert
print("row_ptr", plan.row_ptr.shape, plan.row_ptr)
print("inv    ", plan.inv.shape, plan.inv)
print("gates  ", gates.shape, gates.round(2))
print("rows   ", rows.shape)

# %% [markdown]
# Here is combine as plain loops, and then the way one writes it with arrays: fetch all rows, multiply, and add
# each product to its token. `np.add.at` adds where several rows go to one place.

# %%
def combine_loops(rows, gates, inv, row_ptr):
    n, d = row_ptr.size - 1, rows.shape[1]
    y = np.zeros((n, d), rows.dtype)
    for i in range(n):                                                # every token
        for j in range(d):                                            # every column
            for a in range(row_ptr[i], row_ptr[i + 1]):               # the token's assignments
                y[i, j] += gates[a] * rows[inv[a], j]
    return y


def combine_numpy(rows, gates, inv, token, n):
    y = np.zeros((n, rows.shape[1]), rows.dtype)
    np.add.at(y, token, gates[:, None] * rows[inv])                   # (A, d) products, added into (N, d)
    return y


y = combine_loops(rows, gates, plan.inv, plan.row_ptr)
print("y", y.shape, "  first columns of 'not':", y[3, :4].round(3))
assert np.allclose(y, combine_numpy(rows, gates, plan.inv, plan.token, N), atol=1e-5)
assert not y[5].any()                                                 # padding collects nothing

# %% [markdown]
# No round of the two outer loops of `combine_loops` needs what another has computed, so all $N \cdot d$ sums
# could be made at the same time, each by a worker of its own. A GPU has thousands of them.
#
# ## 6.2 Grid, blocks and threads
#
# A **kernel** is what stands inside such loops, without the loops. It is started ("launched") for many
# **threads** at once, and each runs the same text. Threads come in **blocks** of equal size, and the blocks of
# one launch are called the **grid**. A thread differs from the others in one thing: what it reads in these three
# variables.
#
# - `blockIdx.x`: the number of its block in the grid;
# - `blockDim.x`: how many threads a block has;
# - `threadIdx.x`: its own number in the block.
#
# From them it makes the number of its piece of work. This kernel writes down who was there, in an array on the
# **device**: the GPU, or the simulator in its place.

# %%
WHO = """extern "C" __global__ void who(int n, int* seen)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) seen[i] = 100 * blockIdx.x + threadIdx.x;
}
"""


def run():
    seen = xp.zeros(10, np.int32)                                     # an array on the device
    kernel = xp.RawModule(code=WHO).get_function("who")
    kernel((3,), (4,), (np.int32(10), seen))                          # grid: 3 blocks; block: 4 threads; arguments
    return xp.asnumpy(seen).tolist()                                  # back to NumPy


seen = simulate(run, [0, 1, 2, 3, 100, 101, 102, 103, 200, 201])

# %% [markdown]
# `__global__` marks a kernel, and `extern "C"` keeps its name as it is written, so that `get_function` finds it.
# `int* seen` is the address of the first number of an array. A kernel knows neither the array's shape nor where
# it ends; what it must know, as here `n`, is handed over as a number of the exact type. It returns nothing and
# instead writes into an array that it was given. (`const float* x`, below, is an array that the kernel only
# reads.)
#
# Ten numbers do not fill three blocks of four. The last two threads have no work, and `if (i < n)` keeps them
# from doing any. Where more than a line depends on it, `if (i >= n) return;` sends them home.

# %%
figure, axes = plt.subplots(figsize=(7, 1.7), layout="constrained")
for i in range(12):
    x = i + 0.4 * (i // 4)
    axes.add_patch(Rectangle((x, 0), 0.94, 1, facecolor=(BLUE, GREEN, RED)[i // 4] if i < 10 else "white", alpha=0.85,
                             edgecolor=GREY, hatch="" if i < 10 else "///"))
    axes.text(x + 0.47, 0.5, i, ha="center", va="center", color="white" if i < 10 else "black",
              bbox=None if i < 10 else {"facecolor": "white", "edgecolor": "none", "pad": 1})
    axes.text(x + 0.47, -0.28, i % 4, ha="center", va="center")
for block in range(3):
    axes.text(4.4 * block + 1.97, 1.3, f"block {block}", ha="center", va="center")
axes.text(-0.2, 0.5, "i", ha="right", va="center")
axes.text(-0.2, -0.28, "threadIdx.x", ha="right", va="center")
axes.text(-0.2, 1.3, "blockIdx.x", ha="right", va="center")
axes.text(11.8, -0.75, "no work", ha="center", va="center", color=GREY)
axes.set(xlim=(-2.3, 12.9), ylim=(-1, 1.6))
axes.axis("off")
plt.show()

# %% [markdown]
# A launch is two loops that nobody has written. Here they are in Python, and the order is shuffled on purpose,
# because a GPU promises none: blocks and threads may run in any order, many of them at the same time.

# %%
def launch_in_python(kernel, grid, block, *args):
    pairs = [(b, t) for b in range(grid) for t in range(block)]
    for b, t in random.permutation(pairs):
        kernel(b, block, t, *args)


def who(block_index, block_size, thread_index, n, seen):
    i = block_index * block_size + thread_index
    if i < n:
        seen[i] = 100 * block_index + thread_index


by_hand = np.zeros(10, int)
launch_in_python(who, 3, 4, 10, by_hand)
print(by_hand)
assert by_hand.tolist() == seen

# %% [markdown]
# From here on a small function moves NumPy arrays to the device, launches, and fetches the last argument, where
# our kernels put their result.

# %%
def launch(module, code, name, grid, block, *args):
    """Runs kernel `name` of the text `code`, with cudasim or cupy as module. Returns the last argument as NumPy."""
    device = [module.asarray(a) if isinstance(a, np.ndarray) else a for a in args]
    module.RawModule(code=code).get_function(name)(grid, block, tuple(device))
    return module.asnumpy(device[-1])

# %% [markdown]
# ## 6.3 One step too far
#
# The next kernel shall give the differences of neighbours, $y_i = x_{i+1} - x_i$. It has a mistake, and Python
# would have told us at once.

# %%
STEPS = """extern "C" __global__ void steps(const float* x, int n, float* y)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = x[i + 1] - x[i];
}
"""
x = np.arange(10, dtype=np.float32) ** 2
print(numbered(STEPS))

# %% [markdown]
# C looks nothing up: `x[i + 1]` reads whatever lies at that address. A GPU would most often say nothing and give
# a last number that is garbage, or stop a program much later with "an illegal memory access was encountered". So
# we ask the simulator, with its checker switched on.

# %%
said = checked(lambda: launch(cudasim, STEPS, "steps", (3,), (4,), x, np.int32(10), np.zeros(10, np.float32)),
               "steps, line 5, block (2, 0, 0), thread (1, 0, 0): out-of-bounds read of 4 bytes at byte 40 of argument "
               "0, which has 40 bytes")
assert "line 5, block (2, 0, 0), thread (1, 0, 0)" in said            # i = 2 * 4 + 1 = 9 reads x[10]

# %% [markdown]
# It names the kernel, the line, the block and the thread: thread 1 of block 2 is $i = 2 \cdot 4 + 1 = 9$, and
# there is no $x_{10}$. (Blocks and threads may have up to three numbers, for work that lies in a square or a
# cube. We use one.) In Python it is an ordinary exception, `cudasim.SimulationError`, with the fields `kernel`,
# `line`, `block` and `thread`.
#
# The checks of the exercises run your kernel with the checker on. The function below does that, and turns the
# checker's sentence into one about your text.

# %%
HINTS = {"does not compile": "the compiler does not understand this text: give the C between the braces, no more",
         "out-of-bounds": "a thread left an array: look at the index, and send home threads without work",
         "race": "two threads touched the same number, one of them wrote, and no barrier lies between",
         "divergence": "some threads of the block never came to this barrier: put it where all of them pass",
         "that no thread": "shared memory is read before anybody has written there"}


def tried(code, name, grid, block, *args, schedule="forward", hints=None):
    """What the kernel leaves in its last argument. Raises AssertionError with a hint for the first fault."""
    try:
        with cudasim.settings(check=True, schedule=schedule):
            return launch(cudasim, code, name, grid, block, *args)
    except cudasim.SimulationError as error:
        hint = next((text for word, text in [*(hints or {}).items(), *HINTS.items()] if word in str(error)), "a fault")
        line = f" Line {error.line} is: {code.splitlines()[error.line - 1].strip()}" if error.line else ""
        message = f"{hint}. The checker says: {error}.{line}"
    raise AssertionError(message)

# %% [markdown]
# ### Exercise 6.1: add two vectors
#
# Write what stands between the braces of this kernel, so that $c_i = a_i + b_i$ for all $i < n$. There are as
# many blocks of 32 threads as it takes to have at least $n$ threads, so usually a few too many. `c` holds other
# numbers before. Answer with a string of CUDA C; a statement ends with a semicolon.

# %%
ADD = """extern "C" __global__ void add(const float* a, const float* b, int n, float* c)"""
print(ADD + "\n{\n    ...\n}")

# %% [exercise] add_body
def add_body():
    """The CUDA C between the braces of add, as one string."""
    ### BEGIN SOLUTION
    return """
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n) c[i] = a[i] + b[i];
    """
    ### END SOLUTION

# %% [check] add_body points=1
fresh = np.random.default_rng()
body = add_body()
assert isinstance(body, str), "add_body gives back no text: end it with return and a string"
hints = {"race on argument 3": "two threads wrote the same c[i]: every thread of every block needs an i of its own, "
                               "so i must also depend on blockIdx.x and blockDim.x"}
for n, schedule in [] if no_simulator else [(70, "forward"), (70, "reversed"), (33, "forward"), (64, 1)]:
    a_check, b_check = fresh.uniform(1, 2, (2, n)).astype(np.float32)
    c_check = tried(ADD + "\n{" + body + "}\n", "add", (-(-n // 32),), (32,), a_check, b_check, np.int32(n),
                    np.full(n, 99, np.float32), schedule=schedule, hints=hints)
    assert not (c_check == 99).all(), "c is as it was: write into c[i]"
    assert not np.allclose(c_check, 99 + a_check + b_check), "c held other numbers before: use = and not +="
    assert c_check[-1] != 99, "the last number was left out: the threads with i < n have work, all of them"
    assert np.allclose(c_check, a_check + b_check), "c[i] is not a[i] + b[i]"
print(f"Not checked: {no_simulator}" if no_simulator else
      "Right: every thread has its own i, and those without work leave. In any order, the checker is content.")

# %% [markdown]
# ## 6.4 Rows
#
# Arrays with two axes lie in memory row after row: element $(r, j)$ of an array with $d$ columns has the number
# $r \cdot d + j$. A natural division of work: one block for each row, and in the block the threads share the
# columns. A row may have more columns than the block has threads. Then each thread takes every `blockDim.x`-th
# column. As an example, multiply every row by its gate:

# %%
SCALE = """extern "C" __global__ void scale(const float* rows, const float* gates, int d, float* y)
{
    int row = blockIdx.x;
    for (int j = threadIdx.x; j < d; j += blockDim.x)
        y[row * d + j] = gates[row] * rows[row * d + j];
}
"""


def run():
    whole = np.arange(A, dtype=np.float32)                            # gates without rounding, for this test
    scaled = launch(xp, SCALE, "scale", (A,), (32,), rows, whole, np.int32(d), np.zeros((A, d), np.float32))
    return f"{scaled.shape}, equal to NumPy: {np.array_equal(scaled, whole[:, None] * rows)}"


said = simulate(run, "(9, 40), equal to NumPy: True")
assert said.endswith("True")

# %% [markdown]
# With $d = 40$ and 32 threads, threads 0 to 7 take two columns each, the others one.
#
# ### Exercise 6.2: gather rows
#
# Before the experts can work, the tokens' rows must be brought into the experts' order: row $r$ of the result is
# row `index[r]` of `x`. Write the body. There is one block of 32 threads for each row of the result, and $d$ may
# be smaller or larger than 32.

# %%
GATHER = """extern "C" __global__ void gather(const float* x, const int* index, int d, float* y)"""
print(GATHER + "\n{\n    ...\n}")

# %% [exercise] gather_body
def gather_body():
    """The CUDA C between the braces of gather: y[r, j] = x[index[r], j]."""
    ### BEGIN SOLUTION
    return """
    int row = blockIdx.x;
    for (int j = threadIdx.x; j < d; j += blockDim.x)
        y[row * d + j] = x[index[row] * d + j];
    """
    ### END SOLUTION

# %% [check] gather_body points=2
fresh = np.random.default_rng()
body = gather_body()
assert isinstance(body, str), "gather_body gives back no text: end it with return and a string"
hints = {"race on argument 3": "two threads wrote the same element of y: a block has row blockIdx.x for itself, and "
                               "its threads must take different columns, j = threadIdx.x and so on",
         "of argument 3": "a thread wrote beyond y: row r of y comes from row index[r] of x, not the other way round",
         "of argument 1": "a thread read beyond index: a block has one row of the result, row = blockIdx.x"}
for width, schedule in [] if no_simulator else [(40, "forward"), (40, "reversed"), (70, 1), (20, "forward")]:
    index_check = np.array([5, 0, 4, 1, 2] if schedule == "forward" else [4, 0, 4, 5, 0], np.int32)
    x_check = fresh.uniform(1, 2, (6, width)).astype(np.float32)
    y_check = tried(GATHER + "\n{" + body + "}\n", "gather", (5,), (32,), x_check, index_check, np.int32(width),
                    np.full((5, width), 99, np.float32), schedule=schedule, hints=hints)
    assert not (y_check == 99).all(), "y is as it was: write into y"
    assert not np.array_equal(y_check, x_check[:5]), "the rows stand in their old order: row r comes from x[index[r]]"
    assert width <= 32 or not (y_check[:, 32:] == 99).all(), (
        "the columns from 32 on are missing: with 32 threads, each must take every 32nd column, in a loop")
    assert not np.array_equal(y_check, x_check.ravel()[index_check[:, None] + np.arange(width)]), (
        "a row starts d numbers after the one before: the element is number index[r] * d + j")
    assert np.array_equal(y_check, x_check[index_check]), "row r of y is not row index[r] of x"
print(f"Not checked: {no_simulator}" if no_simulator else
      "Right: a gather, with neighbouring threads on neighbouring columns.")

# %% [markdown]
# ### Exercise 6.3: combine
#
# Now the sum itself, with one thread for one number of $y$. There is one block for each token, and a block has as
# many threads as a row has columns, rounded up to a multiple of 32. Each thread loops over the token's
# assignments, keeps its sum in a variable of its own (`float sum = 0;`), and writes it once.
#
# One thing is new: an expert with a capacity, a limit to its rows, may have **dropped** an assignment. Then it
# has no row, and `inv[a]` is -1; skip it. (`continue;` goes on with the next round of a loop.) Python's version
# is `combine_loops` above.

# %%
COMBINE = """extern "C" __global__ void combine(const float* rows, const float* gates, const int* inv,
                                   const int* row_ptr, int d, float* y)"""
print(COMBINE + "\n{\n    ...\n}")

# %% [exercise] combine_body
def combine_body():
    """The CUDA C between the braces of combine: y[token, column] = sum of gate times row, over the assignments."""
    ### BEGIN SOLUTION
    return """
    int token = blockIdx.x, column = threadIdx.x;
    if (column >= d) return;
    float sum = 0;
    for (int a = row_ptr[token]; a < row_ptr[token + 1]; a++) {
        if (inv[a] < 0) continue;
        sum += gates[a] * rows[inv[a] * d + column];
    }
    y[token * d + column] = sum;
    """
    ### END SOLUTION

# %% [check] combine_body points=3
fresh = np.random.default_rng()
body = combine_body()
assert isinstance(body, str), "combine_body gives back no text: end it with return and a string"
row_ptr_check = np.array([0, 2, 3, 3, 6], np.int32)                   # tokens with 2, 1, 0 and 3 assignments
whole_check = np.array([3, 0, 5, 2, 1, 4], np.int32)                  # inv, when nothing is dropped
short_check = np.array([3, 0, 4, -1, 1, 2], np.int32)                 # the first assignment of token 3 is dropped
where_check = {"of argument 0": "a thread read beyond the rows: skip assignments with inv[a] < 0, send home threads "
                                "with column >= d, and look at the index of rows",
               "of argument 1": "a thread read beyond the gates: a runs from row_ptr[token], up to but without "
                                "row_ptr[token + 1]",
               "of argument 2": "a thread read beyond inv: a runs from row_ptr[token] up to, but without, "
                                "row_ptr[token + 1]",
               "of argument 3": "a thread read beyond row_ptr: there is one block for each token, token = blockIdx.x",
               "of argument 5": "a thread wrote beyond y: send home the threads with column >= d",
               "race on argument 5": "two threads wrote the same element of y: send home the threads with "
                                     "column >= d, and use element token * d + column"}
for width, inv_check, schedule in [] if no_simulator else [(40, whole_check, "forward"), (40, whole_check, "reversed"),
                                                           (64, whole_check, 1), (40, short_check, "forward")]:
    rows_check = fresh.uniform(1, 2, (6, width)).astype(np.float32)
    gates_check = fresh.uniform(0.2, 0.8, 6).astype(np.float32)
    y_check = tried(COMBINE + "\n{" + body + "}\n", "combine", (4,), (-(-width // 32) * 32,), rows_check, gates_check,
                    inv_check, row_ptr_check, np.int32(width), np.full((4, width), 99, np.float32),
                    schedule=schedule, hints=where_check)
    truth, bare, last, moved = np.zeros((4, 4, width))
    for i in range(4):
        for a in range(row_ptr_check[i], row_ptr_check[i + 1]):
            if inv_check[a] >= 0:
                last[i] = gates_check[a] * rows_check[inv_check[a]]
                truth[i] += last[i]
                bare[i] += rows_check[inv_check[a]]
                moved[i] += gates_check[inv_check[a]] * rows_check[inv_check[a]]
    unsorted = np.stack([sum((gates_check[a, None] * rows_check[a] for a in range(first, end)), np.zeros(width))
                         for first, end in zip(row_ptr_check, row_ptr_check[1:], strict=False)])
    assert not (y_check == 99).all(), "y is as it was: write the sum into y"
    assert not np.allclose(y_check, 99 + truth), "y held other numbers before: start the sum at 0 and write it with ="
    assert not (y_check[2] == 99).all(), "a token without assignments must get 0: write the sum in every case"
    assert not np.allclose(y_check, bare), "the gates are missing: multiply each row by gates[a]"
    assert not np.allclose(y_check, moved), (
        "gates stand in the order of assignments, rows in that of experts: gates[a], but row inv[a]")
    assert not np.allclose(y_check, last), "only the last assignment is left: add up with +="
    assert not np.allclose(y_check, unsorted), "the rows are sorted by expert: assignment a has row inv[a], not row a"
    assert np.allclose(y_check, truth, rtol=1e-5), "y is not the sum over the token's assignments of gate times row"
print(f"Not checked: {no_simulator}" if no_simulator else
      "Right: every number of y has a thread of its own, and no thread needs another.")

# %% [markdown]
# ## 6.5 The library's kernel
#
# This is the kernel that `minimoe` itself launches for the same step, cut out of `minimoe/kernels/rows.cu`:

# %%
text = source("rows.cu")
start = text.index("// y_i = sum over token i's assignments")
print(text[start:text.index("// g_rows[s]", start)].strip())

# %% [markdown]
# What is different from the exercise?
#
# - `REAL` is `float` or `double`: the file is compiled once for each, with an option.
# - `__restrict__` promises the compiler that the arrays do not overlap. `c ? a : b` is Python's `a if c else b`.
# - A row may be wider than a block can be (1024 threads), so a token has several blocks, `tiles` of them. Which
#   token and which columns a block has follows from its number by a division.
# - The number of an element is computed as `size_t`, 64 bits wide (`(size_t)row` converts): `row * d` would
#   overflow an `int` at 2 billion elements.
#
# With 6 tokens, 40 columns and blocks of 32 threads there are two tiles, and 12 blocks:

# %%
threads = 32
tiles = -(-d // threads)                                              # d / threads, rounded up
figure, axes = plt.subplots(figsize=(7.2, 2.5), layout="constrained")
for block in range(N * tiles):
    token, first = block // tiles, block % tiles * threads
    busy = min(threads, d - first)
    axes.add_patch(Rectangle((first + busy, token), threads - busy, 1, facecolor="white", hatch="///", edgecolor=GREY))
    axes.add_patch(Rectangle((first, token), busy, 1, facecolor=(BLUE, GREEN)[block % tiles],
                             alpha=0.3 + 0.25 * (token % 2)))
    axes.add_patch(Rectangle((first, token), threads, 1, fill=False, edgecolor="black", linewidth=0.8))
    axes.text(first + 4, token + 0.5, block, va="center", ha="center", weight="bold", size=9)
axes.text(52, N + 0.55, "threads without work", ha="center", va="center", color=GREY)
axes.set(xlim=(0, tiles * threads), ylim=(N + 1, 0), xlabel="column", yticks=np.arange(N) + 0.5, yticklabels=words)
axes.set_xticks([0, 16, 32, 40, 48, 64])
axes.spines[["top", "right", "left", "bottom"]].set_visible(False)
axes.tick_params(left=False)
plt.show()

# %% [markdown]
# The number in each box is the block's. We launch it ourselves and compare with the loops. In the simulator we
# may also choose in which order threads and blocks get their turn, the **schedule**: forward, reversed, or a
# number, from which a random order is drawn. A right kernel gives the same bits under each of them.

# %%
REALS = ("-std=c++17", "-DREAL=float")


def library_combine(module):
    arrays = [module.asarray(a) for a in (rows, gates, plan.inv, plan.row_ptr, np.empty((N, d), np.float32))]
    kernel = module.RawModule(code=source("rows.cu"), options=REALS).get_function("combine_rows")
    kernel((N * tiles,), (threads,), (arrays[0], arrays[1], np.int32(1), *arrays[2:4], np.int32(d), arrays[4]))
    return module.asnumpy(arrays[4])


said = simulate(lambda: f"agrees with the loops: {np.allclose(library_combine(xp), y, atol=1e-5)}",
                "agrees with the loops: True")
assert said.endswith("True")

# %%
SCHEDULES = ("forward", "reversed", 1, 2, 3)


def under_each_schedule(run, check=False):
    """{schedule: what run() gives under it}."""
    answers = {}
    for schedule in SCHEDULES:
        with cudasim.settings(check=check, schedule=schedule):
            answers[schedule] = run()
    return answers


def run():
    answers = under_each_schedule(lambda: library_combine(cudasim).tobytes(), check=True)
    return f"{len(answers)} schedules, different results: {len(set(answers.values()))}"


said = simulate(run, "5 schedules, different results: 1", no_simulator)
assert said.endswith("results: 1")

# %% [markdown]
# The checker was on, and had nothing to say.
#
# ## 6.6 Threads that need each other
#
# So far no thread needed another. The way back through combine is different. The gradient of a gate is one number
# made of $d$ products, $\delta g_a = \sum_j \delta y_{ij} \cdot \text{row}_{aj}$. One thread could add them
# alone, in $d$ steps, while all others wait. Better: the threads of a block add in pairs, then in pairs of pairs.

# %%
levels = [np.arange(1, 9)]
while levels[-1].size > 1:
    half = levels[-1].size // 2
    levels.append(levels[-1][:half] + levels[-1][half:])

figure, axes = plt.subplots(figsize=(6.4, 2.9), layout="constrained")
for depth, values in enumerate(levels):
    for t, value in enumerate(values):
        for source_t in (t, t + values.size) if depth else ():
            axes.plot([source_t, t], [1 - depth, -depth], color=BLUE if source_t == t else RED, zorder=1,
                      linestyle="-" if source_t == t else "--")
        axes.text(t, -depth, value, ha="center", va="center", zorder=2,
                  bbox={"boxstyle": "circle,pad=0.25", "facecolor": "white", "edgecolor": "black"})
    axes.text(8.2, -depth, "the numbers" if depth == 0 else f"step = {8 >> depth}", va="center")
for t in range(8):
    axes.text(t, 0.62, f"thread {t}", ha="center", va="center", size=8, color=GREY)
axes.set(xlim=(-0.5, 10), ylim=(-3.5, 0.8))
axes.axis("off")
plt.show()
print("rounds with 8 threads:", len(levels) - 1, "  additions of one thread alone:", 7)

# %% [markdown]
# A line comes from a thread's own number (solid) or from another thread's (dashed), `step` further on. For the
# dashed lines the threads of a block have **shared memory**: a small, fast array that all threads of one block
# see, and no other block. It is declared inside the kernel with `__shared__`, and holds garbage at first.
#
# Before a thread reads what another has written, it must be sure that it *has been* written. That is what
# `__syncthreads()` is for, a **barrier**: no thread of the block passes it before all have come to it.

# %%
BLOCK_SUM = """extern "C" __global__ void block_sum(const float* x, float* total)
{
    __shared__ float part[8];
    int t = threadIdx.x;
    part[t] = x[t];
    __syncthreads();                                  // all numbers are there
    for (int step = 4; step > 0; step /= 2) {
        if (t < step)
            part[t] += part[t + step];
        __syncthreads();                              // all sums of this round are there
    }
    if (t == 0) total[0] = part[0];
}
"""
eight = np.arange(1, 9, dtype=np.float32)


def block_sum(code, module=cudasim, numbers=eight):
    return float(launch(module, code, "block_sum", (1,), (8,), numbers, np.zeros(1, np.float32))[0])


print(numbered(BLOCK_SUM))
said = simulate(lambda: f"sum {block_sum(BLOCK_SUM, xp)}", "sum 36.0")
assert said == f"sum {eight.sum()}"

# %% [markdown]
# ### The barrier taken out
#
# Let us take the second barrier out, and run it under several schedules, with the checker off at first.

# %%
WITHOUT = BLOCK_SUM.replace("__syncthreads();                              // all sums of this round are there",
                            "// no barrier here")
print("\n".join(numbered(WITHOUT).splitlines()[6:11]))
sums = simulate(lambda: under_each_schedule(lambda: block_sum(WITHOUT)),
                {"forward": 11.0, "reversed": 36.0, 1: 36.0, 2: 28.0, 3: 36.0}, no_simulator)
assert sums["forward"] != 36 and sums["reversed"] == 36

# %% [markdown]
# Forward, thread 0 goes first and runs to its end: it adds 1 + 5, then the 3 of thread 2 and the 2 of thread 1,
# which have not added anything yet. That makes 11.
#
# Reversed, and in some random orders, **the wrong kernel gives the right number**: every thread happens to run
# after those it reads from. On a GPU, too, such a kernel may be right for a long time, since 32 neighbouring
# threads often move together, and wrong on the next model. A right result does not prove a right kernel.
#
# The checker does not look at results. It remembers who read and wrote each number, and asks whether a barrier
# lies between. That is missing under every schedule:

# %%
def run_reversed():
    with cudasim.settings(schedule="reversed"):
        block_sum(WITHOUT)


forward = checked(lambda: block_sum(WITHOUT),
                  "block_sum, line 9, block (0, 0, 0), thread (1, 0, 0): race on static shared memory, byte 4: this "
                  "write and an earlier read by thread 0 of block 0 have no barrier between them; the earlier one is "
                  "on line 9")
print()
backward = checked(run_reversed,
                   "block_sum, line 9, block (0, 0, 0), thread (1, 0, 0): race on static shared memory, byte 12: this "
                   "read and an earlier write by thread 3 of block 0 have no barrier between them; the earlier one is "
                   "on line 9")
assert "race" in forward and "race" in backward

# %% [markdown]
# Such a fault is a **race**: two threads touch the same number, at least one of them writes, and nothing says who
# comes first.
#
# With its barriers, the kernel also fixes the *order of the additions*: whatever the schedule, thread 0 adds the
# same pairs. For numbers that must be rounded this gives the same bits each time.

# %%
uneven = np.random.default_rng(0).standard_normal(8).astype(np.float32)


def run():
    sums = under_each_schedule(lambda: block_sum(BLOCK_SUM, numbers=uneven), check=True)
    return f"{len(sums)} schedules, different sums: {len(set(sums.values()))}"


said = simulate(run, "5 schedules, different sums: 1", no_simulator)
assert said.endswith("sums: 1")

# %% [markdown]
# ### Exercise 6.4: two barriers to put back
#
# This kernel smooths a row of at most 64 numbers, several rounds in a row: in each round, every number except the
# first and the last becomes a quarter of its left neighbour, plus half of itself, plus a quarter of its right
# neighbour. Both barriers have been lost.

# %%
SMOOTH = """extern "C" __global__ void smooth(const float* x, int n, int rounds, float* y)
{
    __shared__ float row[64];
    int t = threadIdx.x;
    float value = t < n ? x[t] : 0;
    for (int round = 0; round < rounds; round++) {
        row[t] = value;
        if (t > 0 && t < n - 1) {
            float around = row[t - 1] + row[t + 1];
            value = around / 4 + value / 2;
        }
    }
    if (t < n) y[t] = value;
}
"""
print(numbered(SMOOTH))

# %% [markdown]
# Say after which lines a barrier belongs: give the list of their numbers. One mistake is easy to make: a barrier
# that some threads never reach, because they do not go into an `if`, leaves the others waiting forever.

# %% [exercise] barrier_lines
def barrier_lines():
    """The numbers of the lines of SMOOTH after which a __syncthreads() belongs, as a list."""
    ### BEGIN SOLUTION
    return [7, 11]
    ### END SOLUTION

# %% [check] barrier_lines points=2
fresh = np.random.default_rng()
lines_check = barrier_lines()
assert lines_check is not None, "barrier_lines gives nothing back: end it with return and a list of line numbers"
lines_check = sorted(set(lines_check))
assert all(line in range(2, 15) for line in lines_check), "a number is no line of SMOOTH between its braces"
mended_check = "\n".join(line + " __syncthreads();" * (number in lines_check)
                         for number, line in enumerate(SMOOTH.splitlines(), 1))
early = ("a thread reads its neighbour's number before it is there: a barrier is missing between row[t] = value and "
         "the reading")
late = ("a fast thread writes row[t] for the next round while a slow one still reads that of this round: a barrier is "
        "missing after the reading")
inside = "this barrier stands inside the if, where the threads at the edge never come: put it after the closing brace"
runs = [(50, 1, "forward"), (50, 3, "forward"), (50, 3, "reversed"), (64, 2, 1)]              # one round comes first
for n, rounds, schedule in [] if no_simulator else runs:
    hints = {"divergence": inside, "race": early if rounds == 1 else late, "that no thread": early}
    x_check = fresh.uniform(1, 2, n).astype(np.float32)
    y_check = tried(mended_check, "smooth", (1,), (64,), x_check, np.int32(n), np.int32(rounds),
                    np.zeros(n, np.float32), schedule=schedule, hints=hints)
    value_check = x_check.astype(float)
    for _ in range(rounds):
        value_check[1:-1] = (value_check[:-2] + value_check[2:]) / 4 + value_check[1:-1] / 2
    assert np.allclose(y_check, value_check, rtol=1e-5), "the row is not smoothed as it should be"
assert len(lines_check) == 2, "it works, but every barrier makes all threads wait: two are enough"
print(f"Not checked: {no_simulator}" if no_simulator else
      "Right: one barrier between writing and reading, and one between reading and the next writing.")

# %% [markdown]
# ## 6.7 Two threads, one number
#
# How many assignments has each expert? A thread for each assignment could add 1 to its expert's counter. But
# `count[e] += 1` is three things: read, add, write. If two threads read the same 5, both write 6, and one is
# lost.

# %%
COUNTERS = """extern "C" __global__ void count_plain(const int* expert, int n, int* count)
{
    int a = blockIdx.x * blockDim.x + threadIdx.x;
    if (a < n)
        count[expert[a]] += 1;
}

extern "C" __global__ void count_atomic(const int* expert, int n, int* count)
{
    int a = blockIdx.x * blockDim.x + threadIdx.x;
    if (a < n)
        atomicAdd(&count[expert[a]], 1);
}

extern "C" __global__ void sum_atomic(const float* x, int n, float* total)
{
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        atomicAdd(total, x[i]);
}
"""


def count(name):
    return launch(cudasim, COUNTERS, name, (3,), (4,), plan.expert, np.int32(A), np.zeros(4, np.int32)).tolist()


print("experts", plan.expert)
said = checked(lambda: count("count_plain"),
               "count_plain, line 5, block (0, 0, 0), thread (3, 0, 0): race on argument 2, byte 12: this read and an "
               "earlier write by thread 1 of block 0 have no barrier between them; the earlier one is on line 5")
assert "race on argument 2" in said

# %% [markdown]
# An **atomic** operation does the three things as one, and nothing gets between: `atomicAdd(&count[e], 1)`. The
# `&` takes the address. Whole numbers may be added in any order, so the counts are the same under each schedule.

# %%
counts = simulate(lambda: under_each_schedule(lambda: count("count_atomic"), check=True),
                  {s: [1, 3, 2, 3] for s in SCHEDULES}, no_simulator)
assert all(c == np.bincount(plan.expert, minlength=4).tolist() for c in counts.values())

# %% [markdown]
# Combine could be written that way too: a thread for each element of each row, which adds its product to $y$ with
# `atomicAdd`. No `row_ptr` would be needed. But rounded numbers are not like whole ones. Let four threads add
# $10^8$, 1, $-10^8$ and 1 to one total in float32, which holds about seven digits. The true sum is 2.

# %%
awkward = np.array([1e8, 1, -1e8, 1], np.float32)


def sum_atomic():
    total = launch(cudasim, COUNTERS, "sum_atomic", (4,), (1,), awkward, np.int32(4), np.zeros(1, np.float32))
    return float(total[0])


totals = simulate(lambda: under_each_schedule(sum_atomic, check=True),
                  {"forward": 1.0, "reversed": 0.0, 1: 0.0, 2: 0.0, 3: 0.0}, no_simulator)
assert totals["forward"] != totals["reversed"]

# %% [markdown]
# The checker has nothing to say: there is no race. Yet the answer depends on who came first: forward, only the 1
# that is added to $10^8$ is rounded away; in the other orders both are. With ordinary numbers it is a matter of
# the last digits. Below, 64 numbers are added one by one, in 5000 different orders; NumPy will do.

# %%
ordinary = np.random.default_rng(1).standard_normal(64).astype(np.float32)
orders = np.random.default_rng(2).permuted(np.tile(ordinary, (5000, 1)), axis=1)       # (5000, 64)
total = np.zeros(5000, np.float32)
for column in orders.T:
    total += column                                                   # float32, one number after the other
values, times = np.unique(total, return_counts=True)
exact = ordinary.astype(np.float64).sum()

figure, axes = plt.subplots(figsize=(7, 2.8), layout="constrained")
axes.vlines((values - exact) * 1e6, 0, times, color=BLUE, linewidth=3)
axes.axvline(0, color=RED, linestyle="--", linewidth=1.2)
axes.text(0.08, times.max() * 1.08, "the exact sum", color=RED)
axes.set(xlabel="float32 sum minus exact sum, in millionths", ylabel="orders", ylim=(0, times.max() * 1.18))
axes.spines[["top", "right"]].set_visible(False)
plt.show()
print("different results of one sum:", values.size)
assert values.size > 1

# %% [markdown]
# Tiny, but the next step of training starts from it, and such differences can grow from step to step. Then nobody
# knows whether a change in the score comes from the code. So the library gives each sum to one thread, or to
# threads in a fixed order, and does without atomics.

# %%
files = sorted(path.name for path in resources.files("minimoe.kernels").iterdir() if path.name.endswith(".cu"))
calls = {file: len(re.findall(r"\batomic\w+\s*\(", source(file))) for file in files}
print(calls)
assert sum(calls.values()) == 0

# %% [markdown]
# That is what the routing plan is for: with `row_ptr` and `inv`, every token *fetches* what belongs to it (a
# gather). In the other form every row *adds itself* to its token (a scatter), and needs atomics.
#
# ## 6.8 What a GPU would do with it
#
# The simulator says whether a kernel is right. It says nothing about speed. For that we count, and three things
# matter: how many bytes must move, in which order they are asked for, and how much arithmetic they are used for.
#
# ### In which order: coalescing
#
# A GPU runs 32 neighbouring threads of a block together, as a **warp**. When a warp reads, the memory answers in
# **sectors** of 32 bytes, each at an address that is a multiple of 32. It sends every sector in which some thread
# wants something, and sends it whole. So it matters how the 32 addresses lie.

# %%
def sectors(elements, itemsize=4):
    """How many sectors of 32 bytes a warp touches that reads these elements. elements: (32,) numbers."""
    return np.unique(np.asarray(elements) * itemsize // 32).size


lane = np.arange(32)                                                  # a thread's number in its warp
width = 32
patterns = {"thread t takes column t": 5 * width + lane, "thread t takes row t": lane * width + 5}

figure, panels = plt.subplots(1, 2, figsize=(7.2, 3.7), layout="constrained")
for axes, (name, elements) in zip(panels, patterns.items(), strict=True):
    state = np.zeros(32 * width)
    state[np.isin(np.arange(32 * width) // 8, elements // 8)] = 1     # a sector holds 8 floats
    state[elements] = 2
    axes.imshow(state.reshape(32, width), cmap=ListedColormap(["#f3f4f6", "#9ecae9", "#08306b"]), vmin=0, vmax=2)
    axes.set_title(f"{name}: {sectors(elements)} sectors", size=10)
    axes.set(xlabel="column", ylabel="row", xticks=[0, 8, 16, 24], yticks=[0, 8, 16, 24])
plt.show()
print("dark: asked for; light: sent along with it")
for stride in (1, 2, 4, 8, 32):
    count_of = sectors(lane * stride)
    print(f"addresses {stride:2} floats apart: {count_of:2} sectors, {128 / (32 * count_of):.1%} of the bytes are used")
assert [sectors(e) for e in patterns.values()] == [4, 32]

# %% [markdown]
# Accesses of a warp that fall into few sectors are called **coalesced**. In `combine_rows`, neighbouring threads
# take neighbouring *columns*, so each read of `rows` is like the left picture. The rows of a token's experts lie
# anywhere in memory, but that does no harm: each of them is read in one piece. Had we given each thread a token
# instead, every read would look like the right picture: eight times the bytes, unless a cache still holds the
# sectors when the next column is wanted.
#
# ### How many bytes, and how much arithmetic
#
# We count a layer of ordinary size: 4096 tokens, 768 columns, two experts for each. First combine in one kernel,
# then in three steps as `combine_numpy` does it, where each step writes its result to memory and the next reads
# it.

# %%
n_tokens, columns, experts_each = 4096, 768, 2
assigned = n_tokens * experts_each
one_row, integers = 4 * columns, 4 * (2 * assigned + n_tokens + 1)    # bytes of a row; of gates, inv and row_ptr
one_kernel = assigned * one_row + n_tokens * one_row + integers       # read the rows, write y
three_steps = (2 + 2 + 3) * assigned * one_row + n_tokens * one_row + integers
flops = 2 * assigned * columns                                        # a product and a sum for each element
print(f"one kernel   {one_kernel / 1e6:6.1f} million bytes")
print(f"three steps  {three_steps / 1e6:6.1f} million bytes, {three_steps / one_kernel:.1f} times as many")
print(f"arithmetic   {flops / 1e6:6.1f} million operations, {flops / one_kernel:.2f} for each byte of the one kernel")
assert three_steps > 4 * one_kernel and flops < one_kernel

# %% [markdown]
# (The three steps: fetch reads and writes the $A$ rows, multiply reads and writes them, and adding reads the
# products and reads and writes the token's row for each of them, in a $y$ that was filled with zeros before.)
#
# Operations for each byte moved are called **arithmetic intensity**. A GPU has one of its own: how many
# operations it can do while it moves a byte. A T4, which free notebook services offer, does at most 8.1 trillion
# float32 operations in a second and moves at most 320 billion bytes, by its data sheet. Whatever needs fewer
# operations for each byte waits for memory, whatever needs more waits for arithmetic. Drawn, this is the
# **roofline**.
#
# For comparison we add the experts' own work, the product of `n` rows with a weight of 768 by 3072. The weight
# must be read once, for one row as for a thousand.

# %%
peak, bandwidth = 8.1e12, 320e9                                       # T4, from NVIDIA's data sheet
intensity = np.logspace(-1.5, 3, 200)
points = {"combine": (flops / one_kernel, RED, "s"), "combine, three steps": (flops / three_steps, RED, "X")}
for n in (1, 16, 512):
    moved = 4 * (n * 768 + 768 * 3072 + n * 3072)
    points[f"expert, {n} row{'s' * (n > 1)}"] = 2 * n * 768 * 3072 / moved, GREEN, "o"

figure, axes = plt.subplots(figsize=(7, 3.4), layout="constrained")
axes.loglog(intensity, np.minimum(peak, bandwidth * intensity) / 1e9, color=BLUE, linewidth=2)
axes.axvline(peak / bandwidth, color=GREY, linestyle=":", linewidth=1)
for name, (at, color, marker) in points.items():
    reach = min(peak, bandwidth * at) / 1e9
    axes.loglog(at, reach, marker, color=color, markersize=8)
    below = color == RED or at > peak / bandwidth
    axes.annotate(name, (at, reach), xytext=(8, -12) if below else (-6, 8), textcoords="offset points", size=9,
                  ha="left" if below else "right")
axes.text(peak / bandwidth * 1.15, 7, f"{peak / bandwidth:.0f} operations for each byte", color=GREY)
axes.text(0.2, 2e4, "waits for memory", color=GREY, ha="center")
axes.text(150, 2e4, "waits for arithmetic", color=GREY, ha="center")
axes.set(xlabel="operations for each byte moved", ylabel="billion operations\na second, at most", ylim=(5, 4e4))
axes.spines[["top", "right"]].set_visible(False)
plt.show()
for name, (at, *_) in points.items():
    print(f"{name:22} {at:7.2f} operations a byte, at most {min(1, bandwidth * at / peak):6.1%} of the peak")
assert points["combine"][0] < peak / bandwidth < points["expert, 512 rows"][0]

# %% [markdown]
# Combine can never use more than a small part of the arithmetic, however well it is written. The way to make it
# faster is to move fewer bytes, and that is what one kernel in place of three does. An expert with one row wastes
# nearly everything on reading its weights; with some hundred rows the same reading serves all of them. This is
# why all rows of one expert are collected before it works.
#
# A bound for the time follows; with a GPU, the cell also measures it.

# %%
print(f"on a T4, combine of this size takes at least {one_kernel / bandwidth * 1e6:.0f} millionths of a second")
if BACKEND == "cupy":
    large = np.random.default_rng(0)
    arrays = [xp.asarray(a) for a in (large.standard_normal((assigned, columns)).astype(np.float32),
                                      large.random(assigned).astype(np.float32),
                                      large.permutation(assigned).astype(np.int32),
                                      np.arange(0, assigned + 1, experts_each, dtype=np.int32))]
    combine_rows = kernels.of(arrays[0]).combine_rows
    combine_rows(*arrays)                                             # once before, so that it is compiled
    xp.cuda.Device().synchronize()
    begin = time.perf_counter()
    for _ in range(50):
        combine_rows(*arrays)
    xp.cuda.Device().synchronize()                                    # a launch returns at once: wait for the work
    seconds = (time.perf_counter() - begin) / 50
    print(f"here: {seconds * 1e6:.0f} millionths, {one_kernel / seconds / 1e9:.0f} billion bytes a second")
else:
    print("no GPU here: nothing to measure")

# %% [markdown]
# ## What to take away
#
# - A kernel is the inside of a loop. Each thread finds its work from `blockIdx`, `blockDim` and `threadIdx`, and
#   threads without work leave.
# - C checks nothing. An access outside an array or a missing barrier may give the right number today, so do not
#   judge a kernel by its results alone: let a checker watch it, and run it in several orders.
# - Shared memory and `__syncthreads()` let the threads of a block work together. All of them must reach the
#   barrier.
# - Atomic additions of floating-point numbers depend on the order of threads. Let each sum have an order of its
#   own.
# - Most kernels around the experts wait for memory: let neighbouring threads read neighbouring numbers, and do in
#   one kernel what would otherwise go through memory several times.
#
# What the simulator cannot tell: how fast a kernel is, how many registers it needs, and what a GPU's weaker rules
# about the order of memory do to kernels that communicate without barriers. The README says what of the library
# has been run on a GPU so far.
#
# **Read on.** `minimoe/kernels/rows.cu` has the way back of combine, where a warp adds without shared memory
# (`__shfl_xor_sync`). `minimoe/kernels/grouped.cu` multiplies the rows of all experts, tile by tile, in shared
# memory. `minimoe/cudasim` is the simulator. Combine: equation 2 of the Switch Transformer ([arXiv
# 2101.03961](https://arxiv.org/abs/2101.03961)). NVIDIA, *CUDA C++ Programming Guide*, sections "Thread
# Hierarchy" and "Synchronization Functions", and *CUDA C++ Best Practices Guide*, "Coalesced Access to Global
# Memory". The roofline: S. Williams, A. Waterman and D. Patterson, *Roofline: an insightful visual performance
# model for multicore architectures*, 2009. Rounding: D. Goldberg, *What every computer scientist should know
# about floating-point arithmetic*, 1991. Expert layers on a GPU: T. Gale and others, *MegaBlocks* ([arXiv
# 2211.15841](https://arxiv.org/abs/2211.15841)).
#
# **Next.** Lesson 7.
