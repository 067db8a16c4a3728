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


def conv2d(x, w, b=None, stride=1, padding=0):
    """Cross-correlate x (N, C_in, H, W) with filters w (C_out, C_in, kH, kW) -> (N, C_out, H_out, W_out).

    b (C_out,) or None is added to each map. Floating. The convention of torch.nn.functional.conv2d;
    H_out = (H + 2*padding - kH) // stride + 1, and likewise W_out.
    """
    N, _, H, W = x.shape
    C_out, _, kH, kW = w.shape
    sides = (padding, padding)
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), sides, sides))
    H_out = (H + 2 * padding - kH) // stride + 1
    W_out = (W + 2 * padding - kW) // stride + 1
    y = np.zeros((N, C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            top, left = i * stride, j * stride
            window = x_p[:, :, top : top + kH, left : left + kW]  # (N, C_in, kH, kW)
            y[:, :, i, j] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3]))
    if b is not None:
        y += np.reshape(b, (1, C_out, 1, 1))
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
