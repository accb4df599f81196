# %% sigmoid_backward: the slope without the upstream gradient
# says: multiply it by the upstream gradient gy
def sigmoid_backward(gy, y):
    return y * (1 - y)

# %% sigmoid_backward: half of the slope
# says: the factor (1 - y) of the slope is missing
def sigmoid_backward(gy, y):
    return gy * y

# %% sigmoid_backward: the slope of tanh
# says: this is the backward of tanh
def sigmoid_backward(gy, y):
    return gy * (1 - y**2)

# %% sigmoid_backward: no return
# says: end it with return
def sigmoid_backward(gy, y):
    gx = gy * y * (1 - y)

# %% sigmoid_backward: the slope written for x, with y in its place
# says: the sigmoid was taken once more
def sigmoid_backward(gy, y):
    s = 1 / (1 + np.exp(-y))
    return gy * s * (1 - s)

# %% add_bias_backward: no sum
# says: sum the rows, because b was copied
def add_bias_backward(gy, x, b):
    return gy, gy

# %% add_bias_backward: a sum over everything
# says: sum over the rows only, axis=0
def add_bias_backward(gy, x, b):
    return gy, gy.sum()

# %% add_bias_backward: a sum over the wrong axis
# says: gb has shape (5,); it must have the shape of b
def add_bias_backward(gy, x, b):
    return gy, gy.sum(axis=1)

# %% add_bias_backward: an axis too many
# says: keep no axis of length 1
def add_bias_backward(gy, x, b):
    return gy, gy.sum(axis=0, keepdims=True)

# %% add_bias_backward: the mean
# says: their gradients add up: use the sum
def add_bias_backward(gy, x, b):
    return gy, gy.mean(axis=0)

# %% add_bias_backward: only one gradient
# says: return two gradients
def add_bias_backward(gy, x, b):
    return gy.sum(axis=0)

# %% add_bias_backward: gradients times values
# says: x moves y one to one
def add_bias_backward(gy, x, b):
    return gy * x, gy.sum(axis=0)

# %% walk_tape: from the first step to the last
# says: start at the last step
def walk_tape(tape, gradients):
    for output, inputs, backward in tape:
        for name, g in zip(inputs, backward(gradients[output])):
            gradients[name] = gradients.get(name, 0.0) + g
    return gradients

# %% walk_tape: adds to what is not there yet
# says: has no gradient yet when its first part arrives
def walk_tape(tape, gradients):
    for output, inputs, backward in reversed(tape):
        for name, g in zip(inputs, backward(gradients[output])):
            gradients[name] += g
    return gradients

# %% walk_tape: overwrites
# says: kept only the gradient that came last: add the new one
def walk_tape(tape, gradients):
    for output, inputs, backward in reversed(tape):
        for name, g in zip(inputs, backward(gradients[output])):
            gradients[name] = g
    return gradients

# %% walk_tape: keeps the first
# says: kept only the gradient that came first: add the new one
def walk_tape(tape, gradients):
    for output, inputs, backward in reversed(tape):
        for name, g in zip(inputs, backward(gradients[output])):
            gradients.setdefault(name, g)
    return gradients

# %% walk_tape: upstream gradient of one at every step
# says: the product of the two slopes
def walk_tape(tape, gradients):
    for output, inputs, backward in reversed(tape):
        for name, g in zip(inputs, backward(1.0)):
            gradients[name] = gradients.get(name, 0.0) + g
    return gradients

# %% walk_tape: only the first input of a step
# says: the gradient of h is not the sum
def walk_tape(tape, gradients):
    for output, inputs, backward in reversed(tape):
        name = inputs[0]
        gradients[name] = gradients.get(name, 0.0) + backward(gradients.get(output, 1.0))[0]
    return gradients

# %% numeric_gradient: forward difference
# says: this is the forward difference
def numeric_gradient(f, x, step=1e-5):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up = x.copy()
        up[index] += step
        gradient[index] = (f(up) - f(x)) / step
    return gradient

# %% numeric_gradient: divided by one step
# says: twice too large
def numeric_gradient(f, x, step=1e-5):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (f(up) - f(down)) / step
    return gradient

# %% numeric_gradient: elements stay nudged
# says: put every element back
def numeric_gradient(f, x, step=1e-5):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        x[index] += step
        above = f(x)
        x[index] -= 2 * step
        gradient[index] = (above - f(x)) / (2 * step)
    return gradient

# %% numeric_gradient: all elements at once
# says: nudge one element at a time
def numeric_gradient(f, x, step=1e-5):
    return np.full(x.shape, (f(x + step) - f(x - step)) / (2 * step))

# %% numeric_gradient: both nudges in one array
# says: in two different copies of x
def numeric_gradient(f, x, step=1e-5):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        up = down = x
        up[index] += step
        down[index] -= step
        gradient[index] = (f(up) - f(down)) / (2 * step)
    return gradient

# %% numeric_gradient: the slopes go nowhere
# says: write each slope into gradient[index]
def numeric_gradient(f, x, step=1e-5):
    gradient = np.zeros(x.shape)
    for index in np.ndindex(x.shape):
        nudge = np.zeros(x.shape)
        nudge[index] = step
        slope = (f(x + nudge) - f(x - nudge)) / (2 * step)
    return gradient
