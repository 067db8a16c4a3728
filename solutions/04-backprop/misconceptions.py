"""Wrong and unusual solutions of unit 04, each with the hint that its author needs."""

import numpy as np

from grader.misconceptions import alternative, misconception

# ---- numerical_gradient ---------------------------------------------------------------------


@misconception(
    "numerical_gradient",
    "Work out x**3 at 1 with h = 0.5 by hand, as the text does. How many sides does a central "
    "difference have?",
    name="one_sided",
)
def numerical_gradient(f, x, dy=None, h=1e-5):
    """A forward difference."""
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        kept = x[place]
        below = np.array(f(x), dtype=float)
        x[place] = kept + h
        above = np.array(f(x), dtype=float)
        x[place] = kept
        dx[place] = np.sum((above - below) / h * (1 if dy is None else dy))
    return dx


@misconception(
    "numerical_gradient",
    "How far apart are x + h and x - h? Divide by that.",
    name="divides_by_h",
)
def numerical_gradient(f, x, dy=None, h=1e-5):
    """The two points are 2 h apart, but the difference is divided by h."""
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + h
        above = np.array(f(x), dtype=float)
        x[place] = kept - h
        below = np.array(f(x), dtype=float)
        x[place] = kept
        dx[place] = np.sum((above - below) / h * (1 if dy is None else dy))
    return dx


@misconception(
    "numerical_gradient",
    "Print x before and after. In floating point (x + h) - h need not be x: keep the old number.",
    name="adds_and_subtracts",
    fails=["numerical_gradient-memory"],
)
def numerical_gradient(f, x, dy=None, h=1e-5):
    """x is brought back by adding h, which rounds."""
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        x[place] += h
        above = np.array(f(x), dtype=float)
        x[place] -= 2 * h
        below = np.array(f(x), dtype=float)
        x[place] += h
        dx[place] = np.sum((above - below) / (2 * h) * (1 if dy is None else dy))
    return dx


@misconception(
    "numerical_gradient",
    "Try f = lambda v: v. What you keep as f(x + h) is x itself, and changes when you turn x again.",
    name="keeps_no_copy",
    fails=["numerical_gradient-memory"],
)
def numerical_gradient(f, x, dy=None, h=1e-5):
    """The result of f may be x itself, and is not copied."""
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + h
        above = f(x)
        x[place] = kept - h
        below = f(x)
        x[place] = kept
        dx[place] = np.sum((np.asarray(above) - below) / (2 * h) * (1 if dy is None else dy))
    return dx


@misconception(
    "numerical_gradient",
    "Where is dy in your sum? The outputs do not all count alike.",
    name="ignores_dy",
    fails=["numerical_gradient-upstream", "numerical_gradient-memory"],
)
def numerical_gradient(f, x, dy=None, h=1e-5):
    """All outputs count 1."""
    dx = np.zeros(x.shape)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + h
        above = np.array(f(x), dtype=float)
        x[place] = kept - h
        below = np.array(f(x), dtype=float)
        x[place] = kept
        dx[place] = np.sum((above - below) / (2 * h))
    return dx


@misconception(
    "numerical_gradient",
    "Give it a transposed array. Does f ever see the number that you turned? What does reshape(-1) "
    "(or ravel) return for an array that is not contiguous?",
    name="turns_a_copy",
    fails=["numerical_gradient-memory"],
)
def numerical_gradient(f, x, dy=None, h=1e-5):
    """ravel() of a view is a copy, so f never sees a change."""
    flat, dx = x.ravel(), np.zeros(x.size)
    for k in range(x.size):
        kept = flat[k]
        flat[k] = kept + h
        above = np.array(f(x), dtype=float)
        flat[k] = kept - h
        below = np.array(f(x), dtype=float)
        flat[k] = kept
        dx[k] = np.sum((above - below) / (2 * h) * (1 if dy is None else dy))
    return dx.reshape(x.shape)


@misconception(
    "numerical_gradient",
    "Each element has a slope of its own. You turn all of them at once.",
    name="turns_all_at_once",
)
def numerical_gradient(f, x, dy=None, h=1e-5):
    """All elements are turned together."""
    slope = (np.array(f(x + h), dtype=float) - np.array(f(x - h), dtype=float)) / (2 * h)
    return np.sum(slope * (1 if dy is None else dy)) * np.ones(x.shape)


@alternative("numerical_gradient", name="copies_of_x")
def numerical_gradient(f, x, dy=None, h=1e-5):
    """f gets copies, x is never touched."""
    dx = np.zeros_like(x)
    for place in np.ndindex(*x.shape):
        up, down = x.copy(), x.copy()
        up[place] += h
        down[place] -= h
        change = np.asarray(f(up)) - np.asarray(f(down))
        dx[place] = (change * (1.0 if dy is None else dy)).sum() / (2 * h)
    return dx


@alternative("numerical_gradient", name="nditer")
def numerical_gradient(f, x, dy=None, h=1e-5):
    """The way of CS231n, with sums in place of arrays."""
    grad = np.zeros_like(x)
    it = np.nditer(x, flags=["multi_index", "zerosize_ok"], op_flags=[["readwrite"]])
    while not it.finished:
        ix = it.multi_index
        oldval = x[ix]
        x[ix] = oldval + h
        pos = np.copy(f(x))
        x[ix] = oldval - h
        neg = np.copy(f(x))
        x[ix] = oldval
        grad[ix] = np.sum((pos - neg) * (np.ones_like(pos) if dy is None else dy)) / (2 * h)
        it.iternext()
    return grad


# ---- activations ----------------------------------------------------------------------------


@misconception(
    "sigmoid_backward",
    "The slope at 0 is 1/4. Which x does your function need to give that: the input of the "
    "sigmoid, or its output?",
    name="takes_the_output",
)
def sigmoid_backward(dy, x):
    """x is taken for the sigmoid's output."""
    return dy * x * (1 - x)


@misconception(
    "sigmoid_backward",
    "You return the local slope. What came from above, and where does it go in?",
    name="forgets_dy",
)
def sigmoid_backward(dy, x):
    """The local gradient alone."""
    p = (1 + np.tanh(x / 2)) / 2
    return p * (1 - p)


@misconception(
    "sigmoid_backward",
    "Try x = -1000. What is exp(1000) in the machine, and what is infinity divided by infinity?",
    name="overflows",
)
def sigmoid_backward(dy, x):
    """exp(-x) is infinite for x = -1000."""
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(-np.asarray(x, dtype=float))
        return dy * e / (1 + e) ** 2


@misconception(
    "sigmoid_backward",
    "A gradient has no forward value in it: check your formula at 0, where the slope is 1/4.",
    name="forgets_a_factor",
)
def sigmoid_backward(dy, x):
    """p instead of p (1 - p)."""
    return dy * (1 + np.tanh(x / 2)) / 2


