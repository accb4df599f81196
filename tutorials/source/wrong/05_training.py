# %% adam_step: no bias correction
# says: the bias correction is missing
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return theta - lr * m / (np.sqrt(v) + eps), m, v

# %% adam_step: the hats are kept
# says: keep the plain average for the next step
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = (beta1 * m + (1 - beta1) * g) / (1 - beta1**t)
    v = (beta2 * v + (1 - beta2) * g**2) / (1 - beta2**t)
    return theta - lr * m / (np.sqrt(v) + eps), m, v

# %% adam_step: no root
# says: the root is missing
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return theta - lr * (m / (1 - beta1**t)) / (v / (1 - beta2**t) + eps), m, v

# %% adam_step: v averages the gradient
# says: use g**2
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g
    return theta - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v

# %% adam_step: eps under the root
# says: eps stands under the root
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return theta - lr * (m / (1 - beta1**t)) / np.sqrt(v / (1 - beta2**t) + eps), m, v

# %% adam_step: in place
# says: an array that was given has changed
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m *= beta1
    m += (1 - beta1) * g
    v *= beta2
    v += (1 - beta2) * g**2
    return theta - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v

# %% adam_step: uphill
# says: the step goes uphill
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return theta + lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps), m, v

# %% adam_step: only theta
# says: return three arrays
def adam_step(theta, g, m, v, t, lr=1e-3, beta1=0.9, beta2=0.999, eps=1e-8):
    m = beta1 * m + (1 - beta1) * g
    v = beta2 * v + (1 - beta2) * g**2
    return theta - lr * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + eps)

# %% learning_rate: counts from 0
# says: step 1 has rate 0
def learning_rate(t, peak, warmup, total):
    if t <= warmup:
        return peak * (t - 1) / warmup
    return peak * max(0.0, (total - t) / (total - warmup))

# %% learning_rate: falls from step 0
# says: the way down is measured from step 0
def learning_rate(t, peak, warmup, total):
    if t <= warmup:
        return peak * t / warmup
    return peak * max(0.0, (total - t) / total)

# %% learning_rate: stays at the top
# says: the rate stays at peak
def learning_rate(t, peak, warmup, total):
    return peak * min(1.0, t / warmup)

# %% learning_rate: below zero
# says: after `total` the rate is negative
def learning_rate(t, peak, warmup, total):
    if t <= warmup:
        return peak * t / warmup
    return peak * (total - t) / (total - warmup)

# %% learning_rate: a factor, not a rate
# says: multiply by peak
def learning_rate(t, peak, warmup, total):
    if t <= warmup:
        return t / warmup
    return max(0.0, (total - t) / (total - warmup))

# %% learning_rate: divides by a warm-up of 0
# says: divide by warmup only while t <= warmup
def learning_rate(t, peak, warmup, total):
    return peak * max(0.0, min(t / warmup, (total - t) / (total - warmup)))

# %% learning_rate: nothing after the warm-up
# says: end every branch with return
def learning_rate(t, peak, warmup, total):
    if t <= warmup:
        return peak * t / warmup

# %% clip_gradients: a norm for each array
# says: each array was scaled by its own norm
def clip_gradients(gradients, max_norm):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return norm, [g * min(1.0, max_norm / np.sqrt((g**2).sum())) for g in gradients]

# %% clip_gradients: sum of norms
# says: you added the norms of the arrays
def clip_gradients(gradients, max_norm):
    norm = sum(np.linalg.norm(g) for g in gradients)
    scale = min(1.0, max_norm / norm)
    return norm, [g * scale for g in gradients]

# %% clip_gradients: no root
# says: the root is missing
def clip_gradients(gradients, max_norm):
    norm = sum((g**2).sum() for g in gradients)
    scale = min(1.0, max_norm / norm)
    return norm, [g * scale for g in gradients]

# %% clip_gradients: element by element
# says: single elements were cut off
def clip_gradients(gradients, max_norm):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return norm, [np.clip(g, -max_norm, max_norm) for g in gradients]

# %% clip_gradients: small gradients grow
# says: gradients below the bound were changed
def clip_gradients(gradients, max_norm):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return norm, [g * max_norm / norm for g in gradients]

# %% clip_gradients: in place
# says: the given arrays have changed
def clip_gradients(gradients, max_norm):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    for g in gradients:
        g *= min(1.0, max_norm / norm)
    return norm, gradients

# %% clip_gradients: only the norm
# says: nothing was clipped
def clip_gradients(gradients, max_norm):
    norm = np.sqrt(sum((g**2).sum() for g in gradients))
    return norm, [g.copy() for g in gradients]

# %% balance_loss: no factor E
# says: the factor E is missing
def balance_loss(counts, probabilities, mask, weight=0.01):
    f = counts / counts.sum()
    return weight * (f * probabilities[mask].mean(axis=0)).sum()

# %% balance_loss: divided by the tokens
# says: with several experts per token divide by counts.sum()
def balance_loss(counts, probabilities, mask, weight=0.01):
    f = counts / mask.sum()
    return weight * len(counts) * (f * probabilities[mask].mean(axis=0)).sum()

# %% balance_loss: padding counts
# says: padding counts in your mean probability
def balance_loss(counts, probabilities, mask, weight=0.01):
    f = counts / counts.sum()
    return weight * len(counts) * (f * probabilities.mean(axis=0)).sum()

# %% balance_loss: no weight
# says: the weight is missing
def balance_loss(counts, probabilities, mask, weight=0.01):
    f = counts / counts.sum()
    return len(counts) * (f * probabilities[mask].mean(axis=0)).sum()

# %% balance_loss: f twice
# says: f times f has no gradient
def balance_loss(counts, probabilities, mask, weight=0.01):
    f = counts / counts.sum()
    return weight * len(counts) * (f * f).sum()

# %% balance_loss: plain counts
# says: the counts are not shares yet
def balance_loss(counts, probabilities, mask, weight=0.01):
    return weight * len(counts) * (counts * probabilities[mask].mean(axis=0)).sum()

# %% balance_loss: one number per expert
# says: sum over the experts to get one number
def balance_loss(counts, probabilities, mask, weight=0.01):
    f = counts / counts.sum()
    return weight * len(counts) * f * probabilities[mask].mean(axis=0)

# %% balance_loss: padding left out of the sum only
# says: but the division counts it
def balance_loss(counts, probabilities, mask, weight=0.01):
    mean = (probabilities * mask[:, None]).mean(axis=0)
    return weight * counts.size * (counts / counts.sum() * mean).sum()

# %% balance_loss: a sum in place of a mean
# says: P is their mean over real tokens
def balance_loss(counts, probabilities, mask, weight=0.01):
    return weight * counts.size * (counts / counts.sum() * probabilities[mask].sum(axis=0)).sum()
