"""Reference solutions of the units before this one. Built from solutions/."""

from matplotlib.patches import Patch
from matplotlib.patches import Polygon
from matplotlib.patches import Rectangle
from torch import nn
import math
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F


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


def cross_correlate1d(x, w, padding=0, stride=1):
    """Slide w (m,) over x (n,) and return the dot products (n_out,), floating.

    y[i] = sum over k of x_p[i*stride + k] * w[k], x_p being x with padding zeros at each end;
    n_out = (n + 2*padding - m) // stride + 1.
    """
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    m = len(w)
    n_out = (len(x_p) - m) // stride + 1
    y = np.zeros(n_out)
    for i in range(n_out):
        start = i * stride
        y[i] = np.sum(x_p[start : start + m] * w)
    return y


def convolve1d(x, w, padding=0, stride=1):
    """Convolve x (n,) with w (m,), the kernel flipped -> (n_out,), floating.

    y[i] = sum over k of x_p[i*stride + m - 1 - k] * w[k]; n_out = (n + 2*padding - m) // stride + 1.
    """
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    m = len(w)
    n_out = (len(x_p) - m) // stride + 1
    y = np.zeros(n_out)
    for i in range(n_out):
        for k in range(m):
            y[i] += x_p[i * stride + m - 1 - k] * w[k]
    return y


def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """Number of windows of m numbers, dilation apart, on n numbers with padding on both sides -> int."""
    span = dilation * (m - 1) + 1
    return (n + 2 * padding - span) // stride + 1


def pad_amount(mode, m):
    """Zeros to put on each side for a kernel of m numbers: mode "full", "same" or "valid" -> int.

    Raises ValueError for an unknown mode and for "same" with an even m, which needs unequal sides.
    """
    if mode == "full":
        return m - 1
    if mode == "same":
        if m % 2 == 0:
            raise ValueError(f"same padding needs an odd kernel, m (={m}) is even")
        return (m - 1) // 2
    if mode == "valid":
        return 0
    raise ValueError(f'unknown mode "{mode}", expected "full", "same" or "valid"')