@alternative("sigmoid_backward", name="clipped_exp")
def sigmoid_backward(dy, x):
    """exp of clipped numbers."""
    p = 1 / (1 + np.exp(-np.clip(x, -500, 500)))
    return p * (1 - p) * dy


@alternative("sigmoid_backward", name="masks")
def sigmoid_backward(dy, x):
    """exp of negative numbers only, float64; warns."""
    import warnings

    warnings.warn("slow", stacklevel=1)
    e = np.exp(-np.abs(np.asarray(x, dtype=np.float64)))
    return dy * (e / (1 + e) ** 2)


@misconception(
    "tanh_backward",
    "1 - x**2 is the slope if x is the output. Here x is what went in.",
    name="takes_the_output",
)
def tanh_backward(dy, x):
    """x is taken for the output."""
    return dy * (1 - x**2)


@misconception(
    "tanh_backward",
    "Something is missing a square: at ln 2 the output is 3/5 and the slope 16/25.",
    name="forgets_the_square",
)
def tanh_backward(dy, x):
    """1 - tanh."""
    return dy * (1 - np.tanh(x))


@misconception(
    "tanh_backward",
    "You return the local slope. What came from above, and where does it go in?",
    name="forgets_dy",
)
def tanh_backward(dy, x):
    """The local gradient alone."""
    return 1 - np.tanh(x) ** 2


@misconception(
    "tanh_backward",
    "cosh(1000) is infinite, which is fine below a 1. What are sinh/cosh and exp/exp out there?",
    name="overflows",
)
def tanh_backward(dy, x):
    """Exponentials of both signs."""
    with np.errstate(over="ignore", invalid="ignore"):
        up, down = np.exp(np.asarray(x, dtype=float)), np.exp(-np.asarray(x, dtype=float))
        return dy * (1 - ((up - down) / (up + down)) ** 2)


@alternative("tanh_backward", name="two_factors")
def tanh_backward(dy, x):
    """(1 - t)(1 + t)."""
    t = np.tanh(np.asarray(x, dtype=float))
    return (1 - t) * (1 + t) * dy


@misconception(
    "relu_backward",
    "Whose sign decides who passes: that of x or that of dy? A negative gradient may pass.",
    name="sign_of_dy",
)
def relu_backward(dy, x):
    """relu of dy."""
    return np.maximum(dy, 0)


@misconception(
    "relu_backward",
    "Read the docstring for x = 0.",
    name="passes_at_zero",
)
def relu_backward(dy, x):
    """Slope 1 at 0."""
    return np.where(x >= 0, dy, 0)


@misconception(
    "relu_backward",
    "You return the local slope. What came from above, and where does it go in?",
    name="forgets_dy",
)
def relu_backward(dy, x):
    """The mask alone."""
    return (x > 0).astype(float)


@misconception(
    "relu_backward",
    "Backward is not forward: what is multiplied by dy is the slope, 0 or 1, not the value.",
    name="multiplies_by_relu",
)
def relu_backward(dy, x):
    """dy times relu(x)."""
    return dy * np.maximum(x, 0)


@misconception(
    "relu_backward",
    "Look at dy after the call: it is the caller's array.",
    name="writes_into_dy",
)
def relu_backward(dy, x):
    """dy is changed in place."""
    dy[x <= 0] = 0
    return dy


@alternative("relu_backward", name="mask")
def relu_backward(dy, x):
    """dy times a mask."""
    return dy * (x > 0)


@alternative("relu_backward", name="copy_and_zero")
def relu_backward(dy, x):
    """A copy of dy with zeros put in."""
    dx = np.array(dy, copy=True)
    dx[x <= 0] = 0
    return dx


@misconception(
    "leaky_relu_backward",
    "What passes on the left is small, and it still comes from above: where is dy there?",
    name="slope_without_dy",
)
def leaky_relu_backward(dy, x, negative_slope=0.01):
    """On the left the slope alone."""
    return np.where(x > 0, dy, negative_slope)


@misconception(
    "leaky_relu_backward",
    "This is the backward of an ordinary ReLU. What leaks on the left?",
    name="does_not_leak",
)
def leaky_relu_backward(dy, x, negative_slope=0.01):
    """The slope on the left is 0."""
    return dy * (x > 0)


@misconception(
    "leaky_relu_backward",
    "The output on the left is negative_slope * x. Its slope does not contain x.",
    name="keeps_x",
)
def leaky_relu_backward(dy, x, negative_slope=0.01):
    """The forward value on the left."""
    return np.where(x > 0, dy, negative_slope * x * dy)


@misconception(
    "leaky_relu_backward",
    "Call it with another negative_slope than the default.",
    name="always_a_hundredth",
)
def leaky_relu_backward(dy, x, negative_slope=0.01):
    """negative_slope is ignored."""
    return np.where(x > 0, dy, 0.01 * dy)


@misconception(
    "leaky_relu_backward",
    "Read the docstring for x = 0.",
    name="passes_at_zero",
)
def leaky_relu_backward(dy, x, negative_slope=0.01):
    """Slope 1 at 0."""
    return np.where(x >= 0, dy, negative_slope * dy)


@alternative("leaky_relu_backward", name="slopes")
def leaky_relu_backward(dy, x, negative_slope=0.01):
    """dy times an array of slopes."""
    slopes = np.ones(x.shape)
    slopes[x <= 0] = negative_slope
    return slopes * dy


@misconception(
    "swish_backward",
    "A product has two terms in its derivative. You have the first one.",
    name="first_term_only",
)
def swish_backward(dy, x, beta=1.0):
    """sigmoid(beta x) alone."""
    return dy * (1 + np.tanh(beta * x / 2)) / 2


@misconception(
    "swish_backward",
    "The sigmoid's inside is beta * x. What does the chain rule take out of it? Try beta = 2.",
    name="forgets_inner_beta",
)
def swish_backward(dy, x, beta=1.0):
    """The inner derivative is missing."""
    p = (1 + np.tanh(beta * x / 2)) / 2
    return dy * (p + x * p * (1 - p))


@misconception(
    "swish_backward",
    "Call it with another beta than the default.",
    name="ignores_beta",
)
def swish_backward(dy, x, beta=1.0):
    """beta is always 1."""
    p = (1 + np.tanh(x / 2)) / 2
    return dy * (p + x * p * (1 - p))


@misconception(
    "swish_backward",
    "Try x = -1000. What is exp(1000) in the machine, and what is infinity divided by infinity?",
    name="overflows",
)
def swish_backward(dy, x, beta=1.0):
    """exp(-beta x) is infinite far to the left."""
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(-beta * np.asarray(x, dtype=float))
        return dy * (1 / (1 + e) + beta * x * e / (1 + e) ** 2)


@alternative("swish_backward", name="from_the_paper")
def swish_backward(dy, x, beta=1.0):
    """beta swish + sigmoid (1 - beta swish), as in the paper."""
    p = 1 / (1 + np.exp(-np.clip(beta * np.asarray(x, dtype=float), -500, 500)))
    swish = x * p
    return dy * (beta * swish + p * (1 - beta * swish))


