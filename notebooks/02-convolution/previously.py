"""Reference solutions of the units before this one. Built from solutions/."""

import numpy as np


def resize(x, size):
    """Pictures x (N, C, H, W) -> (N, C, H_out, W_out), floating; size is the pair (H_out, W_out).

    Nearest neighbour: each new pixel takes the value of the old pixel under its middle.
    """
    H, W = x.shape[2:]
    H_out, W_out = size
    rows = ((np.arange(H_out) + 0.5) * H / H_out).astype(int)
    columns = ((np.arange(W_out) + 0.5) * W / W_out).astype(int)
    return 1.0 * x[:, :, rows][:, :, :, columns]


def standardise(x, reference):
    """Subtract the mean of each channel and divide by its standard deviation, both taken from reference.

    x (N, C, H, W), reference (M, C, H_r, W_r) -> (N, C, H, W), floating.
    """
    mean = reference.mean(axis=(0, 2, 3), keepdims=True)
    deviation = reference.std(axis=(0, 2, 3), keepdims=True)
    return (x - mean) / deviation


def perceptron(x, w, b):
    """Rosenblatt's unit: x (N, D), w (D,), b a number -> (N,), 1.0 where x @ w + b > 0, else 0.0."""
    return np.where(x @ w + b > 0, 1.0, 0.0)


def dense(x, w, b):
    """x (N, D_in), w (D_in, D_out), b (D_out,) -> x @ w + b (N, D_out), floating."""
    return x @ w + b


def sigmoid(x):
    """1 / (1 + exp(-x)) for each number of x, any shape; floating, and right for x = -1000 and 1000, too."""
    small = np.exp(-np.abs(x))  # from 0 to 1: it cannot overflow
    return np.where(x < 0, small, 1.0) / (1.0 + small)


def tanh(x):
    """Hyperbolic tangent of each number of x, any shape; floating, and right for x = -1000 and 1000, too."""
    return np.tanh(x)


def relu(x):
    """max(0, x) for each number of x, any shape; floating."""
    return np.maximum(0.0, x)


def leaky_relu(x, negative_slope=0.01):
    """x where x > 0, else negative_slope * x, for each number of x, any shape; floating.

    negative_slope is any number: below 0 and above 1, too.
    """
    return np.where(x > 0, x, negative_slope * x)


def swish(x, beta=1.0):
    """x * sigmoid(beta * x) for each number of x, any shape; floating, and right for x = -1000 and 1000, too."""
    small = np.exp(-np.abs(beta * x))
    return x * np.where(beta * x < 0, small, 1.0) / (1.0 + small)


def softmax(x, axis=-1):
    """exp(x) divided by its sum along axis, same shape as x; floating, and right for large x, too."""
    e = np.exp(x - x.max(axis=axis, keepdims=True))
    return e / e.sum(axis=axis, keepdims=True)


def mse(p, y):
    """Mean of (p - y)**2 over all elements; p and y have the same shape, any shape -> one float."""
    return np.mean((p - y) ** 2)


def mae(p, y):
    """Mean of |p - y| over all elements; p and y have the same shape, any shape -> one float."""
    return np.mean(np.abs(p - y))


def binary_cross_entropy(p, y):
    """Mean of -(y log p + (1 - y) log(1 - p)) over all elements -> one float.

    p: probabilities of 1. y: labels 0 and 1, same shape. p may be 0 or 1 where the label agrees.
    """
    q = np.where(y == 1, p, 1.0 - p)  # how probable it called what happened
    return -np.mean(np.log(q))


def cross_entropy(x, y, from_logits=True):
    """Mean over N of -log of the probability of the true class -> one float.

    x (N, K): logits, or probabilities if from_logits is False.
    y: labels (N,) of any integer type, or one-hot rows (N, K).
    """
    labels = y if y.ndim == 1 else y.argmax(axis=1)
    rows = np.arange(len(x))
    if not from_logits:
        return -np.mean(np.log(x[rows, labels]))
    x = x - x.max(axis=1, keepdims=True)
    return np.mean(np.log(np.exp(x).sum(axis=1)) - x[rows, labels])
