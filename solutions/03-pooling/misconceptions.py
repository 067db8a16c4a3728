"""Wrong and unusual solutions of unit 03, each with the hint that its author needs."""

import numpy as np

from grader.misconceptions import alternative, misconception

# ---- max_pool2d -----------------------------------------------------------------------------


@misconception(
    "max_pool2d",
    "Pool a map whose values are all negative. Which number wins at the border, and is it a number of the map?",
    name="pads_with_zeros",
    fails=["max_pool2d-padding"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """The ring is zeros."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@misconception(
    "max_pool2d",
    "Your ring holds a large negative number. How large may the numbers of a map be? Is there one that never wins?",
    name="pads_with_minus_999",
    fails=["max_pool2d-padding"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """The ring is a number that somebody thought small enough."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-999)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@misconception(
    "max_pool2d",
    "What does stride=None mean in the contract? Your windows move by one.",
    name="stride_defaults_to_one",
    fails=["max_pool2d-windows", "max_pool2d-padding", "max_pool2d-contract"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """None is taken for a stride of 1."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    step = stride or 1
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::step, ::step].max(axis=(4, 5))


@misconception(
    "max_pool2d",
    "Try a kernel of (1, 3) without a stride. How far do your windows move to the right, and how far should they?",
    name="height_steps_both_ways",
    fails=["max_pool2d-windows", "max_pool2d-padding", "max_pool2d-contract"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Without a stride the kernel's height is the step in both directions."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    step = kH if stride is None else stride
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::step, ::step].max(axis=(4, 5))


@misconception(
    "max_pool2d",
    "Your windows lie side by side whatever the stride. With kernel 2 and stride 1, where does the second window start?",
    name="always_tiles",
    fails=["max_pool2d-stride", "max_pool2d-padding"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """The reshape trick: fast, and right only where windows tile."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    N, C, H, W = x_p.shape
    x_p = x_p[:, :, : H // kH * kH, : W // kW * kW]
    return x_p.reshape(N, C, H // kH, kH, W // kW, kW).max(axis=(3, 5))


@misconception(
    "max_pool2d",
    "How many channels come out of your function? Each channel is pooled for itself.",
    name="pools_channels",
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """The maximum runs over the channels as well, as the sum of a convolution does."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(1, 4, 5))[:, None]


@misconception(
    "max_pool2d",
    "Does a window that sticks out at the right or at the bottom count? Look at the sizes in the contract: up or down?",
    name="rounds_up",
    fails=["max_pool2d-windows", "max_pool2d-stride", "max_pool2d-padding", "max_pool2d-contract"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Partial windows at the lower and right rim are kept."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    H_out = -(-(x_p.shape[2] - kH) // sH) + 1
    W_out = -(-(x_p.shape[3] - kW) // sW) + 1
    y = np.full((*x.shape[:2], H_out, W_out), -np.inf)
    for i in range(H_out):
        for j in range(W_out):
            window = x_p[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW]
            if window.size:
                y[:, :, i, j] = window.max(axis=(2, 3))
    return y


@misconception(
    "max_pool2d",
    "Your maximum starts at 0 and is then compared with the numbers of the window. What if they are all negative?",
    name="starts_at_zero",
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """The running maximum starts at 0."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return np.maximum(windows[:, :, ::sH, ::sW].max(axis=(4, 5)), 0)


@misconception(
    "max_pool2d",
    "Of -6 and -1, which is larger? You keep the number that is farthest from 0.",
    name="largest_magnitude",
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Keeps the number with the largest absolute value."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    windows = windows[:, :, ::sH, ::sW]
    high, low = windows.max(axis=(4, 5)), windows.min(axis=(4, 5))
    return np.where(high >= -low, high, low)


@misconception(
    "max_pool2d",
    "The pair is (kH, kW): the height comes first. Try a kernel of (1, 3) on a map of 2 x 7.",
    name="width_first",
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """A pair is read as (width, height), the step too."""
    kW, kH = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@misconception(
    "max_pool2d",
    "What kind of numbers does your result hold for a picture of bytes? And can an array of whole numbers hold -infinity?",
    name="integer_result",
    fails=["max_pool2d-padding", "max_pool2d-contract"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Everything keeps the type of the argument, the ring included."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    N, C, H, W = x.shape
    x_p = x
    if padding:
        x_p = np.empty((N, C, H + 2 * padding, W + 2 * padding), dtype=x.dtype)
        x_p[...] = -np.inf
        x_p[:, :, padding : padding + H, padding : padding + W] = x
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@misconception(
    "max_pool2d",
    "A maximum is one of the numbers that went in. Yours has lost half of its digits: when does the contract allow float32?",
    name="rounds_to_float32",
    fails=["max_pool2d-contract"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Computes in float32, whatever came in."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(x.astype(np.float32), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@misconception(
    "max_pool2d",
    "Print your padded map. On which sides is the ring, and how wide is it on each?",
    name="padding_below_and_right_only",
    fails=["max_pool2d-padding"],
)
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """The whole ring goes to the lower and right side."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (0, 2 * padding), (0, 2 * padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@alternative("max_pool2d", name="nested_loops")
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """Six loops and no padded copy: what lies outside is left out. Prints."""
    kH, kW = kernel_size if isinstance(kernel_size, tuple) else (kernel_size, kernel_size)
    sH = kH if stride is None else stride
    sW = kW if stride is None else stride
    N, C, H, W = x.shape
    H_out, W_out = (H + 2 * padding - kH) // sH + 1, (W + 2 * padding - kW) // sW + 1
    y = np.zeros((N, C, H_out, W_out))
    for n in range(N):
        for c in range(C):
            for i in range(H_out):
                for j in range(W_out):
                    best = None
                    for r in range(max(0, i * sH - padding), min(H, i * sH - padding + kH)):
                        for q in range(max(0, j * sW - padding), min(W, j * sW - padding + kW)):
                            if best is None or x[n, c, r, q] > best:
                                best = x[n, c, r, q]
                    y[n, c, i, j] = best
    print("pooled", y.shape)
    return y


@alternative("max_pool2d", name="window_view_edge_ring")
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """All windows as a view. A ring that repeats the border is right, too: it adds no new number to a window."""
    kH, kW = np.broadcast_to(kernel_size, 2)
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(x.astype(np.result_type(x.dtype, np.float32)), ring, mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (int(kH), int(kW)), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@alternative("max_pool2d", name="torch_call")
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """PyTorch's own."""
    import torch

    wide = torch.tensor(np.array(x, dtype=np.float64))
    return torch.nn.functional.max_pool2d(wide, kernel_size, stride, padding).numpy()


@alternative("max_pool2d", name="rows_then_columns")
def max_pool2d(x, kernel_size, stride=None, padding=0):
    """A maximum of maxima: first down, then to the right; the ring is the smallest number of x."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(x.astype(float), ring, constant_values=float(x.min()))
    rows = [x_p[:, :, i : i + kH].max(axis=2) for i in range(0, x_p.shape[2] - kH + 1, sH)]
    y = np.stack(rows, axis=2)
    columns = [y[..., j : j + kW].max(axis=-1) for j in range(0, x_p.shape[3] - kW + 1, sW)]
    return np.stack(columns, axis=-1)


# ---- avg_pool2d -----------------------------------------------------------------------------


@misconception(
    "avg_pool2d",
    "At the border you divide by the number of real pixels. What does the contract say about the zeros of the ring?",
    name="zeros_do_not_count",
    fails=["avg_pool2d-options"],
)
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """The mean of the real pixels of each window: count_include_pad=False."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return np.nanmean(windows[:, :, ::sH, ::sW], axis=(4, 5))


@misconception(
    "avg_pool2d",
    "How many numbers are in a window of (1, 3)? You divide by the square of the height.",
    name="divides_by_height_squared",
)
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Takes every window for a square."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].sum(axis=(4, 5)) / kH**2


@misconception(
    "avg_pool2d",
    "What is np.uint8(200) + np.uint8(100)? Make the numbers floating before you add them, not after.",
    name="adds_bytes",
    fails=["avg_pool2d-contract"],
)
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """The sum has the type of the argument and overflows for uint8."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ring), (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].sum(axis=(4, 5), dtype=x.dtype) / (kH * kW)


@misconception(
    "avg_pool2d",
    "A mean of whole numbers need not be whole. Which of the two divisions of Python do you use?",
    name="whole_division",
)
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Divides with //."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].sum(axis=(4, 5)) // (kH * kW)


@misconception(
    "avg_pool2d",
    "What does stride=None mean in the contract? Your windows move by one.",
    name="stride_defaults_to_one",
)
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """None is taken for a stride of 1."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    step = stride or 1
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::step, ::step].mean(axis=(4, 5))


@misconception(
    "avg_pool2d",
    "The ring that never wins a maximum is no good for a mean. What is the mean of four numbers, one of them -infinity?",
    name="ring_of_max_pooling",
    fails=["avg_pool2d-options"],
)
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Copied from max pooling, with -infinity around the map."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].mean(axis=(4, 5))


@alternative("avg_pool2d", name="as_a_convolution")
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Window by window in a loop, each a dot product with equal weights."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.array(x, dtype=np.float64), ring)
    w = np.full((kH, kW), 1 / (kH * kW))
    tops, lefts = (
        range(0, x_p.shape[2] - kH + 1, sH),
        range(0, x_p.shape[3] - kW + 1, sW),
    )
    rows = [
        np.stack(
            [np.tensordot(x_p[:, :, i : i + kH, j : j + kW], w, axes=2) for j in lefts], axis=-1
        )
        for i in tops
    ]
    return np.stack(rows, axis=2)


@alternative("avg_pool2d", name="integral_image")
def avg_pool2d(x, kernel_size, stride=None, padding=0):
    """Sums of windows from running sums, four numbers a window."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    sums = np.pad(x_p.cumsum(axis=2).cumsum(axis=3), ((0, 0), (0, 0), (1, 0), (1, 0)))
    total = (
        sums[:, :, kH:, kW:]
        - sums[:, :, :-kH, kW:]
        - sums[:, :, kH:, :-kW]
        + sums[:, :, :-kH, :-kW]
    )
    return total[:, :, ::sH, ::sW] / kH / kW


# ---- min_pool2d -----------------------------------------------------------------------------


@misconception(
    "min_pool2d",
    "Pool a map whose values are all positive, with padding. Which number wins at the border?",
    name="pads_with_zeros",
    fails=["min_pool2d-options"],
)
def min_pool2d(x, kernel_size, stride=None, padding=0):
    """The ring is zeros."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].min(axis=(4, 5))


@misconception(
    "min_pool2d",
    "The ring of max pooling never wins a maximum. Does it ever lose a minimum?",
    name="ring_of_max_pooling",
    fails=["min_pool2d-options"],
)
def min_pool2d(x, kernel_size, stride=None, padding=0):
    """The ring is -infinity, which always wins."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].min(axis=(4, 5))


@misconception(
    "min_pool2d",
    "There are two minus signs in the formula. Where is your second one?",
    name="one_minus_sign",
)
def min_pool2d(x, kernel_size, stride=None, padding=0):
    """The maximum of -x: the outer sign is forgotten."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(-np.asarray(x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@misconception(
    "min_pool2d",
    "What is -np.uint8(5)? Make the numbers floating before you negate them.",
    name="negates_bytes",
    fails=["min_pool2d-options"],
)
def min_pool2d(x, kernel_size, stride=None, padding=0):
    """Minus the maximum of -x, with -x taken in bytes."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(-x, dtype=float), ring, constant_values=-np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return -windows[:, :, ::sH, ::sW].max(axis=(4, 5))


@misconception(
    "min_pool2d",
    "Which is smaller, 2 or -7? You keep the number that is nearest to 0.",
    name="smallest_magnitude",
)
def min_pool2d(x, kernel_size, stride=None, padding=0):
    """Keeps the number with the smallest absolute value."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring, constant_values=np.inf)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    windows = windows[:, :, ::sH, ::sW]
    windows = windows.reshape(*windows.shape[:4], kH * kW)
    nearest = np.abs(windows).argmin(axis=4)[..., None]
    return np.take_along_axis(windows, nearest, axis=4)[..., 0]


@alternative("min_pool2d", name="minus_max_of_minus")
def min_pool2d(x, kernel_size, stride=None, padding=0):
    """Calls the exercise before it, between two minus signs."""
    return -max_pool2d(-np.asarray(x, dtype=float), kernel_size, stride, padding)


@alternative("min_pool2d", name="loops")
def min_pool2d(x, kernel_size, stride=None, padding=0):
    """A loop over the output places, with numpy.nanmin on a ring of NaN."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(x.astype(np.float64), ring, constant_values=np.nan)
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    y = np.empty((*x.shape[:2], H_out, W_out))
    for i, j in np.ndindex(H_out, W_out):
        window = x_p[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW]
        y[:, :, i, j] = np.nanmin(window, axis=(2, 3))
    return y


# ---- l2_pool2d ------------------------------------------------------------------------------


@misconception(
    "l2_pool2d",
    "The root of the sum of squares, or of their mean? Try a window of four ones.",
    name="root_mean_square",
)
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """The root of the mean of squares."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return np.sqrt((windows[:, :, ::sH, ::sW] ** 2).mean(axis=(4, 5)))


@misconception(
    "l2_pool2d",
    "Your result for the window 3, 0, 0, -4 is 25. One step is missing.",
    name="no_root",
)
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """The sum of squares."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return (windows[:, :, ::sH, ::sW] ** 2).sum(axis=(4, 5))


@misconception(
    "l2_pool2d",
    "Square each number, then add. You add first: 3 and -4 cancel nearly to nothing. What is the length of (3, -4)?",
    name="adds_first",
)
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """The root of the square of the sum."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return np.sqrt(windows[:, :, ::sH, ::sW].sum(axis=(4, 5)) ** 2)


@misconception(
    "l2_pool2d",
    "You add absolute values: that is the family's first member, p = 1. Which p does L2 have?",
    name="sum_of_magnitudes",
)
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """The sum of absolute values."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.asarray(x, dtype=float), ring)
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    return np.abs(windows[:, :, ::sH, ::sW]).sum(axis=(4, 5))


@misconception(
    "l2_pool2d",
    "What is np.uint8(20) ** 2? Make the numbers floating before you square them.",
    name="squares_bytes",
    fails=["l2_pool2d-options"],
)
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """The squares have the type of the argument and overflow for uint8."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    squares = np.pad(x**2, ring)
    windows = np.lib.stride_tricks.sliding_window_view(squares, (kH, kW), axis=(2, 3))
    return np.sqrt(windows[:, :, ::sH, ::sW].sum(axis=(4, 5)))


@misconception(
    "l2_pool2d",
    "Call your function twice with the same map and compare. Does x still hold what it held before?",
    name="squares_in_place",
)
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """The caller's map is squared."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    if x.dtype.kind != "f":
        x = x.astype(float)
    x *= x
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(x, ring), (kH, kW), axis=(2, 3))
    return np.sqrt(windows[:, :, ::sH, ::sW].sum(axis=(4, 5)))


@alternative("l2_pool2d", name="norm_of_windows")
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """The norm that NumPy has, window by window."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    sH, sW = (kH, kW) if stride is None else (stride, stride)
    ring = ((0, 0), (0, 0), (padding, padding), (padding, padding))
    x_p = np.pad(np.array(x, dtype=np.float64), ring)
    H_out, W_out = (x_p.shape[2] - kH) // sH + 1, (x_p.shape[3] - kW) // sW + 1
    y = np.zeros((*x.shape[:2], H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x_p[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW]
            y[:, :, i, j] = np.linalg.norm(window, axis=(2, 3))
    return y


@alternative("l2_pool2d", name="from_the_average")
def l2_pool2d(x, kernel_size, stride=None, padding=0):
    """The mean of squares times their number, by avg_pool2d."""
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    squares = np.square(np.asarray(x, dtype=float))
    return np.sqrt(kH * kW * avg_pool2d(squares, kernel_size, stride, padding))


# ---- adaptive_avg_pool2d --------------------------------------------------------------------


@misconception(
    "adaptive_avg_pool2d",
    "Five places, three windows: which windows see place 1, and which see place 3? Each takes every place that its piece touches.",
    name="end_rounded_down",
    fails=["adaptive_avg_pool2d-uneven", "adaptive_avg_pool2d-contract"],
)
def adaptive_avg_pool2d(x, output_size):
    """Both ends are rounded down: windows never overlap."""
    H_out, W_out = (output_size, output_size) if isinstance(output_size, int) else output_size
    N, C, H, W = x.shape
    y = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            top, bottom = i * H // H_out, max((i + 1) * H // H_out, i * H // H_out + 1)
            left, right = j * W // W_out, max((j + 1) * W // W_out, j * W // W_out + 1)
            y[:, :, i, j] = x[:, :, top:bottom, left:right].mean(axis=(2, 3))
    return y


@misconception(
    "adaptive_avg_pool2d",
    "You look for one stride and one kernel. For 5 places and 3 windows the windows have lengths 2, 3, 2: is there one kernel?",
    name="one_stride_one_kernel",
    fails=["adaptive_avg_pool2d-uneven", "adaptive_avg_pool2d-contract"],
)
def adaptive_avg_pool2d(x, output_size):
    """The recipe of many answers: stride n // o, kernel n - (o - 1) * stride."""
    H_out, W_out = (output_size, output_size) if isinstance(output_size, int) else output_size
    N, C, H, W = x.shape
    sH, sW = H // H_out, W // W_out
    kH, kW = H - (H_out - 1) * sH, W - (W_out - 1) * sW
    y = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            y[:, :, i, j] = x[:, :, i * sH : i * sH + kH, j * sW : j * sW + kW].mean(axis=(2, 3))
    return y


@misconception(
    "adaptive_avg_pool2d",
    "np.array_split makes pieces that do not overlap, the long ones first. Compare them with the picture for 5 and 3.",
    name="array_split",
    fails=["adaptive_avg_pool2d-uneven", "adaptive_avg_pool2d-contract"],
)
def adaptive_avg_pool2d(x, output_size):
    """Pieces of numpy.array_split."""
    H_out, W_out = (output_size, output_size) if isinstance(output_size, int) else output_size
    rows = [piece.mean(axis=2) for piece in np.array_split(x, H_out, axis=2)]
    y = np.stack(rows, axis=2)
    return np.stack([piece.mean(axis=3) for piece in np.array_split(y, W_out, axis=3)], axis=3)


@misconception(
    "adaptive_avg_pool2d",
    "The pair is (H_out, W_out): the height comes first. What shape do you return for (1, 3)?",
    name="width_first",
)
def adaptive_avg_pool2d(x, output_size):
    """A pair is read as (width, height)."""
    W_out, H_out = (output_size, output_size) if isinstance(output_size, int) else output_size
    N, C, H, W = x.shape
    y = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            rows = slice(i * H // H_out, -(-(i + 1) * H // H_out))
            columns = slice(j * W // W_out, -(-(j + 1) * W // W_out))
            y[:, :, i, j] = x[:, :, rows, columns].mean(axis=(2, 3))
    return y


@misconception(
    "adaptive_avg_pool2d",
    "Start is rounded down and end is rounded up. You round to the nearest place: which windows get shorter by that?",
    name="rounds_to_nearest",
    fails=["adaptive_avg_pool2d-uneven", "adaptive_avg_pool2d-contract"],
)
def adaptive_avg_pool2d(x, output_size):
    """Both ends are rounded to the nearest place."""
    H_out, W_out = (output_size, output_size) if isinstance(output_size, int) else output_size
    N, C, H, W = x.shape
    y = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            top, bottom = int(i * H / H_out + 0.5), int((i + 1) * H / H_out + 0.5)
            left, right = int(j * W / W_out + 0.5), int((j + 1) * W / W_out + 0.5)
            window = x[:, :, min(top, H - 1) : max(bottom, top + 1)]
            window = window[:, :, :, min(left, W - 1) : max(right, left + 1)]
            y[:, :, i, j] = window.mean(axis=(2, 3))
    return y


@misconception(
    "adaptive_avg_pool2d",
    "A mean of whole numbers need not be whole. What kind of numbers can the array hold in which you store it?",
    name="integer_result",
    fails=["adaptive_avg_pool2d-contract"],
)
def adaptive_avg_pool2d(x, output_size):
    """The result has the type of the argument."""
    H_out, W_out = (output_size, output_size) if isinstance(output_size, int) else output_size
    N, C, H, W = x.shape
    y = np.zeros((N, C, H_out, W_out), dtype=x.dtype)
    for i in range(H_out):
        for j in range(W_out):
            rows = slice(i * H // H_out, -(-(i + 1) * H // H_out))
            columns = slice(j * W // W_out, -(-(j + 1) * W // W_out))
            y[:, :, i, j] = x[:, :, rows, columns].mean(axis=(2, 3))
    return y


@alternative("adaptive_avg_pool2d", name="two_matrices")
def adaptive_avg_pool2d(x, output_size):
    """One matrix of weights for the rows, one for the columns."""

    def weights(n, o):
        matrix = np.zeros((o, n))
        for i in range(o):
            start, end = int(np.floor(i * n / o)), int(np.ceil((i + 1) * n / o))
            matrix[i, start:end] = 1 / (end - start)
        return matrix

    H_out, W_out = np.broadcast_to(output_size, 2)
    H, W = x.shape[2:]
    return np.einsum("oh,nchw,pw->ncop", weights(H, H_out), x.astype(float), weights(W, W_out))


@alternative("adaptive_avg_pool2d", name="loops")
def adaptive_avg_pool2d(x, output_size):
    """Two loops over the result, a slice each; a list of lists."""
    if isinstance(output_size, int):
        output_size = (output_size, output_size)
    o1, o2 = output_size
    H, W = x.shape[-2:]
    y = [
        [
            x[
                :,
                :,
                (i * H) // o1 : ((i + 1) * H + o1 - 1) // o1,
                (j * W) // o2 : ((j + 1) * W + o2 - 1) // o2,
            ].mean(axis=(2, 3), dtype=np.float64)
            for j in range(o2)
        ]
        for i in range(o1)
    ]
    return np.array(y).transpose(2, 3, 0, 1)


# ---- flatten --------------------------------------------------------------------------------


@misconception(
    "flatten",
    "Which index runs fastest in your row? In row-major order it is the last one.",
    name="column_major",
)
def flatten(x):
    """Fortran's order: the first index after N runs fastest."""
    return np.stack([picture.ravel(order="F") for picture in np.asarray(x, dtype=float)])


@misconception(
    "flatten",
    "Two pictures went in. How many rows come out of your function?",
    name="merges_pictures",
)
def flatten(x):
    """All pictures in one row."""
    return np.asarray(x, dtype=float).reshape(1, -1)


@misconception(
    "flatten",
    "Whose order is that? Write down the first three numbers of your row for two channels of 2 x 2: do they come from one channel?",
    name="channels_last",
)
def flatten(x):
    """Channels run fastest, as in libraries that keep them last."""
    return np.moveaxis(np.asarray(x, dtype=float), 1, -1).reshape(len(x), -1)


@misconception(
    "flatten",
    "A dense layer wants one row of numbers a picture. How many axes does your result have?",
    name="keeps_channels",
)
def flatten(x):
    """Only the axes behind the channels are joined."""
    return np.asarray(x, dtype=float).reshape(*x.shape[:2], -1)


@misconception(
    "flatten",
    "What kind of numbers does your result hold for bytes? The contract holds here, too.",
    name="integer_result",
    fails=["flatten-contract"],
)
def flatten(x):
    """The type stays what it was."""
    return x.reshape(len(x), -1)


@alternative("flatten", name="ravel_each")
def flatten(x):
    """Picture by picture."""
    return np.array([np.asarray(picture, dtype=np.float64).ravel() for picture in x])


@alternative("flatten", name="view_where_it_can")
def flatten(x):
    """A view of the argument where that is possible."""
    rows = x.reshape(x.shape[0], int(np.prod(x.shape[1:])))
    return rows if rows.dtype.kind == "f" else rows.astype(np.float64)


# ---- receptive_field ------------------------------------------------------------------------


@misconception(
    "receptive_field",
    "Two kernels of 3 see 5 pixels, not 6: they share one. How many new pixels does a kernel of k add?",
    name="adds_kernels",
)
def receptive_field(layers):
    """Every kernel adds all of its width."""
    size, jump = 0, 1
    for kernel, stride in layers:
        size += kernel * jump
        jump *= stride
    return max(size, 1)


@misconception(
    "receptive_field",
    "A layer's own stride moves its units apart. Does it change what one of them sees? Mind the order of your two lines.",
    name="own_stride_first",
    fails=["receptive_field-strides"],
)
def receptive_field(layers):
    """The jump grows before the layer's own kernel is counted."""
    size, jump = 1, 1
    for kernel, stride in layers:
        jump *= stride
        size += (kernel - 1) * jump
    return size


@misconception(
    "receptive_field",
    "Where are the strides in your formula? After a stride of 2, neighbours of the map are 2 pixels apart.",
    name="ignores_strides",
    fails=["receptive_field-strides"],
)
def receptive_field(layers):
    """As if all strides were 1."""
    return 1 + sum(kernel - 1 for kernel, _ in layers)


@misconception(
    "receptive_field",
    "Strides multiply: after two strides of 2, neighbours are 4 pixels apart. What do you keep of the layers below?",
    name="only_the_layer_below",
    fails=["receptive_field-strides"],
)
def receptive_field(layers):
    """Only the stride of the layer right below counts."""
    size, below = 1, 1
    for kernel, stride in layers:
        size += (kernel - 1) * below
        below = stride
    return size


@misconception(
    "receptive_field",
    "r = (r - 1) * s + k walks down from the top. From which end does your loop start?",
    name="walks_the_wrong_way",
    fails=["receptive_field-strides"],
)
def receptive_field(layers):
    """The recursion that goes from the last layer to the first, run from the first to the last."""
    size = 1
    for kernel, stride in layers:
        size = (size - 1) * stride + kernel
    return size


@misconception(
    "receptive_field",
    "Fields overlap. Draw two kernels of 3 on paper and count the pixels: 5, not 9.",
    name="multiplies_kernels",
)
def receptive_field(layers):
    """The product of the kernels."""
    return int(np.prod([kernel for kernel, _ in layers]))


@alternative("receptive_field", name="top_down")
def receptive_field(layers):
    """From the last layer down: how many numbers of the map below make these?"""
    size = 1
    for kernel, stride in reversed(layers):
        size = (size - 1) * stride + kernel
    return size


@alternative("receptive_field", name="one_sum")
def receptive_field(layers):
    """A sum over the layers of (k - 1) times the product of the strides below."""
    return 1 + sum(
        (layers[n][0] - 1) * int(np.prod([stride for _, stride in layers[:n]], dtype=int))
        for n in range(len(layers))
    )