# ---- dense_backward -------------------------------------------------------------------------


@misconception(
    "dense_backward",
    "You divide by the number of pictures. The mean of the loss is in dy already; here gradients add up.",
    name="means_over_batch",
    fails=["dense_backward-dw", "dense_backward-db", "dense_backward-together"],
)
def dense_backward(dy, x, w):
    """dw and db are means over the batch."""
    return dy @ w.T, x.T @ dy / len(x), dy.mean(axis=0)


@misconception(
    "dense_backward",
    "In which order does the contract want the three?",
    name="other_order",
    fails=["dense_backward-dw", "dense_backward-dx", "dense_backward-together"],
)
def dense_backward(dy, x, w):
    """dw, dx, db."""
    return x.T @ dy, dy @ w.T, dy.sum(axis=0)


@misconception(
    "dense_backward",
    "Test with three different sizes. Which transpose makes the shapes of dw fit those of w?",
    name="transposed_dw",
    fails=["dense_backward-dw", "dense_backward-together"],
)
def dense_backward(dy, x, w):
    """dw has the shape of w.T, as in a library that stores it so."""
    return dy @ w.T, dy.T @ x, dy.sum(axis=0)


@misconception(
    "dense_backward",
    "Each bias is used in every picture. How many numbers has b, and how many has your db?",
    name="db_is_dy",
    fails=["dense_backward-db", "dense_backward-together"],
)
def dense_backward(dy, x, w):
    """db is not summed over the batch."""
    return dy @ w.T, x.T @ dy, dy


@misconception(
    "dense_backward",
    "Over which axis do you add up db? Which of the two axes of dy are the pictures?",
    name="db_over_outputs",
    fails=["dense_backward-db", "dense_backward-together"],
)
def dense_backward(dy, x, w):
    """db is summed over the outputs."""
    return dy @ w.T, x.T @ dy, dy.sum(axis=1)


@misconception(
    "dense_backward",
    "Your db has one axis too many: b has shape (D_out,).",
    name="db_keeps_axis",
    fails=["dense_backward-db", "dense_backward-together"],
)
def dense_backward(dy, x, w):
    """db (1, D_out)."""
    return dy @ w.T, x.T @ dy, dy.sum(axis=0, keepdims=True)


@alternative("dense_backward", name="loops")
def dense_backward(dy, x, w):
    """Picture by picture."""
    dx, dw, db = np.zeros(x.shape), np.zeros(w.shape), np.zeros(w.shape[1])
    for n in range(len(x)):
        for k in range(w.shape[1]):
            dx[n] += dy[n, k] * w[:, k]
            dw[:, k] += dy[n, k] * x[n]
            db[k] += dy[n, k]
    return dx, dw, db


@alternative("dense_backward", name="einsum")
def dense_backward(dy, x, w):
    """Letters."""
    dw = np.einsum("nj,nk->jk", x, dy)
    return np.einsum("nk,jk->nj", dy, w), dw, np.einsum("nk->k", dy)


# ---- cross_entropy_backward -----------------------------------------------------------------


@misconception(
    "cross_entropy_backward",
    "The loss is a mean over the pictures. Where is N?",
    name="forgets_mean",
)
def cross_entropy_backward(dy, x, y):
    """Not divided by N."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return dy * (p - (np.eye(x.shape[1])[y] if np.ndim(y) == 1 else y))


@misconception(
    "cross_entropy_backward",
    "exp(1000) is infinite. What did your softmax of unit 01 do first?",
    name="overflows",
    fails=["cross_entropy_backward-scale"],
)
def cross_entropy_backward(dy, x, y):
    """No maximum is subtracted."""
    with np.errstate(over="ignore", invalid="ignore"):
        e = np.exp(np.asarray(x, dtype=float))
        p = e / e.sum(axis=1, keepdims=True)
    return dy * (p - (np.eye(x.shape[1])[y] if np.ndim(y) == 1 else y)) / len(x)


@misconception(
    "cross_entropy_backward",
    "dy is an argument. Where is it in your result?",
    name="forgets_dy",
    fails=["cross_entropy_backward-scale"],
)
def cross_entropy_backward(dy, x, y):
    """dy is ignored."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return (p - (np.eye(x.shape[1])[y] if np.ndim(y) == 1 else y)) / len(x)


@misconception(
    "cross_entropy_backward",
    "What you said, minus what was true: look at the sign. A step against this gradient makes the "
    "true class less likely.",
    name="other_sign",
)
def cross_entropy_backward(dy, x, y):
    """truth minus p."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return dy * ((np.eye(x.shape[1])[y] if np.ndim(y) == 1 else y) - p) / len(x)


@misconception(
    "cross_entropy_backward",
    "x holds logits. Where is the softmax?",
    name="takes_probabilities",
)
def cross_entropy_backward(dy, x, y):
    """The gradient for probabilities: -1/p at the true class."""
    truth = np.eye(x.shape[1])[y] if np.ndim(y) == 1 else y
    with np.errstate(divide="ignore", invalid="ignore"):
        return -dy * np.where(truth > 0, truth / np.asarray(x, dtype=float), 0) / len(x)


@misconception(
    "cross_entropy_backward",
    "Try one-hot rows. Used as an index, they pick classes 0 and 1. How many axes has y?",
    name="labels_only",
    fails=["cross_entropy_backward-one_hot"],
)
def cross_entropy_backward(dy, x, y):
    """One-hot rows are not understood."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    dx = e / e.sum(axis=1, keepdims=True)
    dx[np.arange(len(x)), y.astype(int).ravel()[: len(x)]] -= 1
    return dy * dx / len(x)


@misconception(
    "cross_entropy_backward",
    "The mean is over the N pictures, not over all N * K numbers.",
    name="mean_over_all",
)
def cross_entropy_backward(dy, x, y):
    """Divided by N * K."""
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    return dy * (p - (np.eye(x.shape[1])[y] if np.ndim(y) == 1 else y)) / x.size


@alternative("cross_entropy_backward", name="subtract_one")
def cross_entropy_backward(dy, x, y):
    """One is subtracted at the true class; one-hot rows become labels."""
    labels = np.argmax(y, axis=1) if np.ndim(y) == 2 else np.asarray(y).astype(int)
    z = np.array(x, dtype=float)
    z -= z.max(axis=1, keepdims=True)
    dx = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    dx[range(len(labels)), labels] -= 1.0
    return dx * (dy / len(labels))


@alternative("cross_entropy_backward", name="row_by_row")
def cross_entropy_backward(dy, x, y):
    """Loops over pictures and classes."""
    N, K = x.shape
    dx = np.zeros((N, K))
    for n in range(N):
        top = max(float(v) for v in x[n])
        total = sum(np.exp(float(v) - top) for v in x[n])
        for k in range(K):
            truth = float(y[n, k]) if y.ndim == 2 else float(int(y[n]) == k)
            dx[n, k] = dy * (np.exp(float(x[n, k]) - top) / total - truth) / N
    return dx