def correlate2d(x, w):
    """Cross-correlate x (H, W) with w (kH, kW) -> (H-kH+1, W-kW+1), floating. No padding."""
    kH, kW = w.shape
    H_out, W_out = x.shape[0] - kH + 1, x.shape[1] - kW + 1
    x = np.asarray(x, dtype=float)
    y = np.zeros((H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            y[i, j] = np.sum(x[i : i + kH, j : j + kW] * w)
    return y


def locally_connected2d(x, w, b=None, stride=1):
    """Like conv2d without sharing: each place has its own filters -> (N, C_out, H_out, W_out), floating.

    x (N, C_in, H, W), w (H_out, W_out, C_out, C_in, kH, kW), b (C_out, H_out, W_out) or None.
    """
    H_out, W_out, C_out, _, kH, kW = w.shape
    x = np.asarray(x, dtype=float)
    y = np.zeros((x.shape[0], C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            top, left = i * stride, j * stride
            window = x[:, :, top : top + kH, left : left + kW]
            y[:, :, i, j] = np.tensordot(window, w[i, j], axes=([1, 2, 3], [1, 2, 3]))
    if b is not None:
        y += b
    return y


def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """Weights and biases of a layer from in_shape (C_in, H, W) to c_out maps -> int.

    kind is "conv", "local" or "dense" (see the table); kernel_size is an int or a pair (kH, kW).
    "dense" has as many outputs as the other two would have. Any other kind raises ValueError.
    """
    c_in, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    places = ((H + 2 * padding - kH) // stride + 1) * ((W + 2 * padding - kW) // stride + 1)
    if kind == "conv":
        return c_out * (c_in * kH * kW + bias)
    if kind == "local":
        return places * c_out * (c_in * kH * kW + bias)
    if kind == "dense":
        return places * c_out * (c_in * H * W + bias)
    raise ValueError(f'unknown kind "{kind}", expected "conv", "local" or "dense"')


def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Largest number of each window of x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    kernel_size an int or a pair (kH, kW); stride None means the kernel size. The padding is
    -infinity: it never wins. The convention of torch.nn.functional.max_pool2d.
    """
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(1.0 * x, ring, constant_values=-np.inf)  # 1.0 * x is floating; float32 stays
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    y = -np.inf
    for k1 in range(kH):  # number (k1, k2) of all windows at once
        for k2 in range(kW):
            y = np.maximum(y, x_p[:, :, k1 : k1 + sH * H_out : sH, k2 : k2 + sW * W_out : sW])
    return y


def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Mean of each window of x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    kernel_size an int or a pair (kH, kW); stride None means the kernel size. The padding is zeros,
    and they count: each sum is divided by kH * kW. The convention of torch.nn.functional.avg_pool2d.
    """
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    x_p = np.pad(1.0 * x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    total = 0.0
    for k1 in range(kH):
        for k2 in range(kW):
            total = total + x_p[:, :, k1 : k1 + sH * H_out : sH, k2 : k2 + sW * W_out : sW]
    return total / (kH * kW)


def min_pool2d(x, kernel_size, stride=None, padding=0):
    """Smallest number of each window of x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    kernel_size an int or a pair (kH, kW); stride None means the kernel size. The padding never wins.
    """
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(1.0 * x, ring, constant_values=np.inf)
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    y = np.inf
    for k1 in range(kH):
        for k2 in range(kW):
            y = np.minimum(y, x_p[:, :, k1 : k1 + sH * H_out : sH, k2 : k2 + sW * W_out : sW])
    return y


def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """Root of the sum of squares of each window of x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    kernel_size an int or a pair (kH, kW); stride None means the kernel size. The padding is zeros.
    The convention of torch.nn.functional.lp_pool2d with norm_type=2.
    """
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    x_p = np.pad(1.0 * x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    energy = 0.0
    for k1 in range(kH):
        for k2 in range(kW):
            piece = x_p[:, :, k1 : k1 + sH * H_out : sH, k2 : k2 + sW * W_out : sW]
            energy = energy + piece**2
    return np.sqrt(energy)


def adaptive_avg_pool2d(x, output_size):
    """Mean over output_size windows that cover x (N, C, H, W) -> (N, C, H_out, W_out), floating.

    output_size an int or a pair (H_out, W_out). Window i of n places goes from floor(i n / o) to
    ceil((i + 1) n / o), the end excluded. The convention of torch.nn.functional.adaptive_avg_pool2d.
    """
    H_out, W_out = (output_size, output_size) if isinstance(output_size, int) else output_size
    H, W = x.shape[2:]
    rows = [  # the mean over a rectangle is a mean over its rows, then over its columns
        x[:, :, i * H // H_out : -(-(i + 1) * H // H_out)].mean(axis=2) for i in range(H_out)
    ]
    y = np.stack(rows, axis=2)  # (N, C, H_out, W)
    columns = [
        y[:, :, :, j * W // W_out : -(-(j + 1) * W // W_out)].mean(axis=3) for j in range(W_out)
    ]
    return np.stack(columns, axis=3)


def flatten(x):
    """x (N, ...) -> (N, D), row-major: the last index runs fastest. Floating."""
    return np.reshape(1.0 * x, (len(x), -1))


def receptive_field(layers):
    """Pixels from the first to the last that one unit sees, along one axis -> int.

    layers [(kernel, stride), ...], the one next to the picture first.
    """
    size, jump = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * jump
        jump *= stride
    return size


def numerical_gradient(f, x, dy=None, h=1e-5):
    """Gradient of sum(f(x) * dy) with respect to x (float64, any shape) by central differences -> shape of x.

    dy: an array like f(x), or a number, or None for ones. f looks only at its argument, and may
    return it or a view of it. Afterwards x is bit for bit what it was.
    """
    dx = np.empty(x.shape)
    for place in np.ndindex(x.shape):
        kept = x[place]
        x[place] = kept + h
        above = np.array(f(x))  # a copy: f may have returned x itself
        x[place] = kept - h
        below = np.array(f(x))
        x[place] = kept  # not += h: that would round
        slope = (above - below) / (2 * h)
        dx[place] = np.sum(slope if dy is None else slope * dy)
    return dx


def sigmoid_backward(dy, x):
    """Upstream dy and input x, any shape -> dx = dy * sigmoid'(x). No overflow."""
    p = (1 + np.tanh(x / 2)) / 2  # the sigmoid, without overflow
    return dy * p * (1 - p)


def tanh_backward(dy, x):
    """Upstream dy and input x, any shape -> dx = dy * tanh'(x)."""
    return dy * (1 - np.tanh(1.0 * x) ** 2)  # times 1.0: the tanh of uint8 would be a float16


def relu_backward(dy, x):
    """Upstream dy and input x, any shape -> dx: dy where x > 0, else 0 (at x = 0 as well)."""
    return np.where(x > 0, dy, 0)


def leaky_relu_backward(dy, x, negative_slope=0.01):
    """Upstream dy and input x, any shape -> dx: dy where x > 0, else negative_slope * dy."""
    return np.where(x > 0, dy, negative_slope * dy)


def swish_backward(dy, x, beta=1.0):
    """Upstream dy and input x, any shape -> dx = dy * derivative of x * sigmoid(beta * x). No overflow."""
    p = (1 + np.tanh(beta * x / 2)) / 2  # sigmoid(beta * x), without overflow
    return dy * (p + beta * x * p * (1 - p))


def dense_backward(dy, x, w):
    """Upstream dy (N, D_out) of x (N, D_in) @ w (D_in, D_out) + b -> dx (N, D_in), dw (D_in, D_out), db (D_out,)."""
    dx = dy @ w.T
    dw = x.T @ dy
    db = dy.sum(axis=0)
    return dx, dw, db


def cross_entropy_backward(dy, x, y):
    """Gradient of dy * cross_entropy(x, y) for logits x (N, K) -> dx (N, K). No overflow.

    y: labels (N,) of any integer type, or one-hot rows (N, K). dy: a number. The loss is a mean over N.
    """
    e = np.exp(x - x.max(axis=1, keepdims=True))
    p = e / e.sum(axis=1, keepdims=True)
    if np.ndim(y) == 1:
        truth = np.zeros_like(p)
        truth[np.arange(len(y)), y] = 1
    else:
        truth = y
    return dy * (p - truth) / len(x)


def conv_matrix(w, input_shape):
    """The matrix that correlates w with an input of input_shape: stride 1, no padding, one row per output.

    w (kH, kW) and input_shape (H, W) -> (H_out*W_out, H*W), or w (C_out, C_in, kH, kW) and
    input_shape (C_in, H, W) -> (C_out*H_out*W_out, C_in*H*W). Floating and dense.
    """
    if w.ndim == 2:
        w, input_shape = w[None, None], (1, *input_shape)
    C_out, _, kH, kW = w.shape
    C_in, H, W = input_shape
    H_out, W_out = H - kH + 1, W - kW + 1
    matrix = np.zeros((C_out, H_out, W_out, C_in, H, W))
    for i in range(H_out):
        for j in range(W_out):
            matrix[:, i, j, :, i : i + kH, j : j + kW] = w
    return matrix.reshape(C_out * H_out * W_out, C_in * H * W)


def max_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Upstream dy of max_pool2d(x, kernel_size, stride, padding) -> dx, shape of x (N, C, H, W).

    Each dy goes to the first maximum of its window in row-major order; padding never wins.
    """
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    H, W = x.shape[2:]
    H_out, W_out = dy.shape[2:]
    sides = (padding, padding)
    x_p = np.pad(x.astype(float), ((0, 0), (0, 0), sides, sides), constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    windows = windows[:, :, ::sH, ::sW]  # (N, C, H_out, W_out, kH, kW)
    winner = windows.reshape(*dy.shape, kH * kW).argmax(axis=4)  # the first one, where several are
    dx_p = np.zeros(x_p.shape, dtype=dy.dtype)
    for number in range(kH * kW):
        a, b = divmod(number, kW)
        rows, columns = slice(a, a + sH * H_out, sH), slice(b, b + sW * W_out, sW)
        dx_p[:, :, rows, columns] += np.where(winner == number, dy, 0)
    return dx_p[:, :, padding : padding + H, padding : padding + W]


def avg_pool2d_backward(dy, x, kernel_size, stride=None, padding=0):
    """Upstream dy of avg_pool2d(x, kernel_size, stride, padding) -> dx, shape of x (N, C, H, W).

    Each dy is shared out evenly over its kH*kW places, those of the padding included.
    """
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    H_out, W_out = dy.shape[2:]
    dx_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding), dtype=dy.dtype)
    for a in range(kH):
        for b in range(kW):
            dx_p[:, :, a : a + sH * H_out : sH, b : b + sW * W_out : sW] += dy / (kH * kW)
    return dx_p[:, :, padding : padding + H, padding : padding + W]


class Layer:
    """One step of a network: forward keeps what backward needs; grads gets the keys of params."""

    def __init__(self):
        self.params, self.grads = {}, {}
        self.training = True

    def forward(self, x):
        """Return y for a batch x."""
        raise NotImplementedError

    def backward(self, dy):
        """Return dx for the batch of the last forward, and set grads."""
        raise NotImplementedError


class Dense(Layer):
    """x (N, in_features) -> x @ w + b (N, out_features); params "w" and "b"."""

    def __init__(self, in_features, out_features, rng):
        super().__init__()
        w = rng.standard_normal((in_features, out_features)) * np.sqrt(2 / in_features)
        self.params = {"w": w, "b": np.zeros(out_features)}

    def forward(self, x):
        self.x = x
        return x @ self.params["w"] + self.params["b"]

    def backward(self, dy):
        self.grads = {"w": self.x.T @ dy, "b": dy.sum(axis=0)}
        return dy @ self.params["w"].T


class Conv2d(Layer):
    """conv2d as a layer; params "w" (out_channels, in_channels, k, k) and "b" (out_channels,)."""

    def __init__(self, in_channels, out_channels, kernel_size, rng, stride=1, padding=0):
        super().__init__()
        self.stride, self.padding = stride, padding
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        w = rng.standard_normal(shape) * np.sqrt(2 / (in_channels * kernel_size**2))
        self.params = {"w": w, "b": np.zeros(out_channels)}

    def forward(self, x):
        self.x = x
        return conv2d(x, self.params["w"], self.params["b"], self.stride, self.padding)

    def backward(self, dy):
        dx, dw, db = conv2d_backward(dy, self.x, self.params["w"], self.stride, self.padding)
        self.grads = {"w": dw, "b": db}
        return dx


class MaxPool2d(Layer):
    """max_pool2d as a layer."""

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        self.settings = (kernel_size, stride, padding)

    def forward(self, x):
        self.x = x
        return max_pool2d(x, *self.settings)

    def backward(self, dy):
        return max_pool2d_backward(dy, self.x, *self.settings)


class ReLU(Layer):
    """relu as a layer."""

    def forward(self, x):
        self.x = x
        return relu(x)

    def backward(self, dy):
        return relu_backward(dy, self.x)


class Flatten(Layer):
    """(N, ...) -> (N, D); backward restores the shape."""

    def forward(self, x):
        self.shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, dy):
        return dy.reshape(self.shape)


class Sequential(Layer):
    """Layers one after another; params and grads of layer 0 are called "0.w", "0.b", and so on."""

    def __init__(self, layers):
        self.layers = list(layers)

    @property
    def params(self):
        """{"0.w": array, ...}: the layers' own arrays."""
        return self._gathered("params")

    @property
    def grads(self):
        """The gradients of the last backward, under the names of params."""
        return self._gathered("grads")

    def _gathered(self, kind):
        return {
            f"{i}.{name}": array
            for i, layer in enumerate(self.layers)
            for name, array in getattr(layer, kind).items()
        }

    @property
    def training(self):
        """Whether the layers are in training mode."""
        return all(layer.training for layer in self.layers)

    @training.setter
    def training(self, mode):
        for layer in self.layers:
            layer.training = mode

    def forward(self, x):
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, dy):
        for layer in reversed(self.layers):
            dy = layer.backward(dy)
        return dy


def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """Windows of x (N, C, H, W) as columns -> (N, C*kH*kW, H_out*W_out), floating: torch's unfold.

    Rows are ordered by channel, kernel row, kernel column; columns by output row, output column.
    """
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    N, C, H, W = x.shape
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    dtype = np.result_type(x, np.float32)  # at least float32: float64 stays, bytes become floats
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides))
    cols = np.empty((N, C, kH, kW, H_out, W_out), dtype)
    for k1, k2 in np.ndindex(kH, kW):
        top, left = k1 * dilation, k2 * dilation
        rows = slice(top, top + stride * H_out, stride)
        columns = slice(left, left + stride * W_out, stride)
        cols[:, :, k1, k2] = x_p[:, :, rows, columns]
    return cols.reshape(N, C * kH * kW, H_out * W_out)


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """Cross-correlate x (N, C_in, H, W) with w (C_out, C_in // groups, kH, kW) -> (N, C_out, H_out, W_out).

    b (C_out,) or None. Filters of one group see the channels of that group. Floating: at least
    float32. The convention of torch.nn.functional.conv2d.
    """
    (N, C_in, _, _), (C_out, _, kH, kW) = x.shape, w.shape
    dtype = np.result_type(x, w, np.float32)
    filters = w.reshape(groups, C_out // groups, -1).astype(dtype)
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides)) if padding else x
    # All columns as a view, (C_in, kH, kW, N, H_out, W_out): nothing is copied yet
    span = dilation * (kH - 1) + 1, dilation * (kW - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(x_p, span, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    windows = windows.transpose(1, 4, 5, 0, 2, 3)
    y = np.empty((N, C_out, *windows.shape[4:]), dtype)
    if kH == kW == stride == 1:  # the picture is its own columns
        matrix = x_p.reshape(N, groups, C_in // groups, -1)
        np.matmul(filters, matrix, out=y.reshape(N, groups, C_out // groups, -1))
    else:
        block = max(
            1, 2**18 // windows[:, :, :, 0].size
        )  # pictures whose columns fit into the cache
        for first in range(0, N, block):
            some = slice(first, first + block)
            cols = windows[:, :, :, some].reshape(groups, filters.shape[2], -1)
            part = filters @ cols  # one product for the whole block
            y[some] = part.reshape(C_out, -1, *y.shape[2:]).swapaxes(0, 1)
    if b is not None:
        y += np.reshape(b, (-1, 1, 1))
    return y


def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """The transpose of im2col: add cols (N, C*kH*kW, L) up into (N, C, H, W), output_size being (H, W)."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    H, W = output_size
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    parts = cols.reshape(len(cols), -1, kH, kW, H_out, W_out)
    shape = (*parts.shape[:2], H + 2 * padding, W + 2 * padding)
    x_p = np.zeros(shape, np.result_type(cols, np.float32))
    for k1, k2 in np.ndindex(kH, kW):
        top, left = k1 * dilation, k2 * dilation
        rows = slice(top, top + stride * H_out, stride)
        columns = slice(left, left + stride * W_out, stride)
        x_p[:, :, rows, columns] += parts[:, :, k1, k2]
    return x_p[:, :, padding : padding + H, padding : padding + W]


def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """Gradients of sum(dy * conv2d(x, w, b, stride, padding, dilation, groups)) -> dx, dw, db.

    dy (N, C_out, H_out, W_out), x (N, C_in, H, W), w (C_out, C_in // groups, kH, kW).
    """
    (N, C_in, H, W), (C_out, _, kH, kW) = x.shape, w.shape
    dtype = np.result_type(dy, x, w, np.float32)
    filters = w.reshape(groups, C_out // groups, -1)
    d = np.asarray(dy, dtype).reshape(N, groups, C_out // groups, -1)
    db = dy.sum(axis=(0, 2, 3), dtype=dtype)
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides)) if padding else x
    span = dilation * (kH - 1) + 1, dilation * (kW - 1) + 1

    def as_columns(a):
        """All columns of a, of the shape of x_p, as a view (N, C_in, kH, kW, H_out, W_out)."""
        view = np.lib.stride_tricks.sliding_window_view(a, span, axis=(2, 3), writeable=True)
        view = view[:, :, ::stride, ::stride, ::dilation, ::dilation]
        return view.transpose(0, 1, 4, 5, 2, 3)

    if kH == kW == stride == 1:  # the picture is its own columns
        matrix = x_p.reshape(N, groups, C_in // groups, -1)
        dw = (d @ matrix.swapaxes(2, 3)).sum(axis=0)
        dx_p = (filters.swapaxes(1, 2) @ d).reshape(x_p.shape)
    else:
        dx_p, dw = np.zeros(x_p.shape, dtype), np.zeros(filters.shape, dtype)
        windows, d_windows = as_columns(x_p), as_columns(dx_p)
        block = max(1, 2**18 // windows[0].size)  # pictures whose columns fit into the cache
        cols = np.empty((min(block, N), *windows.shape[1:]), dtype)
        for first in range(0, N, block):
            some = slice(first, first + block)
            cols = cols[: len(d[some])]  # the last block may be shorter
            cols[...] = windows[some]
            matrix = cols.reshape(len(cols), groups, filters.shape[2], -1)
            dw += (d[some] @ matrix.swapaxes(2, 3)).sum(axis=0)
            np.matmul(filters.swapaxes(1, 2), d[some], out=matrix)  # cols is now its own gradient
            for k1, k2 in np.ndindex(kH, kW):  # one by one, as windows overlap
                d_windows[some, :, k1, k2] += cols[:, :, k1, k2]
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw.reshape(w.shape), db


def flops(layer):
    """Cost of a layer (a dict, see the text) -> {"flops": ..., "params": ..., "bytes": ...}, whole numbers.

    A multiply-add counts 2, a bias 1 for each output. Bytes: x, the parameters and y once each,
    4 bytes a number. Raises ValueError for an unknown kind.
    """
    x, w, kind = layer["x"], layer["w"], layer["kind"]
    stride, padding = layer.get("stride", 1), layer.get("padding", 0)
    if kind == "conv2d":
        span = [layer.get("dilation", 1) * (k - 1) + 1 for k in w[2:]]
        size = [(n + 2 * padding - m) // stride + 1 for n, m in zip(x[2:], span, strict=True)]
        y = (x[0], w[0], *size)
        multiply_adds = np.prod(y) * np.prod(w[1:])
    elif kind == "conv_transpose2d":
        size = [(n - 1) * stride + k - 2 * padding for n, k in zip(x[2:], w[2:], strict=True)]
        y = (x[0], w[1], *size)
        multiply_adds = np.prod(x) * np.prod(w[1:])
    elif kind == "dense":
        y = (x[0], w[1])
        multiply_adds = np.prod(x) * w[1]
    else:
        raise ValueError(f'unknown kind "{kind}", expected conv2d, conv_transpose2d or dense')
    outputs = np.prod(y)
    params, total = np.prod(w), 2 * multiply_adds
    if layer.get("bias", False):
        params += y[1]
        total += outputs
    numbers = np.prod(x) + params + outputs
    return {"flops": int(total), "params": int(params), "bytes": int(4 * numbers)}


def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """Stamp w (C_in, C_out, kH, kW) for each pixel of x (N, C_in, H, W) -> (N, C_out, H_out, W_out).

    H_out = (H - 1)*stride + kH - 2*padding, likewise W_out; padding is cut off. b (C_out,) or None.
    Floating. The convention of torch.nn.functional.conv_transpose2d.
    """
    (N, C_in, H, W), (_, C_out, kH, kW) = x.shape, w.shape
    H_p, W_p = (H - 1) * stride + kH, (W - 1) * stride + kW
    dtype = np.result_type(x, w, np.float32)
    stamps = w.reshape(C_in, -1).T.astype(dtype) @ x.reshape(N, C_in, -1)
    stamps = stamps.reshape(N, C_out, kH, kW, H, W)
    y_p = np.zeros((N, C_out, H_p, W_p), dtype)
    for k1, k2 in np.ndindex(kH, kW):
        rows = slice(k1, k1 + stride * H, stride)
        columns = slice(k2, k2 + stride * W, stride)
        y_p[:, :, rows, columns] += stamps[:, :, k1, k2]
    if b is not None:
        y_p += np.reshape(b, (-1, 1, 1))
    return y_p[:, :, padding : H_p - padding, padding : W_p - padding]


def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """One kernel for each channel of x (N, C_in, H, W), then 1 x 1 -> (N, C_out, H_out, W_out), floating.

    w_depth (C_in, 1, kH, kW), with stride and padding; w_point (C_out, C_in, 1, 1), b (C_out,) or None.
    """
    (N, C_in, H, W), (_, _, kH, kW) = x.shape, w_depth.shape
    H_out, W_out = (H + 2 * padding - kH) // stride + 1, (W + 2 * padding - kW) // stride + 1
    dtype = np.result_type(x, w_depth, w_point, np.float32)
    sides = (padding, padding)
    x_p = np.pad(x, ((0, 0), (0, 0), sides, sides)).astype(dtype)
    looked = np.zeros((N, C_in, H_out, W_out), dtype)
    for k1, k2 in np.ndindex(kH, kW):
        rows = slice(k1, k1 + stride * H_out, stride)
        columns = slice(k2, k2 + stride * W_out, stride)
        looked += x_p[:, :, rows, columns] * w_depth[:, :, k1, k2, None]
    y = w_point[:, :, 0, 0] @ looked.reshape(N, C_in, -1)
    if b is not None:
        y = y + np.reshape(b, (-1, 1))
    return y.reshape(N, -1, H_out, W_out)


def minibatches(n, batch_size, rng):
    """Yield the indices 0 ... n-1, shuffled by rng, batch_size at a time; the last batch may be smaller."""
    order = rng.permutation(n)
    for start in range(0, n, batch_size):
        yield order[start : start + batch_size]


def update(net, rule, states, **settings):
    """One step of an optimizer for every weight of net, in place.

    rule(w, dw, state, **settings) -> w_next, state; states is a dict, {} at first, that keeps one
    state for each name in net.params.
    """
    for name, w in net.params.items():
        w_next, states[name] = rule(w, net.grads[name], states.get(name, {}), **settings)
        w[...] = w_next


def sgd(w, dw, state, *, lr):
    """One step of gradient descent: w - lr * dw -> w_next, state."""
    return w - lr * dw, state


def momentum(w, dw, state, *, lr, momentum=0.9):
    """Polyak 1964, PyTorch's form: v = momentum * v + dw, then w - lr * v -> w_next, state."""
    v = momentum * state.get("v", 0) + dw
    return w - lr * v, {"v": v}


def nesterov(w, dw, state, *, lr, momentum=0.9):
    """Nesterov's momentum in PyTorch's form -> w_next, state.

    v = momentum * v + dw, then w - lr * (dw + momentum * v). dw is the gradient at w itself.
    """
    v = momentum * state.get("v", 0) + dw
    return w - lr * (dw + momentum * v), {"v": v}


def delta_bar_delta(w, dw, state, *, lr, kappa=0.01, phi=0.1, theta=0.7):
    """Jacobs 1988: every weight has its own rate, lr at first -> w_next, state.

    Where dw and the trace of the gradients before it have the same sign, rate + kappa; where the
    signs differ, rate * (1 - phi); where either is 0, as it was. Then w - rate * dw, with the new
    rate. Last, trace = (1 - theta) * dw + theta * trace; it is 0 at first.
    """
    rate, trace = state.get("rate", lr), state.get("trace", np.zeros_like(dw))
    agree = np.sign(trace) * np.sign(dw)
    rate = np.where(agree > 0, rate + kappa, np.where(agree < 0, rate * (1 - phi), rate))
    return w - rate * dw, {"rate": rate, "trace": (1 - theta) * dw + theta * trace}


def adagrad(w, dw, state, *, lr, eps=1e-10):
    """Duchi et al. 2011: s = s + dw**2, then w - lr * dw / (sqrt(s) + eps) -> w_next, state."""
    s = state.get("s", 0) + dw**2
    return w - lr * dw / (np.sqrt(s) + eps), {"s": s}


def rmsprop(w, dw, state, *, lr, alpha=0.99, eps=1e-8):
    """Tieleman & Hinton 2012, lecture 6e -> w_next, state.

    s = alpha * s + (1 - alpha) * dw**2, 0 at first; then w - lr * dw / (sqrt(s) + eps).
    """
    s = alpha * state.get("s", 0) + (1 - alpha) * dw**2
    return w - lr * dw / (np.sqrt(s) + eps), {"s": s}


def adadelta(w, dw, state, *, lr=1.0, rho=0.9, eps=1e-6):
    """Zeiler 2012, algorithm 1, with PyTorch's lr -> w_next, state.

    s = rho * s + (1 - rho) * dw**2; step = sqrt(u + eps) / sqrt(s + eps) * dw;
    u = rho * u + (1 - rho) * step**2; then w - lr * step. s and u are 0 at first.
    """
    s = rho * state.get("s", 0) + (1 - rho) * dw**2
    u = state.get("u", 0)
    step = np.sqrt(u + eps) / np.sqrt(s + eps) * dw
    return w - lr * step, {"s": s, "u": rho * u + (1 - rho) * step**2}


def adam(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8):
    """Kingma & Ba 2015 (arXiv:1412.6980), algorithm 1 -> w_next, state.

    Running means m of dw and v of dw**2, 0 at first; both are divided by 1 - beta**t, t = 1, 2, ...;
    then w - lr * m_hat / (sqrt(v_hat) + eps).
    """
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    return w - lr * m_hat / (np.sqrt(v_hat) + eps), {"t": t, "m": m, "v": v}


def adamw(w, dw, state, *, lr, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    """Loshchilov & Hutter 2019 (arXiv:1711.05101), PyTorch's form -> w_next, state.

    w * (1 - lr * weight_decay), then the step of Adam; its moments do not see the decay.
    """
    t = state.get("t", 0) + 1
    m = beta1 * state.get("m", 0) + (1 - beta1) * dw
    v = beta2 * state.get("v", 0) + (1 - beta2) * dw**2
    m_hat, v_hat = m / (1 - beta1**t), v / (1 - beta2**t)
    decayed = w * (1 - lr * weight_decay)
    return decayed - lr * m_hat / (np.sqrt(v_hat) + eps), {"t": t, "m": m, "v": v}


def step_decay(t, *, lr0, factor, every):
    """The rate of step t = 0, 1, ...: lr0, multiplied by factor after each `every` steps."""
    return lr0 * factor ** (t // every)


def exponential_decay(t, *, lr0, k):
    """The rate of step t = 0, 1, ...: lr0 * exp(-k * t)."""
    return lr0 * np.exp(-k * t)


def inverse_time_decay(t, *, lr0, k):
    """The rate of step t = 0, 1, ...: lr0 / (1 + k * t)."""
    return lr0 / (1 + k * t)


def cosine(t, *, lr0, total, lr_min=0.0):
    """The rate of step t = 0 ... total: from lr0 to lr_min along half a cosine (SGDR, 2017)."""
    return lr_min + (lr0 - lr_min) * (1 + np.cos(np.pi * t / total)) / 2


def warm_restarts(t, *, lr0, period, factor=1, lr_min=0.0):
    """SGDR (Loshchilov & Hutter 2017, arXiv:1608.03983, eq. 5): the rate of step t = 0, 1, ...

    Cycles of period, period * factor, period * factor**2 ... steps (whole numbers, factor >= 1).
    t' steps after the beginning of a cycle of T steps the rate is
    lr_min + (lr0 - lr_min) * (1 + cos(pi * t' / T)) / 2: lr0 at t' = 0, and again at t' = T.
    """
    while t >= period:
        t, period = t - period, period * factor
    return lr_min + (lr0 - lr_min) * (1 + np.cos(np.pi * t / period)) / 2


def clip_gradient_norm(grads, max_norm):
    """Scale all arrays of the list grads by one factor, so that their joint norm is at most max_norm.

    Pascanu et al. 2013, algorithm 1. Return a new list; grads and its arrays are not changed.
    """
    norm = np.sqrt(sum(np.sum(g**2) for g in grads))
    scale = max_norm / norm if norm > max_norm else 1.0
    return [g * scale for g in grads]


def zeros_init(shape, rng=None):
    """Zeros of this shape, floating; rng is not used."""
    return np.zeros(shape)


def he_init(shape, rng):
    """Random weights with mean 0 and variance 2 / fan_in (He et al. 2015, arXiv:1502.01852, eq. 10).

    shape is (fan_in, fan_out) or (C_out, C_in, kH, kW), where fan_in is C_in * kH * kW.
    Normal or uniform.
    """
    fan_in = shape[0] if len(shape) == 2 else np.prod(shape[1:])
    return rng.standard_normal(shape) * np.sqrt(2 / fan_in)


def xavier_init(shape, rng):
    """Random weights, mean 0, variance 2 / (fan_in + fan_out) (Glorot & Bengio 2010, eq. 12 and 16).

    shape is (fan_in, fan_out) or (C_out, C_in, kH, kW), where fan_in is C_in * kH * kW and
    fan_out is C_out * kH * kW. Normal or uniform.
    """
    # (C_out, C_in, kH, kW): fan_in + fan_out = (C_out + C_in) * kH * kW; a dense weight has no kH, kW
    fans = (shape[0] + shape[1]) * np.prod(shape[2:])
    bound = np.sqrt(6 / fans)
    return rng.uniform(-bound, bound, shape)


def truncated_normal(shape, rng, std=1.0, bound=2.0):
    """std * z, z standard normal, redrawn until every |z| <= bound; floating array of this shape."""
    z = np.full(shape, np.inf)  # nothing drawn yet: all of it lies outside
    while (outside := np.abs(z) > bound).any():
        z[outside] = rng.standard_normal(outside.sum())
    return std * z


def l1(w, strength):
    """strength * sum |w| and its gradient with respect to w (0 where w is 0) -> number, array."""
    return strength * np.sum(np.abs(w)), strength * np.sign(w)


def l2(w, strength):
    """strength / 2 * sum w**2 and its gradient with respect to w -> number, array."""
    return strength / 2 * np.sum(w**2), strength * w


def max_norm(w, limit):
    """Scale each unit's incoming weights to length `limit` (> 0) where they are longer -> new array.

    w is (fan_in, fan_out), a unit is a column; or (C_out, C_in, kH, kW), a unit is w[f].
    """
    axes = 0 if w.ndim == 2 else (1, 2, 3)
    length = np.sqrt(np.sum(w**2, axis=axes, keepdims=True))
    return w * (limit / np.maximum(length, limit))


def dropout(x, p, rng, training=True):
    """Inverted dropout of every element of x with probability p (to DROP), 0 <= p < 1 -> y, mask.

    Training: y = x * mask, mask is 0 with probability p, else 1 / (1 - p).
    Inference: y = x; the mask is not looked at.
    """
    if not training:
        return x, None
    mask = (rng.random(x.shape) >= p) / (1 - p)
    return x * mask, mask


def dropout_backward(dy, mask):
    """Gradient dx of dropout for the upstream gradient dy; mask is what x was multiplied by."""
    return dy * mask


class Dropout(Layer):
    """dropout as a layer: p is the probability to drop, rng throws the dice, no params."""

    def __init__(self, p, rng):
        super().__init__()
        self.p, self.rng = p, rng

    def forward(self, x):
        y, self.mask = dropout(x, self.p, self.rng, self.training)
        return y

    def backward(self, dy):
        return dropout_backward(dy, self.mask) if self.training else dy


class EarlyStopping:
    """EarlyStopping(patience, min_delta=0.0) says when to stop and keeps the best loss and weights.

    update(loss, params=None) -> bool: True once the last `patience` (>= 1) calls brought no
    improvement, a loss below best - min_delta. NaN is none. No call follows a True.
    best: the loss of the last improvement, infinite before the first.
    best_params: {name: copy of the array} of that moment, or None.
    """

    def __init__(self, patience, min_delta=0.0):
        self.patience, self.min_delta = patience, min_delta
        self.best, self.best_params = np.inf, None
        self.waited = 0  # updates in a row without an improvement

    def update(self, loss, params=None):
        if loss < self.best - self.min_delta:
            self.best, self.waited = loss, 0
            if params is not None:
                self.best_params = {name: w.copy() for name, w in params.items()}
        else:
            self.waited += 1
        return self.waited >= self.patience


def random_flip(x, rng, p=0.5):
    """Mirror each picture of x (N, C, H, W) left to right with probability p -> (N, C, H, W)."""
    chosen = rng.random(len(x)) < p
    return np.where(chosen[:, None, None, None], x[..., ::-1], x)


def random_crop(x, rng, size):
    """Cut a window of size (h, w) out of each picture of x (N, C, H, W), anywhere -> (N, C, h, w)."""
    h, w = size
    windows = []
    for picture in x:
        top = rng.integers(x.shape[2] - h + 1)
        left = rng.integers(x.shape[3] - w + 1)
        windows.append(picture[:, top : top + h, left : left + w])
    return np.stack(windows)


def random_shift(x, rng, most):
    """Move each picture of x (N, C, H, W) by -most ... most rows and columns; zeros come in."""
    H, W = x.shape[2:]
    sides = (most, most)
    windows = []
    for picture in np.pad(x, ((0, 0), (0, 0), sides, sides)):
        top, left = rng.integers(2 * most + 1, size=2)
        windows.append(picture[:, top : top + H, left : left + W])
    return np.stack(windows)


def rotate(x, angles):
    """Turn each picture of x (N, C, H, W) around its middle by angles (N,), degrees, counter-clockwise.

    Bilinear, zeros outside, same size.
    """
    H, W = x.shape[2:]
    rows, columns = np.indices((H, W))
    down, right = rows - (H - 1) / 2, columns - (W - 1) / 2
    ring = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))  # zeros outside; shifts each place by 1
    turned = []
    for picture, angle in zip(ring, np.radians(angles), strict=True):
        a = down * np.cos(angle) + right * np.sin(angle) + (H + 1) / 2
        b = right * np.cos(angle) - down * np.sin(angle) + (W + 1) / 2
        a, b = np.clip(a, 0, H + 1), np.clip(b, 0, W + 1)
        i, j = np.minimum(a.astype(int), H), np.minimum(b.astype(int), W)
        a, b = a - i, b - j
        upper = (1 - b) * picture[:, i, j] + b * picture[:, i, j + 1]
        lower = (1 - b) * picture[:, i + 1, j] + b * picture[:, i + 1, j + 1]
        turned.append((1 - a) * upper + a * lower)
    return np.stack(turned)


def random_brightness(x, rng, most):
    """Multiply each picture of x (N, C, H, W) by its own factor from 1 - most to 1 + most; at most 1."""
    factors = rng.uniform(1 - most, 1 + most, (len(x), 1, 1, 1))
    return np.minimum(x * factors, 1)


def cutout(x, rng, size):
    """Set a square of size x size around a random pixel of each picture of x (N, C, H, W) to 0."""
    y = x.copy()
    for picture in y:
        top = rng.integers(x.shape[2]) - size // 2
        left = rng.integers(x.shape[3]) - size // 2
        picture[:, max(top, 0) : top + size, max(left, 0) : left + size] = 0
    return y


def augment(x, rng, steps):
    """Apply each function step(x, rng) of steps, in order, to the result of the one before."""
    for step in steps:
        x = step(x, rng)
    return x


def batch_norm(x, gamma, beta, running_mean, running_var, training, momentum=0.1, eps=1e-5):
    """Normalize x (N, C) or (N, C, H, W) per channel, times gamma (C,) plus beta (C,) -> y, shape of x.

    training: by mean and biased variance of the batch; running_mean and running_var (C,) move in place by
    momentum towards the batch's mean and unbiased variance. Otherwise: by running_mean and running_var.
    """
    N, C = x.shape[:2]
    x_3 = x.reshape(N, C, -1)  # (N, C, H*W), or (N, C, 1) for rows
    if x.dtype.kind != "f":
        x_3 = x_3.astype(float)
    if training:
        mean = x_3.mean(axis=(0, 2))
        y = x_3 - mean[:, None]
        m = y.size / C  # numbers per channel
        var = np.einsum("ncl,ncl->c", y, y) / m  # one pass, and no array of squares
        running_mean += momentum * (mean - running_mean)
        running_var += momentum * (var * m / (m - 1) - running_var)
    else:
        y = x_3 - running_mean.astype(x_3.dtype)[:, None]
        var = running_var
    y *= (gamma / np.sqrt(var + eps)).astype(y.dtype)[:, None]
    y += beta[:, None]
    return y.reshape(x.shape)


def batch_norm_backward(dy, x, gamma, eps=1e-5):
    """Gradients of batch_norm in training: dy and x (N, C) or (N, C, H, W) -> dx, dgamma (C,), dbeta (C,)."""
    N, C = x.shape[:2]
    dy_3, x_3 = dy.reshape(N, C, -1), x.reshape(N, C, -1)
    m = x.size / C
    x_hat = x_3 - x_3.mean(axis=(0, 2))[:, None]
    s = 1 / np.sqrt(np.einsum("ncl,ncl->c", x_hat, x_hat) / m + eps)
    x_hat *= s[:, None]
    dbeta = dy_3.sum(axis=(0, 2))
    dgamma = np.einsum("ncl,ncl->c", dy_3, x_hat)
    dx = dy_3 - x_hat * (dgamma / m)[:, None]
    dx -= (dbeta / m)[:, None]
    dx *= (gamma * s)[:, None]
    return dx.reshape(x.shape), dgamma, dbeta


class BatchNorm(Layer):
    """batch_norm as a layer for (N, channels) or (N, channels, H, W); params "gamma" and "beta" (channels,)."""

    def __init__(self, channels, momentum=0.1, eps=1e-5):
        super().__init__()
        self.momentum, self.eps = momentum, eps
        self.params = {"gamma": np.ones(channels), "beta": np.zeros(channels)}
        self.running_mean, self.running_var = np.zeros(channels), np.ones(channels)

    def forward(self, x):
        """Normalize by the batch in training, by the running statistics in use."""
        self.x = x
        return batch_norm(
            x,
            self.params["gamma"],
            self.params["beta"],
            self.running_mean,
            self.running_var,
            self.training,
            self.momentum,
            self.eps,
        )

    def backward(self, dy):
        """Return dx and fill grads, in training or in use as forward before it."""
        if self.training:
            dx, dgamma, dbeta = batch_norm_backward(dy, self.x, self.params["gamma"], self.eps)
        else:  # the statistics are constants: each number has its own straight line
            per_channel = (1, -1) + (1,) * (dy.ndim - 2)
            others = (0, *range(2, dy.ndim))
            root = np.sqrt(self.running_var + self.eps).astype(dy.dtype)
            x_hat = (self.x - self.running_mean.reshape(per_channel)) / root.reshape(per_channel)
            dx = dy * (self.params["gamma"] / root).reshape(per_channel)
            dgamma, dbeta = (dy * x_hat).sum(axis=others), dy.sum(axis=others)
        self.grads = {"gamma": dgamma, "beta": dbeta}
        return dx


def layer_norm(x, gamma, beta, eps=1e-5):
    """Normalize each example of x (N, ...) over all its axes, times gamma plus beta, both x.shape[1:]."""
    rows = x.reshape(len(x), -1)
    centred = rows - rows.mean(axis=1, keepdims=True)
    x_hat = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + eps)
    return gamma * x_hat.reshape(x.shape) + beta


def instance_norm(x, gamma, beta, eps=1e-5):
    """Normalize each channel of each example of x (N, C, H, W) over (H, W); gamma and beta (C,)."""
    centred = x - x.mean(axis=(2, 3), keepdims=True)
    x_hat = centred / np.sqrt((centred**2).mean(axis=(2, 3), keepdims=True) + eps)
    return gamma[:, None, None] * x_hat + beta[:, None, None]


def group_norm(x, num_groups, gamma, beta, eps=1e-5):
    """Normalize each group of C / num_groups neighbouring channels of each example of x (N, C, H, W)."""
    groups = x.reshape(len(x), num_groups, -1)
    centred = groups - groups.mean(axis=2, keepdims=True)
    x_hat = centred / np.sqrt((centred**2).mean(axis=2, keepdims=True) + eps)
    return gamma.reshape(-1, 1, 1) * x_hat.reshape(x.shape) + beta.reshape(-1, 1, 1)


class GroupNorm(Layer):
    """group_norm as a layer for (N, channels) or (N, channels, H, W); params "gamma" and "beta" (channels,)."""

    def __init__(self, channels, num_groups, eps=1e-5):
        super().__init__()
        self.num_groups, self.eps = num_groups, eps
        self.params = {"gamma": np.ones(channels), "beta": np.zeros(channels)}

    def forward(self, x):
        """Normalize each group of each example, in training and in use alike."""
        self.x = x
        return self._normalized(x, self.params["gamma"], self.params["beta"])

    def _normalized(self, x, gamma, beta):
        pictures = x.reshape(*x.shape, *[1] * (4 - x.ndim))  # a row is a picture of one pixel
        return group_norm(pictures, self.num_groups, gamma, beta, self.eps).reshape(x.shape)

    def backward(self, dy):
        """Return dx and fill grads."""
        x, gamma = self.x, self.params["gamma"]
        others = (0, *range(2, x.ndim))
        plain = self._normalized(x, np.ones_like(gamma), np.zeros_like(gamma))
        self.grads = {"gamma": (dy * plain).sum(axis=others), "beta": dy.sum(axis=others)}
        d_plain = dy * gamma.reshape(1, -1, *[1] * (x.ndim - 2))
        count = len(x) * self.num_groups
        columns = d_plain.reshape(count, -1).T, x.reshape(count, -1).T  # one column per group
        dx, _, _ = batch_norm_backward(*columns, np.ones(count, dtype=x.dtype), self.eps)
        return dx.T.reshape(x.shape)


def local_response_norm(x, size, alpha=1e-4, beta=0.75, k=1.0):
    """Divide x (N, C, H, W) by (k + alpha / size * sum of squares of size neighbouring channels) ** beta."""
    x = np.asarray(x, dtype=x.dtype if x.dtype.kind == "f" else float)
    C = x.shape[1]
    around = (size // 2, (size - 1) // 2)
    squares = np.pad(x**2, ((0, 0), around, (0, 0), (0, 0)))
    total = sum(squares[:, start : start + C] for start in range(size))
    return x / (k + alpha / size * total) ** beta


def fold_batch_norm(w, b, gamma, beta, running_mean, running_var, eps=1e-5):
    """Fold batch norm in use into the convolution before it, w (C_out, C_in, kH, kW) and b (C_out,) or None -> w, b."""
    t = gamma / np.sqrt(running_var + eps)
    shift = -running_mean if b is None else b - running_mean
    return w * t[:, None, None, None], t * shift + beta


def numpy_network(rng, num_classes=10, in_channels=1, image_size=(28, 28)):
    """CONV 16 5x5, BN, ReLU, POOL 2, CONV 32 5x5, BN, ReLU, POOL 2, FC -> a Sequential of our own layers.

    image_size is (H, W), at least 4 each. Weights are drawn from rng by the layers.
    """
    H, W = image_size
    return Sequential(
        [
            Conv2d(in_channels, 16, 5, rng, padding=2),
            BatchNorm(16),
            ReLU(),
            MaxPool2d(2),
            Conv2d(16, 32, 5, rng, padding=2),
            BatchNorm(32),
            ReLU(),
            MaxPool2d(2),
            Flatten(),
            Dense(32 * (H // 4) * (W // 4), num_classes, rng),
        ]
    )


class FashionNet(nn.Module):
    """CONV 16 5x5, BN, ReLU, POOL 2, CONV 32 5x5, BN, ReLU, POOL 2, FC: x (N, C, H, W) -> logits (N, num_classes).

    FashionNet(num_classes=10, in_channels=1, image_size=(28, 28)); image_size is (H, W), at least 4 each.
    Made of nn.Conv2d, nn.BatchNorm2d and nn.Linear with torch's defaults, all with a bias.
    """

    def __init__(self, num_classes=10, in_channels=1, image_size=(28, 28)):
        super().__init__()
        H, W = image_size
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 16, 5, padding=2),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2),
            nn.BatchNorm2d(32),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Linear(32 * (H // 4) * (W // 4), num_classes)

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def copy_weights(net, model):
    """Copy weights, biases and running statistics of net (our layers) into model (torch's), in place.

    net.layers and model.modules() hold layers with parameters of the same kinds in the same order:
    Conv2d, BatchNorm, Dense and nn.Conv2d, nn.BatchNorm2d, nn.Linear. net stays as it is, and shares no memory.
    """
    names = {"w": "weight", "b": "bias", "gamma": "weight", "beta": "bias"}
    layers = [layer for layer in net.layers if layer.params]
    twins = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.BatchNorm2d | nn.Linear)]
    with torch.no_grad():
        for layer, twin in zip(layers, twins, strict=True):
            for name, array in layer.params.items():
                turned = array.T if isinstance(twin, nn.Linear) else array
                getattr(twin, names[name]).copy_(torch.from_numpy(turned))
            if isinstance(twin, nn.BatchNorm2d):
                twin.running_mean.copy_(torch.from_numpy(layer.running_mean))
                twin.running_var.copy_(torch.from_numpy(layer.running_var))


def evaluate(model, x, y, batch_size=256):
    """Mean cross-entropy and accuracy (0 to 1) of model on x (N, C, H, W), y (N,), in eval mode, without gradients.

    Every example weighs the same, also those of a last, smaller batch. x and y are moved to the
    model's device batch by batch. The model's mode is left as it was.
    """
    device, was_training = next(model.parameters()).device, model.training
    model.eval()
    loss, right = 0.0, 0
    with torch.no_grad():
        for start in range(0, len(x), batch_size):
            xb = x[start : start + batch_size].to(device)
            yb = y[start : start + batch_size].to(device)
            logits = model(xb)
            loss += float(F.cross_entropy(logits, yb, reduction="sum"))
            right += int((logits.argmax(dim=1) == yb).sum())
    model.train(was_training)
    return loss / len(x), right / len(x)


def train(
    model,
    x,
    y,
    optimizer,
    *,
    epochs,
    batch_size=64,
    scheduler=None,
    augment=None,
    after_epoch=None,
    seed=0,
):
    """Train model on x (N, C, H, W), y (N,) with cross-entropy -> list of the loss of each step (floats).

    Batches are shuffled anew each epoch by a generator of its own, seeded by seed. augment(xb) -> xb, if given,
    changes each batch on the model's device. scheduler.step() is called after each step.
    after_epoch(epoch) is called after each epoch, from 0; what it returns, if true, ends the training.
    epochs is at least 1.
    """
    device = next(model.parameters()).device
    dice = torch.Generator().manual_seed(seed)
    losses = []
    for epoch in range(epochs):
        model.train()
        for batch in torch.randperm(len(x), generator=dice).split(batch_size):
            xb, yb = x[batch].to(device), y[batch].to(device)
            if augment is not None:
                xb = augment(xb)
            loss = F.cross_entropy(model(xb), yb)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if scheduler is not None:
                scheduler.step()
            losses.append(loss.detach())
        if after_epoch is not None and after_epoch(epoch):
            break
    return torch.stack(losses).tolist()


def confusion_matrix(y_true, y_pred, num_classes):
    """How often true class i (row) was called j (column): labels (N,), (N,) -> (num_classes, num_classes) integers."""
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (y_true, y_pred), 1)
    return counts


def precision(y_true, y_pred, num_classes):
    """Of all that were called c, the share that are c, for each class c: (num_classes,), 0 for 0/0."""
    called = np.bincount(y_pred, minlength=num_classes)
    right = np.bincount(y_pred[y_true == y_pred], minlength=num_classes)
    return right / np.maximum(called, 1)


def recall(y_true, y_pred, num_classes):
    """Of all that are c, the share that were called c, for each class c: (num_classes,), 0 for 0/0."""
    there = np.bincount(y_true, minlength=num_classes)
    right = np.bincount(y_true[y_true == y_pred], minlength=num_classes)
    return right / np.maximum(there, 1)


def f1(y_true, y_pred, num_classes):
    """Harmonic mean of precision and recall, for each class: (num_classes,), 0 for 0/0."""
    both = np.bincount(y_true, minlength=num_classes) + np.bincount(y_pred, minlength=num_classes)
    right = np.bincount(y_true[y_true == y_pred], minlength=num_classes)
    return 2 * right / np.maximum(both, 1)


def top_k_accuracy(scores, y, k):
    """Share of the rows of scores (N, num_classes) in which the true class y (N,) is among the k largest."""
    own = scores[np.arange(len(y)), y]
    better = (scores > own[:, None]).sum(axis=1)
    return float(np.mean(better < k))


def random_search(objective, space, n, rng):
    """Try n random configurations -> (the best configuration, history).

    space: {name: (low, high, "linear" or "log")}; a configuration is {name: float}, drawn from rng.
    objective(config) -> loss, smaller is better, NaN is worst. history: [(config, loss), ...] in order.
    """
    history = []
    for _ in range(n):
        config = {}
        for name, (low, high, scale) in space.items():
            if scale == "log":
                config[name] = math.exp(rng.uniform(math.log(low), math.log(high)))
            else:
                config[name] = rng.uniform(low, high)
        history.append((config, float(objective(config))))
    best, _ = min((pair for pair in history if not math.isnan(pair[1])), key=lambda pair: pair[1])
    return best, history


def hyperband(objective, sample, max_budget, rng, eta=3):
    """Hyperband (Li et al. 2018, algorithm 1) -> (the configuration with the smallest loss, history).

    objective(config, budget) -> loss, NaN is worst; sample(rng) -> config; 1 <= budget <= max_budget, up to rounding.
    history: [(config, budget, loss), ...] in order. Brackets from s_max, the most configurations, down to 0.
    """
    s_max = 0
    while eta ** (s_max + 1) <= max_budget:
        s_max += 1
    history = []
    for s in range(s_max, -1, -1):
        n = -(-(s_max + 1) * eta**s // (s + 1))
        configs = [sample(rng) for _ in range(n)]
        for i in range(s + 1):
            budget = max_budget / eta ** (s - i)
            losses = [objective(config, budget) for config in configs]
            history += zip(configs, [budget] * len(configs), losses, strict=True)
            order = sorted(range(len(configs)), key=lambda k: (math.isnan(losses[k]), losses[k]))
            configs = [configs[k] for k in order[: n // eta ** (i + 1)]]
    best, _, _ = min((one for one in history if not math.isnan(one[2])), key=lambda one: one[2])
    return best, history


def gp_posterior(x, y, x_new, length=0.3, noise=1e-3):
    """Gaussian process with an RBF kernel: places x (N, d), losses y (N,) -> mean (M,), std (M,) at x_new (M, d).

    Prior mean 0 and variance 1; noise is the variance of y given the function. Rasmussen & Williams 2006, algorithm 2.1.
    """

    def kernel(a, b):
        return np.exp(-((a[:, None] - b[None]) ** 2).sum(axis=2) / (2 * length**2))

    lower = np.linalg.cholesky(kernel(x, x) + noise * np.eye(len(x)))
    cross = np.linalg.solve(lower, kernel(x, x_new))
    mean = cross.T @ np.linalg.solve(lower, y)
    variance = np.maximum(1 - (cross**2).sum(axis=0), 0)
    return mean, np.sqrt(variance)


def expected_improvement(mean, std, best):
    """Mean of max(best - f, 0) for f normal with mean (M,) and std (M,) >= 0 -> (M,)."""
    gain = best - mean
    z = gain / np.where(std > 0, std, 1)
    density = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    below = 0.5 * (1 + np.vectorize(math.erf)(z / np.sqrt(2)))
    return np.where(std > 0, gain * below + std * density, np.maximum(gain, 0))


def gp_improvement(x, y, x_new):
    """How promising are the places x_new (M, d), after losses y (N,), standardised, at x (N, d): (M,)."""
    mean, std = gp_posterior(x, y, x_new)
    return expected_improvement(mean, std, y.min())


def bayesian_search(objective, candidates, acquisition, n, rng, start=4):
    """Try n of the candidates (M, d), after the first start those that acquisition likes best -> (best place, history).

    objective(place (d,)) -> loss, a finite number; acquisition(places (N, d), standardised losses (N,), other places) ->
    one number each, the largest is tried next. history: [(place, loss), ...] in order.
    """
    tried = list(rng.permutation(len(candidates))[:start])
    losses = [objective(candidates[i]) for i in tried]
    while len(tried) < n:
        rest = [i for i in range(len(candidates)) if i not in tried]
        y = np.array(losses)
        y = (y - y.mean()) / (y.std() or 1.0)
        scores = acquisition(candidates[tried], y, candidates[rest])
        tried.append(rest[np.argmax(scores)])
        losses.append(objective(candidates[tried[-1]]))
    history = [(candidates[i], loss) for i, loss in zip(tried, losses, strict=True)]
    return candidates[tried[np.argmin(losses)]], history


class LeNet5(nn.Module):
    """LeNet-5 as it is built today: x (N, in_channels, 32, 32), or 28 x 28, padded by 2 first -> (N, num_classes).

    LeCun et al. 1998, with max pooling, complete connections and a dense layer at the end.
    activation: a function of a tensor, after each layer with weights but the last.
    """

    def __init__(self, num_classes=10, in_channels=1, activation=torch.relu):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        self.activation = activation

    def forward(self, x):
        if x.shape[-1] == 28:
            x = F.pad(x, (2, 2, 2, 2))
        x = F.max_pool2d(self.activation(self.conv1(x)), 2)
        x = F.max_pool2d(self.activation(self.conv2(x)), 2)
        x = self.activation(self.fc1(x.flatten(1)))
        return self.fc3(self.activation(self.fc2(x)))


def conv_cost(in_channels, out_channels, kernel_size, output_size, groups=1, bias=True):
    """Parameters and multiply-adds (for one example) of a convolution -> two ints.

    kernel_size: an int or a pair; output_size: (H, W) of its output. Adding the bias counts as no multiply-add.
    """
    kH, kW = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    weights = out_channels * (in_channels // groups) * kH * kW
    H, W = output_size
    return weights + out_channels * bias, weights * H * W


class Stage:
    """One module of a network as it ran once: see layer_table.

    name            in the network, "features.0"
    kind            its class, "Conv2d"
    shape           of its output, (N, C, H, W); of the first tensor where it gives several; () if there is none
    parameters      its own, without its children's; 0 where they were counted in an earlier row
    multiply_adds   of convolutions and dense layers, for the whole batch; 0 for all others
    """

    def __init__(self, name, kind, shape, parameters, multiply_adds):
        self.name, self.kind, self.shape = name, kind, shape
        self.parameters, self.multiply_adds = parameters, multiply_adds

    def __repr__(self):
        size = " x ".join(str(n) for n in self.shape[1:])
        return f"{self.name:<16} {self.kind:<18} {size:>16} {self.parameters:>12,} {self.multiply_adds:>15,}"


def layer_table(model, x):
    """Run model on x once, with a hook on each leaf of its tree of modules -> a Stage for each, in the order in which they ran.

    A module that runs twice has two rows. Parameters count once, in the row that ran first, also those that two
    modules share. A module that holds parameters of its own beside its children has a row, too, after theirs.
    What is called as a function (F.relu), and a module that does not run, has no row. Works on the "meta" device.
    The model runs in the mode it is in (in training, auxiliary heads run as well), without gradients; its buffers,
    such as running statistics, are left as they were, and the hooks are taken off, also if it fails.
    """
    forward_convs = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
    transposed_convs = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    rows, hooks, counted = [], [], set()

    def first_tensor(value):
        """The first tensor in nested tuples, lists and dicts; None if there is none."""
        if isinstance(value, torch.Tensor):
            return value
        if isinstance(value, dict):
            value = list(value.values())
        inside = value if isinstance(value, tuple | list) else ()
        return next((t for t in map(first_tensor, inside) if t is not None), None)

    def record(name, module, arguments, output):
        own = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(id(p) for p in own)
        output = first_tensor(output)
        work = 0  # products: weights of one filter, for each number of the output
        if isinstance(module, (*forward_convs, nn.Linear)):
            work = output.numel() * module.weight[0].numel()
        elif isinstance(module, transposed_convs):  # here each number of the *input* meets a filter
            work = first_tensor(arguments).numel() * module.weight[0].numel()
        shape = () if output is None else tuple(output.shape)
        rows.append(Stage(name, type(module).__name__, shape, sum(p.numel() for p in own), work))

    for name, module in model.named_modules():
        if not list(module.children()) or list(module.parameters(recurse=False)):
            hooks.append(
                module.register_forward_hook(
                    lambda m, args, kwargs, o, name=name: record(name, m, (args, kwargs), o),
                    with_kwargs=True,
                )
            )
    before = [(b, b.clone()) for b in model.buffers()]
    try:
        with torch.no_grad():
            model(x)
    finally:
        for hook in hooks:
            hook.remove()
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)
    return rows


def draw_stages(rows, ax=None):
    """Draw a network from layer_table's rows: a block for each layer that has weights or changes the maps' shape.

    Above the line: height of a block = height of the map, width = its channels (logarithmic); a thin bar is a dense
    layer. Below the line, under each block: its share of all parameters (light) and of all multiply-adds (dark).
    """
    ax = ax or plt.gca()
    colors = {"conv": "#5a8fc3", "pool": "#d9d9d9", "dense": "#e0a94a", "other": "#ffffff"}

    def group(row):
        if row.kind.startswith(("Conv", "LazyConv")):
            return "conv"
        if row.kind == "Linear":
            return "dense"
        return "pool" if "Pool" in row.kind else "other"

    blocks, costs = [], []  # what is drawn; its costs, with those of the rows that are not
    for row in rows:
        weighty = group(row) in ("conv", "dense")
        picture = len(row.shape) == 4
        changed = picture and (not blocks or row.shape[1:] != blocks[-1].shape[1:])
        if weighty or changed:
            blocks.append(row)
            costs.append([row.parameters, row.multiply_adds])
        elif blocks:
            costs[-1][0] += row.parameters
            costs[-1][1] += row.multiply_adds
    if not blocks:
        return ax
    highest = max([row.shape[2] for row in blocks if len(row.shape) == 4], default=1)
    lefts, widths, left, told = [], [], 0.0, None
    crowded = len(blocks) > 16
    for row in blocks:
        if len(row.shape) == 4:
            height, width = row.shape[2] / highest, 0.12 * np.log2(row.shape[1] + 1)
        else:
            height, width = 0.045 * np.log2(row.shape[-1] + 1), 0.16
        depth = 0.22 * height if len(row.shape) == 4 else 0.04
        color = colors[group(row)]
        side = dict(closed=True, edgecolor="black", linewidth=0.5, facecolor=color)
        front = [(left, 0), (left + width, 0), (left + width, height), (left, height)]
        top = [
            (left, height),
            (left + depth, height + depth),
            (left + width + depth, height + depth),
            front[2],
        ]
        right = [front[1], front[2], top[2], (left + width + depth, depth)]
        for corners, light in ((right, 0.75), (top, 0.9), (front, 1.0)):
            shade = tuple(light * c for c in plt.matplotlib.colors.to_rgb(color))
            ax.add_patch(Polygon(corners, **{**side, "facecolor": shade}))
        size = "x".join(str(n) for n in row.shape[2:4]) if len(row.shape) == 4 else ""
        if len(set(row.shape[2:4])) == 1:
            size = str(row.shape[2])
        middle = left + width / 2
        if size and (size != told or not crowded):
            ax.text(
                middle + depth / 2,
                height + depth + 0.02,
                size,
                ha="center",
                va="bottom",
                fontsize=6.5,
            )
        if not crowded or group(row) == "dense" or size != told:
            small = 5.5 if row.shape[1] > 999 else 6.5
            ax.text(middle, -0.03, str(row.shape[1]), ha="center", va="top", fontsize=small)
        told = size
        lefts.append(left)
        widths.append(width)
        left += width + 0.55 * depth + (0.42 if group(row) == "dense" else 0.1 if crowded else 0.2)
    zero = -0.22
    totals = np.maximum(np.sum(costs, axis=0), 1)
    shares = np.array(costs) / totals
    scale = 0.75 / shares.max() if shares.max() > 0 else 0
    for which, color in ((0, "#c8c8c8"), (1, "#303030")):
        for x, width, share in zip(lefts, widths, shares[:, which], strict=True):
            half = max(width, 0.16) / 2
            ax.add_patch(
                Rectangle(
                    (x + which * half, zero),
                    half,
                    -scale * share,
                    facecolor=color,
                    edgecolor="black",
                    linewidth=0.3,
                )
            )
            if share > 0.045:
                ax.text(
                    x + (which + 0.5) * half,
                    zero - scale * share - 0.02,
                    f"{100 * share:.0f}",
                    ha="center",
                    va="top",
                    fontsize=6,
                )
    ax.plot([-0.1, left], [zero, zero], color="black", linewidth=0.6)
    names = {"conv": "convolution", "pool": "pooling", "dense": "dense"}
    kinds = [kind for kind in names if any(group(row) == kind for row in blocks)]
    handles = [
        Patch(facecolor=colors[kind], edgecolor="black", label=names[kind]) for kind in kinds
    ]
    handles += [
        Patch(facecolor="#c8c8c8", edgecolor="black", label=f"% of {_short(totals[0])} parameters"),
        Patch(facecolor="#303030", label=f"% of {_short(totals[1])} multiply-adds"),
    ]
    ax.legend(handles=handles, fontsize=6.5, loc="upper right", frameon=False)
    ax.set(xlim=(-0.15, left + 0.1), ylim=(zero - 0.9, 1.35))
    ax.set_axis_off()
    return ax


def _short(number):
    """61706 -> '62 k', 61100840 -> '61.1 M'."""
    for size, unit in ((1e9, " G"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number)


class AlexNet(nn.Module):
    """AlexNet in one column: x (N, in_channels, H, W), H and W at least 63 -> (N, num_classes).

    Krizhevsky 2014 (arXiv:1404.5997), as torchvision has it. hidden: width of the two hidden dense layers.
    """

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.AdaptiveAvgPool2d(6),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class AlexNet2012(nn.Module):
    """AlexNet as in the paper: x (N, in_channels, H, W), H and W at least 63 -> (N, num_classes).

    Krizhevsky, Sutskever, Hinton 2012. groups=2 is its two GPUs, groups=1 one large one.
    """

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096, groups=2):
        super().__init__()

        def response_norm():
            return nn.LocalResponseNorm(5, alpha=5 * 1e-4, beta=0.75, k=2.0)

        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 11, stride=4, padding=2),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(96, 256, 5, padding=2, groups=groups),
            nn.ReLU(),
            response_norm(),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1, groups=groups),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.AdaptiveAvgPool2d(6),
        )
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


class ZFNet(nn.Module):
    """ZFNet by the table above: x (N, in_channels, H, W), H and W at least 53 -> (N, num_classes).

    Zeiler and Fergus 2013 (arXiv:1311.2901), figure 3, without contrast normalization.
    """

    def __init__(self, num_classes=1000, in_channels=3, hidden=4096):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, 7, stride=2, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            nn.Conv2d(96, 256, 5, stride=2),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
            nn.Conv2d(256, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, 2),
            nn.AdaptiveAvgPool2d(6),
        )
        self.classifier = nn.Sequential(
            nn.Linear(256 * 6 * 6, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def stack_cost(kernel_sizes, channels):
    """Square convolutions in a row, stride 1, channels in and out, no biases -> (parameters, receptive field), two ints."""
    parameters = sum(k * k for k in kernel_sizes) * channels**2
    return parameters, 1 + sum(k - 1 for k in kernel_sizes)


def compose_kernels(first, second):
    """The kernel of one convolution that does what two do: first (M, C, h, w), then second (K, M, kH, kW) -> (K, C, h+kH-1, w+kW-1).

    For all x: F.conv2d(F.conv2d(x, first), second) == F.conv2d(x, result), stride 1, no padding, no biases.
    first and second are float tensors of one dtype.
    """
    h, w = first.shape[2:]
    kH, kW = second.shape[2:]
    result = first.new_zeros(second.shape[0], first.shape[1], h + kH - 1, w + kW - 1)
    for i in range(kH):
        for j in range(kW):
            result[:, :, i : i + h, j : j + w] += torch.einsum(
                "om,mcab->ocab", second[:, :, i, j], first
            )
    return result


class VGG(nn.Module):
    """VGG(11), VGG(13), VGG(16), VGG(19): x (N, in_channels, H, W), H and W at least 32 -> (N, num_classes).

    Simonyan and Zisserman 2014 (arXiv:1409.1556), table 1, columns A, B, D, E. width: filters of stage 1;
    hidden: width of the two hidden dense layers; batch_norm: after each convolution, before its ReLU.
    """

    def __init__(
        self, depth, num_classes=1000, in_channels=3, batch_norm=False, width=64, hidden=4096
    ):
        super().__init__()
        convolutions = {
            11: (1, 1, 2, 2, 2),
            13: (2, 2, 2, 2, 2),
            16: (2, 2, 3, 3, 3),
            19: (2, 2, 4, 4, 4),
        }
        layers, channels = [], in_channels
        for number, times in zip(convolutions[depth], (1, 2, 4, 8, 8), strict=True):
            for _ in range(number):
                layers.append(nn.Conv2d(channels, width * times, 3, padding=1))
                channels = width * times
                if batch_norm:
                    layers.append(nn.BatchNorm2d(channels))
                layers.append(nn.ReLU())
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(7))
        self.classifier = nn.Sequential(
            nn.Linear(channels * 7 * 7, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, hidden),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        return self.classifier(self.features(x).flatten(1))


def grow(deep, shallow, convolutions=4):
    """Start deep from the trained network shallow (Simonyan and Zisserman 2014, section 3.1) -> deep, changed in place.

    The first `convolutions` nn.Conv2d of shallow are copied, weight and bias, in their order: each to the next
    nn.Conv2d of deep, behind the last one used, whose weight has the same shape. One that finds no place keeps those
    behind it waiting: they are not copied either. The last three nn.Linear of shallow are copied to the last three of
    deep (their shapes agree). All these layers have biases. All else in deep stays as it is, and so does shallow.
    """

    def layers(net, kind):
        return [m for m in net.modules() if isinstance(m, kind)]

    waiting = layers(shallow, nn.Conv2d)[:convolutions]
    for place in layers(deep, nn.Conv2d):
        if waiting and place.weight.shape == waiting[0].weight.shape:
            place.load_state_dict(waiting.pop(0).state_dict())
    for place, known in zip(
        layers(deep, nn.Linear)[-3:], layers(shallow, nn.Linear)[-3:], strict=True
    ):
        place.load_state_dict(known.state_dict())
    return deep


# Szegedy et al. 2014, table 1, the nine cells. Channels of: 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection
GOOGLENET = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


def inception_cost(height, width, in_channels, n1, r3, n3, r5, n5, p, kernel=5, bottlenecks=True):
    """Cost of an inception cell on a map (in_channels, height, width) -> weights, multiply_adds, out_channels.

    Weights of convolutions only: no bias, no batch norm. Every convolution keeps the size of the map. The third
    branch has a kernel of kernel x kernel. bottlenecks=False: the naive cell, in which the large kernels look at all
    in_channels and the pooled map comes out as it is; r3, r5 and p play no role then. All three are Python integers.
    """
    if bottlenecks:
        weights = in_channels * (n1 + r3 + r5 + p) + 9 * r3 * n3 + kernel**2 * r5 * n5
    else:
        weights = in_channels * (n1 + 9 * n3 + kernel**2 * n5)
        p = in_channels  # nobody projects the pooled map
    return weights, weights * height * width, n1 + n3 + n5 + p


class ConvNormReLU(nn.Sequential):
    """Convolution without bias, batch norm (eps 1e-3), ReLU.

    kernel   an int, or a pair (height, width)
    padding  "same": (kernel - 1) / 2 on each side, so that stride 1 keeps the size; or an int
    """

    def __init__(self, in_channels, out_channels, kernel=1, stride=1, padding="same"):
        kernel = (kernel, kernel) if isinstance(kernel, int) else tuple(kernel)
        if padding == "same":
            padding = tuple((k - 1) // 2 for k in kernel)
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, stride, padding, bias=False),
            nn.BatchNorm2d(out_channels, eps=1e-3),
            nn.ReLU(),
        )


class InceptionCell(nn.Module):
    """(N, in_channels, H, W) -> (N, n1 + n3 + n5 + p, H, W), concatenated in this order:

    1 x 1 to n1;   1 x 1 to r3, 3 x 3 to n3;   1 x 1 to r5, kernel x kernel to n5;   3 x 3 max pooling, 1 x 1 to p.

    kernel is odd. Every convolution without bias, then batch norm (eps 1e-3), then ReLU. Szegedy et al. 2014, figure 2b.
    branches is an nn.ModuleList of the four, in this order; each takes the cell's input, forward calls each once, and
    their results, concatenated, are the cell's.
    """

    def __init__(self, in_channels, n1, r3, n3, r5, n5, p, kernel=5):
        super().__init__()
        self.branches = nn.ModuleList(
            [
                ConvNormReLU(in_channels, n1),
                nn.Sequential(ConvNormReLU(in_channels, r3), ConvNormReLU(r3, n3, 3)),
                nn.Sequential(ConvNormReLU(in_channels, r5), ConvNormReLU(r5, n5, kernel)),
                nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), ConvNormReLU(in_channels, p)),
            ]
        )

    def forward(self, x):
        """Ask all four branches the same question."""
        return torch.cat([branch(x) for branch in self.branches], dim=1)


class Mixed(nn.Module):
    """Branches side by side on the same map, each a list of steps; their results concatenated along the channels.

    A step is one of
        (channels, kernel)      ConvNormReLU with stride 1 that keeps the size; kernel an int or (height, width)
        (channels, kernel, 2)   ConvNormReLU with stride 2, without padding
        "max", "avg"            3 x 3 pooling with stride 1 that keeps the size
        "max/2"                 3 x 3 max pooling with stride 2, without padding
        [steps, steps, ...]     a fork: branches again
    All channels are multiplied by width. out_channels tells how many come out.
    """

    def __init__(self, in_channels, branches, width=1.0):
        super().__init__()
        poolings = {
            "max": (nn.MaxPool2d, 1, 1),
            "avg": (nn.AvgPool2d, 1, 1),
            "max/2": (nn.MaxPool2d, 2, 0),
        }
        self.branches, self.out_channels = nn.ModuleList(), 0
        for steps in branches:
            channels, branch = in_channels, nn.Sequential()
            for step in steps:
                if isinstance(step, str):
                    pooling, stride, padding = poolings[step]
                    branch.append(pooling(3, stride, padding))
                elif isinstance(step, list):
                    fork = Mixed(channels, step, width)
                    branch.append(fork)
                    channels = fork.out_channels
                else:
                    outputs, kernel, *stride = step
                    outputs = round(outputs * width)
                    how = (2, 0) if stride == [2] else (1, "same")
                    branch.append(ConvNormReLU(channels, outputs, kernel, *how))
                    channels = outputs
            self.branches.append(branch)
            self.out_channels += channels

    def forward(self, x):
        """(N, in_channels, H, W) -> (N, out_channels, H', W')."""
        answers = [branch(x) for branch in self.branches]
        return torch.cat(answers, dim=1)


class GoogLeNet(nn.Module):
    """Szegedy et al. 2014 (arXiv:1409.4842), table 1, with batch norm: (N, in_channels, H, W) -> logits.

    kernel x kernel is the size of the third branch's large kernel. width scales all channels and hidden units.
    stages is an nn.ModuleDict, in order: conv1, pool1, conv2, pool2, 3a, 3b, pool3, 4a ... 4e, pool4, 5a, 5b; each
    takes the result of the one before.

    In training, with aux: (logits, aux_4a, aux_4d), all (N, num_classes); otherwise the logits alone.
    """

    def __init__(self, num_classes=1000, in_channels=3, aux=True, kernel=3, width=1.0):
        super().__init__()
        first, second = round(64 * width), round(192 * width)
        self.stages = nn.ModuleDict(
            {
                "conv1": ConvNormReLU(in_channels, first, 7, stride=2),
                "pool1": nn.MaxPool2d(3, 2, padding=1),
                "conv2": nn.Sequential(ConvNormReLU(first, first), ConvNormReLU(first, second, 3)),
                "pool2": nn.MaxPool2d(3, 2, padding=1),
            }
        )
        self.heads = nn.ModuleDict()
        channels = second
        for name, (n1, r3, n3, r5, n5, p) in GOOGLENET.items():
            if name in {"4a", "5a"}:
                self.stages["pool3" if name == "4a" else "pool4"] = nn.MaxPool2d(3, 2, padding=1)
            branches = [[(n1, 1)], [(r3, 1), (n3, 3)], [(r5, 1), (n5, kernel)], ["max", (p, 1)]]
            self.stages[name] = Mixed(channels, branches, width)
            channels = self.stages[name].out_channels
            if aux and name in {"4a", "4d"}:
                self.heads[name] = self.head(channels, num_classes, width)
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.4), nn.Linear(channels, num_classes)
        )

    @staticmethod
    def head(channels, num_classes, width):
        """An auxiliary classifier on a map of so many channels."""
        narrow, hidden = round(128 * width), round(1024 * width)
        return nn.Sequential(
            nn.AdaptiveAvgPool2d(4),
            ConvNormReLU(channels, narrow),
            nn.Flatten(),
            nn.Linear(16 * narrow, hidden),
            nn.ReLU(),
            nn.Dropout(0.7),
            nn.Linear(hidden, num_classes),
        )

    def forward(self, x):
        """Stage by stage; the heads look in on the way."""
        extra = []
        for name, stage in self.stages.items():
            x = stage(x)
            if self.training and name in self.heads:
                extra.append(self.heads[name](x))
        logits = self.classifier(x)
        return (logits, *extra) if extra else logits


def separate(w):
    """The best approximation of kernels w (..., kH, kW) by a column times a row -> column, row, lost.

    column (..., kH, 1), row (..., 1, kW): column * row is the rank-one kernel nearest to w, in least squares.
    lost (...): how far it is from w, as a share of the norm of w: from 0 to below 1. No kernel is all zeros.
    w is a floating tensor with two axes or more; the results have its dtype and device.
    """
    u, s, vh = torch.linalg.svd(w)
    column = u[..., :1] * s[..., :1, None]
    row = vh[..., :1, :]
    lost = s[..., 1:].norm(dim=-1) / s.norm(dim=-1)
    return column, row, lost


def smooth_cross_entropy(logits, y, smoothing=0.1):
    """Cross-entropy against labels mixed with a uniform distribution, mean over the batch -> a tensor with one number.

    logits (N, K) floating, of any size, also 1,000 and more; y (N,) integers; smoothing from 0 to 1.
    Gradients flow back to logits.
    """
    log_p = logits.log_softmax(dim=1)
    right = log_p.gather(1, y[:, None]).mean()
    return -(1 - smoothing) * right - smoothing * log_p.mean()


class InceptionV3(nn.Module):
    """Szegedy et al. 2015 (arXiv:1512.00567), as released: (N, in_channels, H, W) -> logits. width scales all channels.

    stages is an nn.ModuleDict, in order: stem, A1, A2, A3, B, C1, C2, C3, C4, D, E1, E2; each takes the result of the
    one before. Branches and forks are concatenated in the order of the text.

    In training, with aux: (logits, aux_C4), both (N, num_classes); otherwise the logits alone.
    """

    def __init__(self, num_classes=1000, in_channels=3, aux=True, width=1.0):
        super().__init__()
        n32, n64, n80, n128, n192, n768 = (round(n * width) for n in (32, 64, 80, 128, 192, 768))
        self.stages = nn.ModuleDict()
        self.stages["stem"] = nn.Sequential(
            ConvNormReLU(in_channels, n32, 3, stride=2, padding=0),
            ConvNormReLU(n32, n32, 3, padding=0),
            ConvNormReLU(n32, n64, 3),
            nn.MaxPool2d(3, 2),
            ConvNormReLU(n64, n80),
            ConvNormReLU(n80, n192, 3, padding=0),
            nn.MaxPool2d(3, 2),
        )
        channels = n192
        for name, branches in self.cells().items():
            self.stages[name] = Mixed(channels, branches, width)
            channels = self.stages[name].out_channels
        self.head = None
        if aux:
            self.head = nn.Sequential(
                nn.AdaptiveAvgPool2d(5),
                ConvNormReLU(n768, n128),
                ConvNormReLU(n128, n768, 5, padding=0),
                nn.Flatten(),
                nn.Linear(n768, num_classes),
            )
        self.classifier = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.5), nn.Linear(channels, num_classes)
        )

    @staticmethod
    def cells():
        """{stage: its branches}, in the language of Mixed."""
        tall, flat = (7, 1), (1, 7)

        def A(p):
            twice = [(64, 1), (96, 3), (96, 3)]
            return [[(64, 1)], [(48, 1), (64, 5)], twice, ["avg", (p, 1)]]

        def C(c):
            once = [(c, 1), (c, flat), (192, tall)]
            twice = [(c, 1), (c, tall), (c, flat), (c, tall), (192, flat)]
            return [[(192, 1)], once, twice, ["avg", (192, 1)]]

        B = [[(384, 3, 2)], [(64, 1), (96, 3), (96, 3, 2)], ["max/2"]]
        D = [[(192, 1), (320, 3, 2)], [(192, 1), (192, flat), (192, tall), (192, 3, 2)], ["max/2"]]
        fork = [[(384, (1, 3))], [(384, (3, 1))]]
        E = [[(320, 1)], [(384, 1), fork], [(448, 1), (384, 3), fork], ["avg", (192, 1)]]
        cells = {"A1": A(32), "A2": A(64), "A3": A(64), "B": B}
        cells |= {"C1": C(128), "C2": C(160), "C3": C(160), "C4": C(192)}
        return cells | {"D": D, "E1": E, "E2": E}

    def forward(self, x):
        """Stage by stage; the head looks in behind C4."""
        extra = None
        for name, stage in self.stages.items():
            x = stage(x)
            if name == "C4" and self.training and self.head is not None:
                extra = self.head(x)
        logits = self.classifier(x)
        return logits if extra is None else (logits, extra)


class InceptionResNetV2Block(nn.Module):
    """ReLU(x + scale * expand(concat(branches(x)))): (N, channels, H, W) -> the same shape.

    branches, all of stride 1, as for Mixed. expand: a 1 x 1 nn.Conv2d with bias to channels, nothing behind it.
    last=True leaves the ReLU after the sum out, as the last block of the network does. x is not changed.
    """

    def __init__(self, channels, branches, scale=0.17, last=False):
        super().__init__()
        self.mixed = Mixed(channels, branches)
        self.expand = nn.Conv2d(self.mixed.out_channels, channels, 1)
        self.scale, self.last = scale, last

    def forward(self, x):
        """What was, plus a little of what is new."""
        y = x + self.scale * self.expand(self.mixed(x))
        return y if self.last else F.relu(y)


class Xception(nn.Module):
    """Chollet 2017 (arXiv:1610.02357), figure 5: (N, in_channels, H, W) -> logits. width scales all channels.

    stages is an nn.ModuleDict, in order: stem, entry1, entry2, entry3, middle1 ... (as many as middle says), exit1,
    exit2; each takes the result of the one before, and changes nothing in it.
    """

    def __init__(self, num_classes=1000, in_channels=3, middle=8, width=1.0):
        super().__init__()
        unit = self.Unit

        def n(channels):
            return round(channels * width)

        self.stages = nn.ModuleDict()
        self.stages["stem"] = nn.Sequential(
            ConvNormReLU(in_channels, n(32), 3, stride=2, padding=0),
            ConvNormReLU(n(32), n(64), 3, padding=0),
        )
        self.stages["entry1"] = unit(n(64), [n(128), n(128)], starts_with_relu=False)
        self.stages["entry2"] = unit(n(128), [n(256), n(256)])
        self.stages["entry3"] = unit(n(256), [n(728), n(728)])
        for one in range(middle):
            self.stages[f"middle{one + 1}"] = unit(n(728), [n(728)] * 3, halves=False)
        self.stages["exit1"] = unit(n(728), [n(728), n(1024)])
        self.stages["exit2"] = nn.Sequential(
            *self.separable(n(1024), n(1536)),
            nn.ReLU(),
            *self.separable(n(1536), n(2048)),
            nn.ReLU(),
        )
        self.classifier = nn.Linear(n(2048), num_classes)

    @staticmethod
    def separable(inputs, outputs):
        """Three layers: places, channels, batch norm."""
        return [
            nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False),
            nn.Conv2d(inputs, outputs, 1, bias=False),
            nn.BatchNorm2d(outputs, eps=1e-3),
        ]

    class Unit(nn.Module):
        """Pairs of ReLU and separable convolution, and a shortcut around them."""

        def __init__(self, inputs, widths, starts_with_relu=True, halves=True):
            super().__init__()
            layers = []
            for before, after in zip([inputs, *widths], widths, strict=False):
                layers += [nn.ReLU(), *Xception.separable(before, after)]
            self.body = nn.Sequential(*layers if starts_with_relu else layers[1:])
            self.shortcut = nn.Identity()
            if halves:
                self.body.append(nn.MaxPool2d(3, 2, padding=1))
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inputs, after, 1, stride=2, bias=False),
                    nn.BatchNorm2d(after, eps=1e-3),
                )

        def forward(self, x):
            """The sum is not cut."""
            return self.body(x) + self.shortcut(x)


    def forward(self, x):
        """Stage by stage, the mean over all places, the classes."""
        for stage in self.stages.values():
            x = stage(x)
        return self.classifier(x.flatten(2).mean(dim=2))