# ---- conv_matrix ----------------------------------------------------------------------------


@misconception(
    "conv_matrix",
    "One row per output. Lecture notes often print the transposed matrix: look whose rows yours are.",
    name="transposed",
)
def conv_matrix(w, input_shape):
    """One column per output."""
    if w.ndim == 2:
        w, input_shape = w[None, None], (1, *input_shape)
    C_out, C_in, kH, kW = w.shape
    _, H, W = input_shape
    matrix = np.zeros((C_out, H - kH + 1, W - kW + 1, C_in, H, W))
    for i in range(H - kH + 1):
        for j in range(W - kW + 1):
            matrix[:, i, j, :, i : i + kH, j : j + kW] = w
    return matrix.reshape(-1, C_in * H * W).T


@misconception(
    "conv_matrix",
    "Multiply your matrix with a picture that holds a single 1. You get the kernel turned by 180 "
    "degrees the wrong way round: this course's convolution does not flip.",
    name="flips",
)
def conv_matrix(w, input_shape):
    """The kernel is flipped."""
    w = w[..., ::-1, ::-1]
    if w.ndim == 2:
        w, input_shape = w[None, None], (1, *input_shape)
    C_out, C_in, kH, kW = w.shape
    _, H, W = input_shape
    matrix = np.zeros((C_out, H - kH + 1, W - kW + 1, C_in, H, W))
    for i in range(H - kH + 1):
        for j in range(W - kW + 1):
            matrix[:, i, j, :, i : i + kH, j : j + kW] = w
    return matrix.reshape(-1, C_in * H * W)


@misconception(
    "conv_matrix",
    "Your matrix is right for square pictures. How far is it from one picture row to the next in a "
    "flattened picture of H x W: H or W?",
    name="steps_by_height",
)
def conv_matrix(w, input_shape):
    """Pixel (i, j) is looked for at i * H + j."""
    if w.ndim == 2:
        w, input_shape = w[None, None], (1, *input_shape)
    C_out, C_in, kH, kW = w.shape
    _, H, W = input_shape
    H_out, W_out = H - kH + 1, W - kW + 1
    matrix = np.zeros((C_out * H_out * W_out, C_in * H * W))
    for f, i, j, c, a, b in np.ndindex(C_out, H_out, W_out, C_in, kH, kW):
        pixel = c * H * W + (i + a) * H + j + b
        matrix[(f * H_out + i) * W_out + j, pixel % (C_in * H * W)] = w[f, c, a, b]
    return matrix


@misconception(
    "conv_matrix",
    "The result is (C_out, H_out, W_out), flattened as it is: all places of filter 0 come first.",
    name="filters_last",
    fails=["conv_matrix-channels"],
)
def conv_matrix(w, input_shape):
    """Rows are sorted by place, then by filter."""
    if w.ndim == 2:
        w, input_shape = w[None, None], (1, *input_shape)
    C_out, C_in, kH, kW = w.shape
    _, H, W = input_shape
    matrix = np.zeros((H - kH + 1, W - kW + 1, C_out, C_in, H, W))
    for i in range(H - kH + 1):
        for j in range(W - kW + 1):
            matrix[i, j, :, :, i : i + kH, j : j + kW] = w
    return matrix.reshape(-1, C_in * H * W)


@misconception(
    "conv_matrix",
    "How many windows fit? Count the rows of the example in the text.",
    name="one_window_short",
)
def conv_matrix(w, input_shape):
    """H - kH rows of windows."""
    if w.ndim == 2:
        w, input_shape = w[None, None], (1, *input_shape)
    C_out, C_in, kH, kW = w.shape
    _, H, W = input_shape
    matrix = np.zeros((C_out, H - kH, W - kW, C_in, H, W))
    for i in range(H - kH):
        for j in range(W - kW):
            matrix[:, i, j, :, i : i + kH, j : j + kW] = w
    return matrix.reshape(C_out * (H - kH) * (W - kW), C_in * H * W)


@misconception(
    "conv_matrix",
    "The first kind of w is right. Try two filters or two channels: which kernel stands in which block?",
    name="first_channel_only",
    fails=["conv_matrix-channels"],
)
def conv_matrix(w, input_shape):
    """Every block holds the kernel of the first filter and channel."""
    if w.ndim == 2:
        w, input_shape = w[None, None], (1, *input_shape)
    C_out, C_in, kH, kW = w.shape
    _, H, W = input_shape
    matrix = np.zeros((C_out, H - kH + 1, W - kW + 1, C_in, H, W))
    for i in range(H - kH + 1):
        for j in range(W - kW + 1):
            matrix[:, i, j, :, i : i + kH, j : j + kW] = w[0, 0]
    return matrix.reshape(-1, C_in * H * W)


@alternative("conv_matrix", name="one_pixel_at_a_time")
def conv_matrix(w, input_shape):
    """Column by column: convolve a picture that holds a single 1."""
    w = np.asarray(w, dtype=float)
    shape = (1, *input_shape) if w.ndim == 2 else tuple(input_shape)
    w = w.reshape((1, 1, *w.shape)) if w.ndim == 2 else w
    columns = []
    for place in np.ndindex(shape):
        picture = np.zeros(shape)
        picture[place] = 1
        windows = np.lib.stride_tricks.sliding_window_view(picture, w.shape[2:], axis=(1, 2))
        columns.append(np.einsum("cijab,fcab->fij", windows, w).ravel())
    return np.array(columns).T


@alternative("conv_matrix", name="index_arithmetic")
def conv_matrix(w, input_shape):
    """Row and column numbers are computed."""
    *channels, H, W = input_shape
    C_in = channels[0] if channels else 1
    w = np.reshape(w, (-1, C_in, *w.shape[-2:]))
    C_out, _, kH, kW = w.shape
    H_out, W_out = H - kH + 1, W - kW + 1
    matrix = np.zeros((C_out * H_out * W_out, C_in * H * W))
    for f, i, j, c, a, b in np.ndindex(C_out, H_out, W_out, C_in, kH, kW):
        matrix[f * H_out * W_out + i * W_out + j, c * H * W + (i + a) * W + j + b] = w[f, c, a, b]
    return matrix


# ---- conv2d_backward ------------------------------------------------------------------------


@misconception(
    "conv2d_backward",
    "A shared weight gets the sum over the places where it was used. You take the mean. Who told you "
    "so: the judge, or a text?",
    name="mean_over_places",
    fails=[
        "conv2d_backward-db",
        "conv2d_backward-dw",
        "conv2d_backward-dw_stride",
        "conv2d_backward-dw_padding",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """dw and db are averaged over the places."""
    _N, _, H, W = x.shape
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    H_out, W_out = dy.shape[2:]
    for i in range(H_out):
        for j in range(W_out):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw / (H_out * W_out), dy.sum(axis=(0, 2, 3)) / (H_out * W_out)


@misconception(
    "conv2d_backward",
    "The mean of the loss is in dy already. Over the pictures of a batch, gradients add up.",
    name="mean_over_batch",
    fails=[
        "conv2d_backward-db",
        "conv2d_backward-dw",
        "conv2d_backward-dw_stride",
        "conv2d_backward-dw_padding",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """dw and db are averaged over the pictures."""
    N, _, H, W = x.shape
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw / N, dy.sum(axis=(0, 2, 3)) / N


@misconception(
    "conv2d_backward",
    "What is an array[0:-0]? Try padding 0, and look at the shape of your dx.",
    name="cuts_with_minus_padding",
    fails=[
        "conv2d_backward-dx",
        "conv2d_backward-dx_stride",
        "conv2d_backward-unseen",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """[padding:-padding] is empty for padding 0."""
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    return dx_p[:, :, padding:-padding, padding:-padding], dw, dy.sum(axis=(0, 2, 3))


@misconception(
    "conv2d_backward",
    "Where two windows overlap, a pixel gets two gradients. Does your second one replace the first?",
    name="overwrites",
    fails=[
        "conv2d_backward-dx",
        "conv2d_backward-dx_stride",
        "conv2d_backward-dx_padding",
        "conv2d_backward-unseen",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """dx is assigned, not added to."""
    _, _, H, W = x.shape
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] = np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw, dy.sum(axis=(0, 2, 3))


@misconception(
    "conv2d_backward",
    "Where does window number i start if the stride is 2? You go back as if it were 1.",
    name="stride_forgotten",
    fails=[
        "conv2d_backward-dw_stride",
        "conv2d_backward-dx_stride",
        "conv2d_backward-unseen",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """Windows start at i, not at i * stride."""
    _, _, H, W = x.shape
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i, i + kH), slice(j, j + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw, dy.sum(axis=(0, 2, 3))


@misconception(
    "conv2d_backward",
    "Your dx correlates dy with the kernel as it is. Where does each kernel number carry a gradient "
    "back to? Do the example of the text by hand.",
    name="kernel_not_turned",
    fails=[
        "conv2d_backward-dx",
        "conv2d_backward-dx_stride",
        "conv2d_backward-dx_padding",
        "conv2d_backward-unseen",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """dx with the kernel turned by 180 degrees."""
    _, _, H, W = x.shape
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(
                dy[:, :, i, j], w[:, :, ::-1, ::-1], axes=(1, 0)
            )
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw, dy.sum(axis=(0, 2, 3))


@misconception(
    "conv2d_backward",
    "Your dx has the shape of the padded picture. Were the zeros around it an input?",
    name="keeps_the_padding",
    fails=[
        "conv2d_backward-dx_padding",
        "conv2d_backward-unseen",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """dx of the padded picture."""
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    return dx_p, dw, dy.sum(axis=(0, 2, 3))


@misconception(
    "conv2d_backward",
    "The rows that no window sees are missing from your dx. Its shape is that of x, with zeros there.",
    name="forgets_unseen_rows",
    fails=["conv2d_backward-unseen"],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """dx ends with the last window."""
    H, W = x.shape[2:]
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    H_out, W_out = dy.shape[2:]
    seen = (H_out - 1) * stride + kH, (W_out - 1) * stride + kW
    dx_p, dw = np.zeros((*x_p.shape[:2], *seen)), np.zeros(w.shape)
    for i in range(H_out):
        for j in range(W_out):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw, dy.sum(axis=(0, 2, 3))


@misconception(
    "conv2d_backward",
    "A bias is used at every place of every picture. Over which axes do you add up db?",
    name="db_over_places_only",
    fails=["conv2d_backward-db", "conv2d_backward-together", "conv2d_backward-contract"],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """db keeps the pictures apart."""
    _, _, H, W = x.shape
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw, dy.sum(axis=(2, 3))


@misconception(
    "conv2d_backward",
    "A uint8 holds 0 to 255 and no halves. What kind of numbers do your arrays of zeros hold?",
    name="integer_gradients",
    fails=["conv2d_backward-contract"],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """dx has the type of x."""
    _, _, H, W = x.shape
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns].astype(float), axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx.astype(x.dtype), dw, dy.sum(axis=(0, 2, 3))


@misconception(
    "conv2d_backward",
    "You did dw and db. Each kernel number carries a gradient back to the pixels it met: that is dx.",
    name="no_dx_yet",
    fails=[
        "conv2d_backward-dx",
        "conv2d_backward-dx_stride",
        "conv2d_backward-dx_padding",
        "conv2d_backward-unseen",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """dx is None."""
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dw = np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
    return None, dw, dy.sum(axis=(0, 2, 3))


@misconception(
    "conv2d_backward",
    "Padding 1 fits a 3 x 3 kernel only. Your function never looks at its argument.",
    name="padding_always_one",
    fails=[
        "conv2d_backward-dw",
        "conv2d_backward-dx",
        "conv2d_backward-dw_stride",
        "conv2d_backward-dx_stride",
        "conv2d_backward-dw_padding",
        "conv2d_backward-dx_padding",
        "conv2d_backward-unseen",
        "conv2d_backward-together",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """The padding is 1, whatever was asked for."""
    _, _, H, W = x.shape
    kH, kW = w.shape[2:]
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), (1, 1), (1, 1)))
    dx_p, dw = np.zeros(x_p.shape), np.zeros(w.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * stride, i * stride + kH), slice(j * stride, j * stride + kW)
            dw += np.tensordot(dy[:, :, i, j], x_p[:, :, rows, columns], axes=(0, 0))
            dx_p[:, :, rows, columns] += np.tensordot(dy[:, :, i, j], w, axes=(1, 0))
    return dx_p[:, :, 1 : 1 + H, 1 : 1 + W], dw, dy.sum(axis=(0, 2, 3))


@alternative("conv2d_backward", name="six_loops")
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """The way of CS231n: every picture, filter and place, whole windows."""
    N, _C, H, W = x.shape
    F, _, HH, WW = w.shape
    pad = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_pad = np.pad(x.astype(np.float64), pad, mode="constant")
    dx_pad, dw, db = np.zeros_like(x_pad), np.zeros(w.shape), np.zeros(F)
    for n in range(N):
        for f in range(F):
            db[f] += dy[n, f].sum()
            for i in range(dy.shape[2]):
                for j in range(dy.shape[3]):
                    top, left = i * stride, j * stride
                    dw[f] += x_pad[n, :, top : top + HH, left : left + WW] * dy[n, f, i, j]
                    dx_pad[n, :, top : top + HH, left : left + WW] += w[f] * dy[n, f, i, j]
    return dx_pad[:, :, padding : padding + H, padding : padding + W], dw, db


@alternative("conv2d_backward", name="einsum_windows")
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """Letters over all windows; dx by scattering."""
    H, W = x.shape[2:]
    kH, kW = w.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride]
    dw = np.einsum("nfij,ncijab->fcab", dy, windows)
    spread = np.einsum("nfij,fcab->ncijab", dy, w)
    dx_p = np.zeros(x_p.shape)
    for i, j in np.ndindex(*dy.shape[2:]):
        top, left = i * stride, j * stride
        dx_p[:, :, top : top + kH, left : left + kW] += spread[:, :, i, j]
    print("done")
    return dx_p[:, :, padding : padding + H, padding : padding + W], dw, np.einsum("nfij->f", dy)


@alternative("conv2d_backward", name="full_convolution")
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """Zeros between the numbers of dy, then a full convolution with the turned kernel."""
    N, _C_in, H, W = x.shape
    C_out, _, kH, kW = w.shape
    H_p, W_p = H + 2 * padding, W + 2 * padding
    wide = np.zeros((N, C_out, H_p - kH + 1, W_p - kW + 1))
    wide[:, :, ::stride, ::stride][:, :, : dy.shape[2], : dy.shape[3]] = dy
    around = np.pad(wide, ((0, 0), (0, 0), (kH - 1, kH - 1), (kW - 1, kW - 1)))
    view = np.lib.stride_tricks.sliding_window_view
    dx_p = np.einsum("nfijab,fcab->ncij", view(around, (kH, kW), axis=(2, 3)), w[:, :, ::-1, ::-1])
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    dw = np.einsum("ncabij,nfij->fcab", view(x_p, wide.shape[2:], axis=(2, 3)), wide)
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw, dy.reshape(N, C_out, -1).sum(axis=2).sum(axis=0)


@alternative("conv2d_backward", name="torch_does_it")
def conv2d_backward(dy, x, w, stride=1, padding=0):
    """Automatic differentiation, in float64."""
    import torch

    def leaf(a):
        return torch.tensor(np.array(a, dtype=float), requires_grad=True)

    x, w, b = leaf(x), leaf(w), leaf(np.zeros(len(w)))
    y = torch.nn.functional.conv2d(x, w, b, stride=stride, padding=padding)
    y.backward(torch.tensor(np.array(dy, dtype=float)))
    return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()


# ---- max_pool2d_backward --------------------------------------------------------------------


@misconception(
    "max_pool2d_backward",
    "Where several numbers of a window are the largest, you pay all of them. The contract: the first "
    "one, row by row, gets everything.",
    name="pays_all_ties",
    fails=["max_pool2d_backward-ties"],
)
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Every maximum gets dy."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    _N, _C, H, W = x.shape
    sides = (padding, padding)
    x_p = np.pad(x.astype(float), ((0, 0), (0, 0), sides, sides), constant_values=-np.inf)
    dx_p = np.zeros(x_p.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            place = np.s_[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW]
            top = x_p[place].max(axis=(2, 3), keepdims=True)
            dx_p[place] += (x_p[place] == top) * dy[:, :, i : i + 1, j : j + 1]
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "max_pool2d_backward",
    "Where several numbers of a window are the largest, you share. The contract: the first one, row "
    "by row, gets everything.",
    name="shares_ties",
    fails=["max_pool2d_backward-ties"],
)
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """The maxima share dy."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    _N, _C, H, W = x.shape
    sides = (padding, padding)
    x_p = np.pad(x.astype(float), ((0, 0), (0, 0), sides, sides), constant_values=-np.inf)
    dx_p = np.zeros(x_p.shape)
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            place = np.s_[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW]
            best = x_p[place] == x_p[place].max(axis=(2, 3), keepdims=True)
            dx_p[place] += (
                best / best.sum(axis=(2, 3), keepdims=True) * dy[:, :, i : i + 1, j : j + 1]
            )
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "max_pool2d_backward",
    "One pixel can win several windows that overlap. Does its second gradient replace the first?",
    name="overwrites",
    fails=[
        "max_pool2d_backward-overlap",
        "max_pool2d_backward-ties",
        "max_pool2d_backward-padding",
    ],
)
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """dx is assigned, not added to."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    _N, _C, H, W = x.shape
    sides = (padding, padding)
    x_p = np.pad(x.astype(float), ((0, 0), (0, 0), sides, sides), constant_values=-np.inf)
    dx_p = np.zeros(x_p.shape)
    for n, c, i, j in np.ndindex(*dy.shape):
        window = x_p[n, c, i * sH : i * sH + kH, j * sW : j * sW + kW]
        a, b = divmod(int(window.argmax()), kW)
        dx_p[n, c, i * sH + a, j * sW + b] = dy[n, c, i, j]
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "max_pool2d_backward",
    "You pad with zeros, and a zero wins against negative numbers. For a maximum, what never wins?",
    name="pads_with_zeros",
    fails=["max_pool2d_backward-ties", "max_pool2d_backward-padding"],
)
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """The padding is 0."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    _N, _C, H, W = x.shape
    sides = (padding, padding)
    x_p = np.pad(x.astype(float), ((0, 0), (0, 0), sides, sides))
    dx_p = np.zeros(x_p.shape)
    for n, c, i, j in np.ndindex(*dy.shape):
        window = x_p[n, c, i * sH : i * sH + kH, j * sW : j * sW + kW]
        a, b = divmod(int(window.argmax()), kW)
        dx_p[n, c, i * sH + a, j * sW + b] += dy[n, c, i, j]
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "max_pool2d_backward",
    "Number k of a flattened window stands in row k // kW. Try a window that is not square.",
    name="divides_by_height",
)
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """divmod by kH instead of kW."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    sides = (padding, padding)
    x_p = np.pad(x.astype(float), ((0, 0), (0, 0), sides, sides), constant_values=-np.inf)
    dx_p = np.zeros((N, C, x_p.shape[2] + kW, x_p.shape[3] + kH))
    for n, c, i, j in np.ndindex(*dy.shape):
        window = x_p[n, c, i * sH : i * sH + kH, j * sW : j * sW + kW]
        a, b = divmod(int(window.argmax()), kH)
        dx_p[n, c, i * sH + a, j * sW + b] += dy[n, c, i, j]
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "max_pool2d_backward",
    "Of several equal numbers yours is the last. The contract: the first one, row by row, gets "
    "everything. Which one does argmax find?",
    name="last_of_ties",
    fails=["max_pool2d_backward-ties"],
)
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """The last maximum wins."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    _N, _C, H, W = x.shape
    sides = (padding, padding)
    x_p = np.pad(x.astype(float), ((0, 0), (0, 0), sides, sides), constant_values=-np.inf)
    dx_p = np.zeros(x_p.shape)
    for n, c, i, j in np.ndindex(*dy.shape):
        window = x_p[n, c, i * sH : i * sH + kH, j * sW : j * sW + kW]
        a, b = np.argwhere(window == window.max())[-1]
        dx_p[n, c, i * sH + a, j * sW + b] += dy[n, c, i, j]
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@alternative("max_pool2d_backward", name="loops")
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Six loops and comparisons, no padded copy."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = stride or kH, stride or kW
    _N, _C, H, W = x.shape
    dx = np.zeros(x.shape)
    for n, c, i, j in np.ndindex(*dy.shape):
        best = None
        for r in range(max(i * sH - padding, 0), min(i * sH - padding + kH, H)):
            for s in range(max(j * sW - padding, 0), min(j * sW - padding + kW, W)):
                if best is None or x[n, c, r, s] > x[n, c, best[0], best[1]]:
                    best = r, s
        dx[n, c, best[0], best[1]] += dy[n, c, i, j]
    return dx


@alternative("max_pool2d_backward", name="add_at")
def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """np.add.at on the winners' places."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    p = padding
    x_p = np.full((N, C, H + 2 * p, W + 2 * p), -np.inf)
    x_p[:, :, p : p + H, p : p + W] = x
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[:, :, ::sH, ::sW]
    winner = windows.reshape(*windows.shape[:4], -1).argmax(axis=-1)
    n, c, i, j = np.indices(winner.shape)
    dx_p = np.zeros_like(x_p)
    np.add.at(dx_p, (n, c, i * sH + winner // kW, j * sW + winner % kW), dy)
    return dx_p[:, :, p : p + H, p : p + W]


# ---- avg_pool2d_backward --------------------------------------------------------------------


@misconception(
    "avg_pool2d_backward",
    "You hand all of dy to every place of the window. How steeply does a mean of four rise when one "
    "of them rises?",
    name="forgets_the_share",
)
def avg_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Not divided by the size of the window."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    dx_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            dx_p[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW] += dy[:, :, i : i + 1, j : j + 1]
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "avg_pool2d_backward",
    "Zeros of the padding count in the mean of this course. So each window is divided by kH * kW, at "
    "the border as well.",
    name="divides_by_pixels_inside",
    fails=["avg_pool2d_backward-padding"],
)
def avg_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """At the border the divisor is the number of real pixels."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    real = np.pad(np.ones((H, W)), padding)
    dx_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            rows, columns = slice(i * sH, i * sH + kH), slice(j * sW, j * sW + kW)
            dx_p[:, :, rows, columns] += dy[:, :, i : i + 1, j : j + 1] / real[rows, columns].sum()
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "avg_pool2d_backward",
    "Where two windows overlap, a pixel gets two shares. Does your second one replace the first?",
    name="overwrites",
    fails=["avg_pool2d_backward-overlap", "avg_pool2d_backward-padding"],
)
def avg_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """dx is assigned, not added to."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    dx_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            share = dy[:, :, i : i + 1, j : j + 1] / (kH * kW)
            dx_p[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW] = share
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "avg_pool2d_backward",
    "You repeat dy like tiles. That fits only where windows tile the picture: what about a stride of "
    "its own, and rows that no window sees?",
    name="repeats_tiles",
)
def avg_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """np.repeat: right for windows that tile."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    return np.repeat(np.repeat(dy, kH, axis=2), kW, axis=3) / (kH * kW)


@misconception(
    "avg_pool2d_backward",
    "A window of 3 x 2 has six places. Which product did you divide by?",
    name="divides_by_square",
)
def avg_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Divided by kH * kH."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    dx_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    for i in range(dy.shape[2]):
        for j in range(dy.shape[3]):
            share = dy[:, :, i : i + 1, j : j + 1] / (kH * kH)
            dx_p[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW] += share
    return dx_p[:, :, padding : padding + H, padding : padding + W]


@alternative("avg_pool2d_backward", name="loops")
def avg_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Every place of every window, if it is inside."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = stride or kH, stride or kW
    dx = np.zeros(x.shape, dtype=np.float64)
    for n, c, i, j in np.ndindex(*dy.shape):
        for a in range(kH):
            for b in range(kW):
                r, s = i * sH + a - padding, j * sW + b - padding
                if 0 <= r < x.shape[2] and 0 <= s < x.shape[3]:
                    dx[n, c, r, s] += dy[n, c, i, j] / kH / kW
    return dx


# ---- Dense ----------------------------------------------------------------------------------


@misconception(
    "Dense",
    "grads after a second backward hold the sum of both. backward sets grads, it does not add to them.",
    name="accumulates",
    fails=["Dense-again"],
)
class Dense(Layer):  # noqa: F821
    """Gradients add up from pass to pass, as in a library."""

    def __init__(self, in_features, out_features, rng):
        super().__init__()
        w = rng.standard_normal((in_features, out_features)) * np.sqrt(2 / in_features)
        self.params = {"w": w, "b": np.zeros(out_features)}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads["w"] = self.grads.get("w", 0) + self.x.T @ dy
        self.grads["b"] = self.grads.get("b", 0) + dy.sum(axis=0)
        return dy @ self.params["w"].T


@misconception(
    "Dense",
    "backward belongs to the last forward. Your layer remembers the first batch it ever saw.",
    name="remembers_the_first",
    fails=["Dense-again"],
)
class Dense(Layer):  # noqa: F821
    """The first batch is kept for ever."""

    def __init__(self, in_features, out_features, rng):
        super().__init__()
        w = rng.standard_normal((in_features, out_features)) * np.sqrt(2 / in_features)
        self.params = {"w": w, "b": np.zeros(out_features)}

    def forward(self, x):
        if not hasattr(self, "x"):
            self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads = {"w": self.x.T @ dy, "b": dy.sum(axis=0)}
        return dy @ self.params["w"].T


@misconception(
    "Dense",
    "Somebody changes params in place, and your layer does not notice: it computes with arrays of its own.",
    name="computes_with_a_copy",
    fails=["Dense-forward", "Dense-backward", "Dense-again"],
)
class Dense(Layer):  # noqa: F821
    """params holds copies."""

    def __init__(self, in_features, out_features, rng):
        super().__init__()
        self.w = rng.standard_normal((in_features, out_features)) * np.sqrt(2 / in_features)
        self.b = np.zeros(out_features)
        self.params = {"w": self.w.copy(), "b": self.b.copy()}

    def forward(self, x):
        self.x = x
        return x @ self.w + self.b

    def backward(self, dy):
        self.grads = {"w": self.x.T @ dy, "b": dy.sum(axis=0)}
        return dy @ self.w.T


@misconception(
    "Dense",
    "The standard deviation of w is to be sqrt(2 / inputs). Do you multiply by it?",
    name="divides_by_the_root",
    fails=["Dense-params"],
)
class Dense(Layer):  # noqa: F821
    """standard_normal / sqrt(2 / n), as some notes have it."""

    def __init__(self, in_features, out_features, rng):
        super().__init__()
        w = rng.standard_normal((in_features, out_features)) / np.sqrt(2 / in_features)
        self.params = {"w": w, "b": np.zeros(out_features)}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads = {"w": self.x.T @ dy, "b": dy.sum(axis=0)}
        return dy @ self.params["w"].T


@misconception(
    "Dense",
    "Draw the weights from the generator that is handed in: two layers made with the same seed must be equal.",
    name="own_random_numbers",
    fails=["Dense-params"],
)
class Dense(Layer):  # noqa: F821
    """rng is not used."""

    def __init__(self, in_features, out_features, rng):
        super().__init__()
        w = np.random.default_rng(0).standard_normal((in_features, out_features))
        self.params = {"w": w * np.sqrt(2 / in_features), "b": np.zeros(out_features)}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads = {"w": self.x.T @ dy, "b": dy.sum(axis=0)}
        return dy @ self.params["w"].T


@misconception(
    "Dense",
    "The mean of the loss is in dy already. Over the pictures of a batch, gradients add up.",
    name="means_over_batch",
    fails=["Dense-backward", "Dense-again"],
)
class Dense(Layer):  # noqa: F821
    """Gradients are means over the batch."""

    def __init__(self, in_features, out_features, rng):
        super().__init__()
        w = rng.standard_normal((in_features, out_features)) * np.sqrt(2 / in_features)
        self.params = {"w": w, "b": np.zeros(out_features)}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads = {"w": self.x.T @ dy / len(dy), "b": dy.mean(axis=0)}
        return dy @ self.params["w"].T


@alternative("Dense", name="same_arrays_and_uniform")
class Dense(Layer):  # noqa: F821
    """Uniform weights; attributes that are the arrays of params; a zero dict of grads refilled."""

    def __init__(self, in_features, out_features, rng):
        super().__init__()
        bound = np.sqrt(6 / in_features)
        self.w = rng.uniform(-bound, bound, (in_features, out_features))
        self.b = np.zeros(out_features)
        self.params["w"], self.params["b"] = self.w, self.b

    def forward(self, x):
        """Keep a copy."""
        self.cache = np.array(x)
        return np.einsum("nj,jk->nk", x, self.w) + self.b

    def backward(self, dy):
        """Fill the same dict again."""
        self.grads["w"] = np.einsum("nj,nk->jk", self.cache, dy)
        self.grads["b"] = np.ones(len(dy)) @ dy
        return np.dot(dy, self.w.T)


# ---- Sequential -----------------------------------------------------------------------------


@misconception(
    "Sequential",
    "On the way back the last layer comes first.",
    name="backward_in_forward_order",
    fails=["Sequential-order", "Sequential-grads", "Sequential-nested"],
)
class Sequential(Layer):  # noqa: F821
    """backward is not reversed."""

    def __init__(self, layers):
        self.layers = list(layers)

    @property
    def params(self):
        return {f"{i}.{k}": v for i, la in enumerate(self.layers) for k, v in la.params.items()}

    @property
    def grads(self):
        return {f"{i}.{k}": v for i, la in enumerate(self.layers) for k, v in la.grads.items()}

    @property
    def training(self):
        return all(layer.training for layer in self.layers)

    @training.setter
    def training(self, value):
        for layer in self.layers:
            layer.training = value

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in self.layers:
            dy = layer.backward(dy)
        return dy


@misconception(
    "Sequential",
    "Somebody changes net.params in place, and the layers do not notice. Whose arrays are in your dict?",
    name="copies_params",
    fails=["Sequential-params", "Sequential-nested"],
)
class Sequential(Layer):  # noqa: F821
    """params holds copies."""

    def __init__(self, layers):
        self.layers = list(layers)

    @property
    def params(self):
        return {
            f"{i}.{k}": v.copy() for i, la in enumerate(self.layers) for k, v in la.params.items()
        }

    @property
    def grads(self):
        return {f"{i}.{k}": v for i, la in enumerate(self.layers) for k, v in la.grads.items()}

    @property
    def training(self):
        return all(layer.training for layer in self.layers)

    @training.setter
    def training(self, value):
        for layer in self.layers:
            layer.training = value

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


@misconception(
    "Sequential",
    "Your grads are gathered once, before any backward. A layer makes a new dict each time: when must "
    "you look?",
    name="stale_grads",
    fails=["Sequential-grads", "Sequential-nested"],
)
class Sequential(Layer):  # noqa: F821
    """grads is made in __init__, when there are none."""

    def __init__(self, layers):
        super().__init__()
        self.layers = list(layers)
        for i, layer in enumerate(self.layers):
            for name, array in layer.params.items():
                self.params[f"{i}.{name}"] = array
            for name, array in layer.grads.items():
                self.grads[f"{i}.{name}"] = array

    def __setattr__(self, name, value):
        if name == "training":
            for layer in self.__dict__.get("layers", ()):
                layer.training = value
        super().__setattr__(name, value)

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


@misconception(
    "Sequential",
    "You set training on the network. What do its layers say?",
    name="training_stays_outside",
    fails=["Sequential-training", "Sequential-nested"],
)
class Sequential(Layer):  # noqa: F821
    """training is an attribute of the network alone."""

    def __init__(self, layers):
        self.layers = list(layers)
        self.training = True

    @property
    def params(self):
        return {f"{i}.{k}": v for i, la in enumerate(self.layers) for k, v in la.params.items()}

    @property
    def grads(self):
        return {f"{i}.{k}": v for i, la in enumerate(self.layers) for k, v in la.grads.items()}

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


@misconception(
    "Sequential",
    "ReLU has no params and counts all the same: what is the number of the layer behind it?",
    name="skips_layers_without_params",
    fails=["Sequential-params", "Sequential-grads"],
)
class Sequential(Layer):  # noqa: F821
    """Only layers with params are numbered."""

    def __init__(self, layers):
        self.layers = list(layers)

    @property
    def learners(self):
        return [layer for layer in self.layers if layer.params]

    @property
    def params(self):
        return {f"{i}.{k}": v for i, la in enumerate(self.learners) for k, v in la.params.items()}

    @property
    def grads(self):
        return {f"{i}.{k}": v for i, la in enumerate(self.learners) for k, v in la.grads.items()}

    @property
    def training(self):
        return all(layer.training for layer in self.layers)

    @training.setter
    def training(self, value):
        for layer in self.layers:
            layer.training = value

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


@alternative("Sequential", name="gathers_after_backward")
class Sequential(Layer):  # noqa: F821
    """Plain attributes, filled in __init__ and after each backward."""

    def __init__(self, layers):
        self.layers = layers
        self.params, self.grads = {}, {}
        for i in range(len(layers)):
            for name in layers[i].params:
                self.params[str(i) + "." + name] = layers[i].params[name]

    def __getattr__(self, name):
        if name == "training":
            return all(layer.training for layer in self.layers)
        raise AttributeError(name)

    def __setattr__(self, name, value):
        if name != "training":
            return super().__setattr__(name, value)
        for layer in self.layers:
            layer.training = value

    def forward(self, x):
        """One after the other."""
        for i in range(len(self.layers)):
            x = self.layers[i].forward(x)
        return x

    def backward(self, dy):
        """From the last to the first."""
        self.grads = {}
        for i in range(len(self.layers) - 1, -1, -1):
            dy = self.layers[i].backward(dy)
            self.grads.update({f"{i}.{name}": g for name, g in self.layers[i].grads.items()})
        return dy
