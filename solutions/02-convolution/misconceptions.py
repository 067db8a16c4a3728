"""Wrong and unusual solutions of unit 02, each with the hint that its author needs."""

import numpy as np

from grader.misconceptions import alternative, misconception

# ---- cross_correlate1d ----------------------------------------------------------------------


@misconception(
    "cross_correlate1d",
    "Feed your function an impulse, 0 0 1 0 0, and a kernel that is not its own mirror image. "
    "In a cross-correlation both indices run forward. Which function of NumPy does which?",
    name="flips_kernel",
)
def cross_correlate1d(x, w, padding=0, stride=1):
    """The kernel is flipped: np.convolve is a convolution."""
    return np.convolve(np.pad(np.asarray(x, dtype=float), padding), w, mode="valid")[::stride]


@misconception(
    "cross_correlate1d",
    "The size is right with a stride, the values are not. Write down by hand where window "
    "number 0, 1 and 2 start for stride 2.",
    name="stride_only_in_size",
    fails=["cross_correlate1d-stride", "cross_correlate1d-padding"],
)
def cross_correlate1d(x, w, padding=0, stride=1):
    """The stride shortens the result, but the window still moves by one."""
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    m = len(w)
    y = np.zeros((len(x_p) - m) // stride + 1)
    for i in range(len(y)):
        y[i] = np.sum(x_p[i : i + m] * w)
    return y


@misconception(
    "cross_correlate1d",
    "Print your padded row. On which side are the zeros, and how many does the text ask for on each side?",
    name="pads_one_end",
    fails=["cross_correlate1d-padding"],
)
def cross_correlate1d(x, w, padding=0, stride=1):
    """All zeros go to the front of the row."""
    x_p = np.concatenate([np.zeros(2 * padding), x])
    m = len(w)
    n_out = (len(x_p) - m) // stride + 1
    return np.array([float(np.sum(x_p[i * stride : i * stride + m] * w)) for i in range(n_out)])


@misconception(
    "cross_correlate1d",
    "Try a row of whole numbers with the kernel (0.5, 0.5). What kind of numbers can the array "
    "that you store the results in hold?",
    name="integer_result",
    fails=["cross_correlate1d-slide"],
)
def cross_correlate1d(x, w, padding=0, stride=1):
    """The result has the integer type of the input and cuts off fractions."""
    x_p = np.pad(x, padding)
    m = len(w)
    y = np.zeros((len(x_p) - m) // stride + 1, dtype=x.dtype)
    for i in range(len(y)):
        y[i] = np.sum(x_p[i * stride : i * stride + m] * w)
    return y


@misconception(
    "cross_correlate1d",
    "Padding and stride at once: how many windows start on 0 1 3 5 0 if the stride is 2? Pad first, "
    "then count on the longer row.",
    name="size_adds_padding_last",
    fails=["cross_correlate1d-padding"],
)
def cross_correlate1d(x, w, padding=0, stride=1):
    """The zeros are added to the number of windows, after the division by the stride."""
    m = len(w)
    n_out = (len(x) - m) // stride + 1 + 2 * padding
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    x_p = np.concatenate([x_p, np.zeros(n_out * stride)])
    return np.array([float(np.sum(x_p[i * stride : i * stride + m] * w)) for i in range(n_out)])


@misconception(
    "cross_correlate1d",
    "You pad, or you stride. What does your function do when somebody asks for both?",
    name="padding_or_stride",
    fails=["cross_correlate1d-padding"],
)
def cross_correlate1d(x, w, padding=0, stride=1):
    """A padded row is always walked with stride 1."""
    if padding:
        return np.correlate(np.pad(np.asarray(x, dtype=float), padding), w)
    return np.correlate(np.asarray(x, dtype=float), w)[::stride]


@alternative("cross_correlate1d", name="window_view")
def cross_correlate1d(x, w, padding=0, stride=1):
    """All windows as one view, then a matrix product."""
    x_p = np.pad(np.asarray(x, dtype=np.float64), padding)
    return np.lib.stride_tricks.sliding_window_view(x_p, len(w))[::stride] @ w


@alternative("cross_correlate1d", name="nested_loops")
def cross_correlate1d(x, w, padding=0, stride=1):
    """Two loops and no padded copy: what lies outside counts as zero. Prints and builds a list."""
    n, m = len(x), len(w)
    y = []
    for start in range(-padding, n + padding - m + 1, stride):
        total = 0.0
        for k in range(m):
            if 0 <= start + k < n:
                total += float(x[start + k]) * float(w[k])
        y.append(total)
    print("values:", len(y))
    return np.array(y)


# ---- convolve1d -----------------------------------------------------------------------------


@misconception(
    "convolve1d",
    "You have written a cross-correlation. Put in the impulse 0 0 1 0 0: a convolution gives back "
    "a copy of the kernel, not its mirror image.",
    name="not_flipped",
)
def convolve1d(x, w, padding=0, stride=1):
    """A cross-correlation: the kernel is not flipped."""
    return np.correlate(np.pad(np.asarray(x, dtype=float), padding), w, mode="valid")[::stride]


@misconception(
    "convolve1d",
    "Call your function twice with the same kernel and compare. Does `w` still hold what it held before?",
    name="flips_in_place",
    fails=["convolve1d-flip", "convolve1d-options"],
)
def convolve1d(x, w, padding=0, stride=1):
    """The caller's kernel is reversed in place."""
    w[:] = w[::-1].copy()
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    m = len(w)
    n_out = (len(x_p) - m) // stride + 1
    return np.array([float(np.sum(x_p[i * stride : i * stride + m] * w)) for i in range(n_out)])


@misconception(
    "convolve1d",
    "For k = 0 your index is the first number behind the window. Does the formula that you use count from 0 or from 1?",
    name="counts_from_one",
)
def convolve1d(x, w, padding=0, stride=1):
    """The index i + m - k of a text that counts from 1."""
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    m = len(w)
    y = np.zeros((len(x_p) - m) // stride + 1)
    for i in range(len(y)):
        for k in range(m):
            if i * stride + m - k < len(x_p):
                y[i] += x_p[i * stride + m - k] * w[k]
    return y


@misconception(
    "convolve1d",
    "Only the kernel turns around. If you turn the row instead, in which order do the results come?",
    name="flips_the_row",
)
def convolve1d(x, w, padding=0, stride=1):
    """The row is reversed and not the kernel, so the result comes out backward."""
    x_p = np.pad(np.asarray(x, dtype=float), padding)[::-1]
    m = len(w)
    y = np.zeros((len(x_p) - m) // stride + 1)
    for i in range(len(y)):
        y[i] = np.sum(x_p[i * stride : i * stride + m] * w)
    return y


@misconception(
    "convolve1d",
    "Without padding the result is shorter than the row. NumPy's default mode is another one: look it up.",
    name="full_mode",
)
def convolve1d(x, w, padding=0, stride=1):
    """np.convolve in its default mode pads fully."""
    return np.convolve(np.pad(np.asarray(x, dtype=float), padding), w)[::stride]


@alternative("convolve1d", name="numpy_convolve")
def convolve1d(x, w, padding=0, stride=1):
    """NumPy's own convolution in valid mode, every stride-th value."""
    zeros = np.zeros(padding)
    return np.convolve(np.concatenate([zeros, x, zeros]), w, mode="valid")[::stride]


@alternative("convolve1d", name="calls_cross_correlate1d")
def convolve1d(x, w, padding=0, stride=1):
    """The exercise before it, with the kernel read from the end."""
    return cross_correlate1d(x, w[::-1], padding, stride)


# ---- conv_output_size -----------------------------------------------------------------------


@misconception(
    "conv_output_size",
    "Seven numbers, a window of three, stride three: draw it. Does a window that sticks out count?",
    name="rounds_up",
    fails=["conv_output_size-floor"],
)
def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """Rounds up instead of down."""
    return -(-(n + 2 * padding - dilation * (m - 1) - 1) // stride) + 1


@misconception(
    "conv_output_size",
    "round() goes to the nearest whole number, sometimes up. Can a part of a window be a result?",
    name="rounds_to_nearest",
    fails=["conv_output_size-floor"],
)
def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """Rounds to the nearest whole number."""
    return round((n + 2 * padding - dilation * (m - 1) - 1) / stride) + 1


@misconception(
    "conv_output_size",
    "Padding puts zeros on how many sides of the row?",
    name="padding_once",
)
def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """Counts the padding of one side only."""
    return (n + padding - dilation * (m - 1) - 1) // stride + 1


@misconception(
    "conv_output_size",
    "Draw three numbers with gaps, d = 2: w . w . w. How long is that? How many gaps are between three numbers?",
    name="dilation_times_kernel",
    fails=["conv_output_size-dilation"],
)
def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """Takes d * m for the span of a dilated kernel."""
    return (n + 2 * padding - dilation * m) // stride + 1


@misconception(
    "conv_output_size",
    "A window that covers the whole row gives how many results? What does your formula say for n = m?",
    name="forgets_first_window",
)
def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """The window at the very start is not counted."""
    return (n + 2 * padding - dilation * (m - 1) - 1) // stride


@alternative("conv_output_size", name="counts_starts")
def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """Lists the places where a window may start and counts them."""
    last = n + 2 * padding - (dilation * (m - 1) + 1)
    return len(range(0, last + 1, stride))


@alternative("conv_output_size", name="float_division")
def conv_output_size(n, m, padding=0, stride=1, dilation=1):
    """np.floor of a true division, made an int."""
    return int(np.floor((n + 2 * padding - dilation * (m - 1) - 1) / stride)) + 1


# ---- pad_amount -----------------------------------------------------------------------------


@misconception(
    "pad_amount",
    "In full mode at least one number of the row must lie under the window. How far can the window stick out then?",
    name="full_is_m",
    fails=["pad_amount-modes"],
)
def pad_amount(mode, m):
    """Full padding is one too large."""
    if mode == "same" and m % 2 == 0:
        raise ValueError("m must be odd")
    amounts = {"full": m, "same": (m - 1) // 2, "valid": 0}
    if mode not in amounts:
        raise ValueError(f"unknown mode {mode}")
    return amounts[mode]


@misconception(
    "pad_amount",
    "How long is the result for n = 10, m = 4 and the padding that you return? Is that the same length?",
    name="even_is_halved",
    fails=["pad_amount-refuses"],
)
def pad_amount(mode, m):
    """Same padding of an even kernel is silently m // 2."""
    amounts = {"full": m - 1, "same": m // 2, "valid": 0}
    if mode not in amounts:
        raise ValueError(f"unknown mode {mode}")
    return amounts[mode]


@misconception(
    "pad_amount",
    'What does your function answer for a mode with a typing mistake, such as "some"?',
    name="anything_is_valid",
    fails=["pad_amount-refuses"],
)
def pad_amount(mode, m):
    """An unknown mode counts as valid."""
    if mode == "full":
        return m - 1
    if mode == "same":
        if m % 2 == 0:
            raise ValueError("same padding needs an odd kernel")
        return (m - 1) // 2
    return 0


@misconception(
    "pad_amount",
    '"Valid" means that every number of the result was made from real numbers of the row only. How much padding does that allow?',
    name="valid_and_full_swapped",
    fails=["pad_amount-modes"],
)
def pad_amount(mode, m):
    """The names valid and full are mixed up."""
    if mode == "same" and m % 2 == 0:
        raise ValueError("same padding needs an odd kernel")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"unknown mode {mode}")
    return {"valid": m - 1, "same": (m - 1) // 2, "full": 0}[mode]


@alternative("pad_amount", name="match_statement")
def pad_amount(mode, m):
    """A match statement; the division is checked by its remainder."""
    match mode:
        case "valid":
            return 0
        case "full":
            return m - 1
        case "same":
            half, rest = divmod(m - 1, 2)
            if rest == 0:
                return half
    raise ValueError(f"no padding for mode {mode!r} and m (={m})")


# ---- correlate2d ----------------------------------------------------------------------------


@misconception(
    "correlate2d",
    "Your kernel is turned by 180 degrees: that is a convolution. In a cross-correlation all indices run forward.",
    name="turns_kernel",
)
def correlate2d(x, w):
    """The kernel is rotated, as in a convolution."""
    kH, kW = w.shape
    y = np.zeros((x.shape[0] - kH + 1, x.shape[1] - kW + 1))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = np.sum(x[i : i + kH, j : j + kW] * w[::-1, ::-1].astype(float))
    return y


@misconception(
    "correlate2d",
    "It works for square pictures and kernels. Which of your sizes and ranges belong to rows and which to columns?",
    name="square_only",
    fails=["correlate2d-shapes"],
)
def correlate2d(x, w):
    """Height stands for width."""
    m = w.shape[0]
    size = x.shape[0] - m + 1
    y = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            y[i, j] = np.sum(x[i : i + m, j : j + m] * np.asarray(w, dtype=float))
    return y


@misconception(
    "correlate2d",
    "The @ of two matrices is a matrix product. What do you need to do with each pair of numbers at the same place?",
    name="matrix_product",
)
def correlate2d(x, w):
    """A matrix product instead of a product number by number."""
    kH, kW = w.shape
    y = np.zeros((x.shape[0] - kH + 1, x.shape[1] - kW + 1))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = np.sum(x[i : i + kH, j : j + kW].astype(float) @ w)
    return y


@misconception(
    "correlate2d",
    "How many places are there for a window of 2 on a row of 3? Count them, the last one included.",
    name="last_window_lost",
)
def correlate2d(x, w):
    """The last row and column of the result are missing."""
    kH, kW = w.shape
    y = np.zeros((x.shape[0] - kH, x.shape[1] - kW))
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = np.sum(x[i : i + kH, j : j + kW] * np.asarray(w, dtype=float))
    return y


@misconception(
    "correlate2d",
    "Show it a photograph of whole numbers (uint8) and a kernel with fractions. What does your result array hold?",
    name="integer_result",
    fails=["correlate2d-shapes"],
)
def correlate2d(x, w):
    """The result has the integer type of the picture."""
    kH, kW = w.shape
    y = np.zeros((x.shape[0] - kH + 1, x.shape[1] - kW + 1), dtype=x.dtype)
    for i in range(y.shape[0]):
        for j in range(y.shape[1]):
            y[i, j] = np.sum(x[i : i + kH, j : j + kW] * w).astype(x.dtype)
    return y


@misconception(
    "correlate2d",
    "Give it float64 and look at the type of what comes back. Half of the digits are gone. When does the contract allow float32?",
    name="always_float32",
    fails=["correlate2d-shapes"],
)
def correlate2d(x, w):
    """The result is float32 even for float64 arguments."""
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(x, dtype=float), w.shape)
    return np.einsum("ijkl,kl->ij", windows, w).astype(np.float32)


@alternative("correlate2d", name="shift_and_add")
def correlate2d(x, w):
    """One loop over the kernel: each weight adds a shifted copy of the picture."""
    kH, kW = w.shape
    H_out, W_out = x.shape[0] - kH + 1, x.shape[1] - kW + 1
    return sum(
        float(w[k1, k2]) * x[k1 : k1 + H_out, k2 : k2 + W_out]
        for k1 in range(kH)
        for k2 in range(kW)
    )


@alternative("correlate2d", name="einsum")
def correlate2d(x, w):
    """All windows as a view, one einsum."""
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(x, dtype=float), w.shape)
    return np.einsum("ijkl,kl->ij", windows, w)


# ---- conv2d ---------------------------------------------------------------------------------


@misconception(
    "conv2d",
    "Networks do not flip: conv2d is a cross-correlation. Compare with the formula, sign by sign.",
    name="turns_kernel",
    fails=[
        "conv2d-channels",
        "conv2d-stride",
        "conv2d-padding",
        "conv2d-together",
        "conv2d-contract",
        "conv2d-bias",
    ],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The kernels are rotated by 180 degrees."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))
    y = np.einsum("ncijkl,fckl->nfij", windows[:, :, ::stride, ::stride], w[:, :, ::-1, ::-1])
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "Two channels of ones and a filter of ones: what should one output be? The formula has a sum over c. Do you divide?",
    name="averages_channels",
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The maps of the input channels are averaged instead of added."""
    C_out, _, kH, kW = w.shape
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    y = np.stack(
        [np.einsum("ncijkl,ckl->ncij", windows, w[f]).mean(axis=1) for f in range(C_out)], axis=1
    )
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "All your maps of one picture are alike. Which index of w says which filter it is?",
    name="first_filter_everywhere",
    fails=[
        "conv2d-channels",
        "conv2d-bias",
        "conv2d-stride",
        "conv2d-padding",
        "conv2d-together",
        "conv2d-contract",
    ],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """Every map is made with filter 0."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    y = np.stack([np.einsum("ncijkl,ckl->nij", windows, w[0])] * len(w), axis=1)
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "Show it a black picture and a bias: what should come out? Follow `b` through your code.",
    name="bias_forgotten",
    fails=["conv2d-bias", "conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The bias is never used."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    return np.einsum("ncijkl,fckl->nfij", windows, w)


@misconception(
    "conv2d",
    "A black picture with three channels and a bias of 10: do you get 10? How often is the bias added for each output?",
    name="bias_per_input_channel",
    fails=["conv2d-bias", "conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The bias is added once for every input channel."""
    C_out, C_in, kH, kW = w.shape
    N, _, H, W = x.shape
    b = np.zeros(C_out) if b is None else b
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    H_out, W_out = (H + 2 * padding - kH) // stride + 1, (W + 2 * padding - kW) // stride + 1
    y = np.zeros((N, C_out, H_out, W_out))
    for f in range(C_out):
        for c in range(C_in):
            for i in range(H_out):
                for j in range(W_out):
                    window = x_p[:, c, i * stride : i * stride + kH, j * stride : j * stride + kW]
                    y[:, f, i, j] += np.sum(window * w[f, c], axis=(1, 2))
            y[:, f] += b[f]
    return y


@misconception(
    "conv2d",
    "`y + b` lines b up with the last axis of y. Which axis of y counts the filters?",
    name="bias_along_width",
    fails=["conv2d-bias", "conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The bias is broadcast along the width of the map."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    y = np.einsum("ncijkl,fckl->nfij", windows, w)
    return y if b is None else y + b


@misconception(
    "conv2d",
    "What happens in your code when nobody gives a bias? `b` is `None` then, not zero.",
    name="bias_must_be_given",
    fails=[
        "conv2d-channels",
        "conv2d-stride",
        "conv2d-padding",
        "conv2d-together",
        "conv2d-contract",
    ],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """Breaks when b is None."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    return np.einsum("ncijkl,fckl->nfij", windows, w) + b[None, :, None, None]


@misconception(
    "conv2d",
    "The height of your map is right with a stride, the width is not. Along how many axes does the window jump?",
    name="stride_of_rows_only",
    fails=["conv2d-stride", "conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The stride is used for rows only."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[:, :, ::stride]
    y = np.einsum("ncijkl,fckl->nfij", windows, w)
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "The shape is right with a stride, the values are not. Where does the window of output (1, 1) start for stride 2?",
    name="stride_only_in_size",
    fails=["conv2d-stride", "conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The stride shortens the map, but the window still moves by one."""
    N, _, H, W = x.shape
    C_out, _, kH, kW = w.shape
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    H_out, W_out = (H + 2 * padding - kH) // stride + 1, (W + 2 * padding - kW) // stride + 1
    y = np.zeros((N, C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            y[:, :, i, j] = np.tensordot(
                x_p[:, :, i : i + kH, j : j + kW], w, axes=([1, 2, 3], [1, 2, 3])
            )
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "You pad the picture, and yet the map does not grow. Which height do you put into the formula for the size?",
    name="size_without_padding",
    fails=["conv2d-padding", "conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The size is computed from the picture before padding."""
    N, _, H, W = x.shape
    C_out, _, kH, kW = w.shape
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    H_out, W_out = (H - kH) // stride + 1, (W - kW) // stride + 1
    y = np.zeros((N, C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x_p[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW]
            y[:, :, i, j] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "Print the shape of your padded array. How many pictures and channels does it have now?",
    name="pads_every_axis",
    fails=["conv2d-padding", "conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """np.pad with one number pads pictures and channels, too."""
    C_out, C_in, kH, kW = w.shape
    x_p = np.pad(np.asarray(x, dtype=float), padding)
    H_out, W_out = (x_p.shape[2] - kH) // stride + 1, (x_p.shape[3] - kW) // stride + 1
    y = np.zeros((len(x_p), C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x_p[:, :C_in, i * stride : i * stride + kH, j * stride : j * stride + kW]
            y[:, :, i, j] = np.tensordot(window, w, axes=([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "A byte holds 0 to 255. In which kind of numbers do you multiply and add when the picture is a photograph?",
    name="computes_in_bytes",
    fails=["conv2d-contract"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """Sums are kept in the type of the picture, which overflows for uint8."""
    N, _, H, W = x.shape
    C_out, _, kH, kW = w.shape
    x_p = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    H_out, W_out = (H + 2 * padding - kH) // stride + 1, (W + 2 * padding - kW) // stride + 1
    y = np.zeros((N, C_out, H_out, W_out), dtype=x.dtype)
    for i in range(H_out):
        for j in range(W_out):
            window = x_p[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW]
            y[:, :, i, j] = np.tensordot(window, w.astype(x.dtype), axes=([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "Height and width have changed places somewhere. Try a picture of 5 x 8 with a kernel of 1 x 3, and look at the shape.",
    name="swaps_height_and_width",
    fails=[
        "conv2d-channels",
        "conv2d-bias",
        "conv2d-stride",
        "conv2d-padding",
        "conv2d-together",
        "conv2d-contract",
    ],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The map comes out transposed."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    y = np.einsum("ncijkl,fckl->nfji", windows, w)
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "Your function has two ways through it. Does the bias come along on both?",
    name="bias_forgotten_with_options",
    fails=["conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The bias is lost whenever there is a stride or padding."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    y = np.einsum("ncijkl,fckl->nfij", windows, w)
    if b is None or stride > 1 or padding > 0:
        return y
    return y + np.reshape(b, (1, -1, 1, 1))


@misconception(
    "conv2d",
    "Print `b` before and after a call with stride 2. Which line writes into the caller's array?",
    name="scales_bias_in_place",
    fails=["conv2d-together"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The map is right, but the caller's bias has been multiplied by the stride."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    y = np.einsum("ncijkl,fckl->nfij", windows, w)
    if b is not None:
        y = y + np.reshape(b, (1, -1, 1, 1))
        b *= stride
    return y


@misconception(
    "conv2d",
    "Give it float64 and look at the type of what comes back. Half of the digits are gone. When does the contract allow float32?",
    name="always_float32",
    fails=["conv2d-contract"],
)
def conv2d(x, w, b=None, stride=1, padding=0):
    """The result is float32 even for float64 arguments."""
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    windows = np.lib.stride_tricks.sliding_window_view(x_p, (kH, kW), axis=(2, 3))[
        :, :, ::stride, ::stride
    ]
    y = np.einsum("ncijkl,fckl->nfij", windows, w)
    y = y if b is None else y + np.reshape(b, (1, -1, 1, 1))
    return y.astype(np.float32)


@alternative("conv2d", name="seven_loops")
def conv2d(x, w, b=None, stride=1, padding=0):
    """The formula, letter by letter, without a padded copy."""
    N, C_in, H, W = x.shape
    C_out, _, kH, kW = w.shape
    H_out = (H + 2 * padding - kH) // stride + 1
    W_out = (W + 2 * padding - kW) // stride + 1
    y = np.zeros((N, C_out, H_out, W_out))
    for n in range(N):
        for f in range(C_out):
            for i in range(H_out):
                for j in range(W_out):
                    total = 0.0 if b is None else float(b[f])
                    for c in range(C_in):
                        for k1 in range(kH):
                            for k2 in range(kW):
                                row, column = i * stride + k1 - padding, j * stride + k2 - padding
                                if 0 <= row < H and 0 <= column < W:
                                    total += float(x[n, c, row, column]) * float(w[f, c, k1, k2])
                    y[n, f, i, j] = total
    return y


@alternative("conv2d", name="einsum")
def conv2d(x, w, b=None, stride=1, padding=0):
    """All windows as a view and one einsum; keeps float32."""
    kind = np.result_type(x.dtype, w.dtype, np.float32)
    sides = (padding, padding)
    x_p = np.pad(x.astype(kind), ((0, 0), (0, 0), sides, sides))
    windows = np.lib.stride_tricks.sliding_window_view(x_p, w.shape[2:], axis=(2, 3))
    y = np.einsum("ncijkl,fckl->nfij", windows[:, :, ::stride, ::stride], w.astype(kind))
    return y if b is None else y + np.asarray(b).reshape(1, -1, 1, 1)


@alternative("conv2d", name="shift_and_add")
def conv2d(x, w, b=None, stride=1, padding=0):
    """A loop over the kernel: each weight adds a shifted, thinned copy of all pictures."""
    N, _, H, W = x.shape
    C_out, _, kH, kW = w.shape
    x_p = np.zeros((N, x.shape[1], H + 2 * padding, W + 2 * padding))
    x_p[:, :, padding : padding + H, padding : padding + W] = x
    H_out = (H + 2 * padding - kH) // stride + 1
    W_out = (W + 2 * padding - kW) // stride + 1
    y = np.zeros((N, C_out, H_out, W_out))
    for k1 in range(kH):
        for k2 in range(kW):
            seen = x_p[:, :, k1 : k1 + stride * H_out : stride, k2 : k2 + stride * W_out : stride]
            y += np.einsum("fc,ncij->nfij", w[:, :, k1, k2], seen[:, :, :H_out, :W_out])
    if b is not None:
        for f in range(C_out):
            y[:, f] += b[f]
    return y


@alternative("conv2d", name="matrix_form")
def conv2d(x, w, b=None, stride=1, padding=0):
    """Windows become columns of a matrix, and the layer is one matrix product."""
    N, _, H, W = x.shape
    C_out, _, kH, kW = w.shape
    x_p = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding))).astype(np.float64)
    rows = range(0, H + 2 * padding - kH + 1, stride)
    columns = range(0, W + 2 * padding - kW + 1, stride)
    patches = [x_p[:, :, i : i + kH, j : j + kW].reshape(N, -1) for i in rows for j in columns]
    y = np.stack(patches, axis=1) @ w.reshape(C_out, -1).T.astype(np.float64)  # (N, places, C_out)
    if b is not None:
        y = y + b
    return y.transpose(0, 2, 1).reshape(N, C_out, len(rows), len(columns))


@alternative("conv2d", name="fourier")
def conv2d(x, w, b=None, stride=1, padding=0):
    """A product of Fourier transforms; then only the valid places are kept."""
    H, W = x.shape[2] + 2 * padding, x.shape[3] + 2 * padding
    kH, kW = w.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    spectrum = np.einsum(
        "nchw,fchw->nfhw",
        np.fft.rfft2(x_p),
        np.conj(np.fft.rfft2(np.asarray(w, dtype=float), (H, W))),
    )
    y = np.fft.irfft2(spectrum, (H, W))[:, :, : H - kH + 1 : stride, : W - kW + 1 : stride]
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))


# ---- locally_connected2d --------------------------------------------------------------------


@misconception(
    "locally_connected2d",
    "You use the same weights at every place: that is a convolution. Which two indices of w say where the window is?",
    name="still_shares",
)
def locally_connected2d(x, w, b=None, stride=1):
    """The weights of the first place are used everywhere."""
    H_out, W_out, C_out, _, kH, kW = w.shape
    y = np.zeros((x.shape[0], C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW].astype(
                float
            )
            y[:, :, i, j] = np.tensordot(window, w[0, 0], axes=([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + b


@misconception(
    "locally_connected2d",
    "With a stride the windows overlap as if there were none. Where does the window of place (1, 1) start?",
    name="stride_ignored",
    fails=["locally_connected2d-options"],
)
def locally_connected2d(x, w, b=None, stride=1):
    """The window moves by one whatever the stride."""
    H_out, W_out, C_out, _, kH, kW = w.shape
    y = np.zeros((x.shape[0], C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x[:, :, i : i + kH, j : j + kW].astype(float)
            y[:, :, i, j] = np.tensordot(window, w[i, j], axes=([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + b


@misconception(
    "locally_connected2d",
    "Look at the shape of b. Is there one bias for each filter, or more?",
    name="bias_of_first_place",
    fails=["locally_connected2d-options"],
)
def locally_connected2d(x, w, b=None, stride=1):
    """One bias per filter: the one of the first place."""
    H_out, W_out, C_out, _, kH, kW = w.shape
    y = np.zeros((x.shape[0], C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW].astype(
                float
            )
            y[:, :, i, j] = np.tensordot(window, w[i, j], axes=([1, 2, 3], [1, 2, 3]))
    return y if b is None else y + b[:, :1, :1]


@misconception(
    "locally_connected2d",
    "Your weights of place (i, j) are used at place (j, i). Which axis of w counts rows?",
    name="places_transposed",
)
def locally_connected2d(x, w, b=None, stride=1):
    """Row and column of the place are mixed up in w."""
    H_out, W_out, C_out, _, kH, kW = w.shape
    y = np.zeros((x.shape[0], C_out, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW].astype(
                float
            )
            y[:, :, i, j] = np.tensordot(
                window, w[j % H_out, i % W_out], axes=([1, 2, 3], [1, 2, 3])
            )
    return y if b is None else y + b


@misconception(
    "locally_connected2d",
    "Your weights lose half of their digits on the way. When does the contract allow float32?",
    name="rounds_weights",
    fails=["locally_connected2d-weights"],
)
def locally_connected2d(x, w, b=None, stride=1):
    """The weights are rounded to float32."""
    windows = np.lib.stride_tricks.sliding_window_view(
        np.asarray(x, dtype=float), w.shape[4:], axis=(2, 3)
    )[:, :, ::stride, ::stride]
    y = np.einsum("ncijkl,ijfckl->nfij", windows, w.astype(np.float32))
    return y if b is None else y + b


@alternative("locally_connected2d", name="einsum")
def locally_connected2d(x, w, b=None, stride=1):
    """All windows as a view, one einsum with the place on both sides."""
    windows = np.lib.stride_tricks.sliding_window_view(
        np.asarray(x, dtype=float), w.shape[4:], axis=(2, 3)
    )
    y = np.einsum("ncijkl,ijfckl->nfij", windows[:, :, ::stride, ::stride], w)
    return y if b is None else y + b


@alternative("locally_connected2d", name="a_conv2d_per_place")
def locally_connected2d(x, w, b=None, stride=1):
    """One convolution per place, on a picture no larger than the window."""
    H_out, W_out, C_out, _, kH, kW = w.shape
    y = np.zeros((len(x), C_out, H_out, W_out))
    for i, j in np.ndindex(H_out, W_out):
        window = x[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW]
        bias = None if b is None else b[:, i, j]
        y[:, :, i, j] = conv2d(window, w[i, j], bias)[:, :, 0, 0]
    return y


# ---- count_parameters -----------------------------------------------------------------------


@misconception(
    "count_parameters",
    "How many channels does one filter look at? It has a kernel for each of them.",
    name="flat_filters",
)
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """A filter has one flat kernel, whatever the number of channels."""
    _, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    places = ((H + 2 * padding - kH) // stride + 1) * ((W + 2 * padding - kW) // stride + 1)
    seen = {"conv": kH * kW, "local": kH * kW, "dense": H * W}[kind]
    return c_out * (seen + bias) * (1 if kind == "conv" else places)


@misconception(
    "count_parameters",
    "A convolution uses its weights at every place. Does it have new weights there?",
    name="counts_every_place",
    fails=["count_parameters-conv"],
)
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """Counts the uses of a convolution's weights, not the weights."""
    if kind not in ("conv", "local", "dense"):
        raise ValueError(f"unknown kind {kind}")
    c_in, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    places = ((H + 2 * padding - kH) // stride + 1) * ((W + 2 * padding - kW) // stride + 1)
    seen = c_in * H * W if kind == "dense" else c_in * kH * kW
    return places * c_out * (seen + bias)


@misconception(
    "count_parameters",
    "One bias for the whole layer? Look at the shape of b in conv2d.",
    name="one_bias_per_layer",
)
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """Counts a single bias."""
    c_in, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    places = ((H + 2 * padding - kH) // stride + 1) * ((W + 2 * padding - kW) // stride + 1)
    if kind == "conv":
        return c_out * c_in * kH * kW + int(bias)
    seen = c_in * H * W if kind == "dense" else c_in * kH * kW
    return places * c_out * seen + int(bias)


@misconception(
    "count_parameters",
    "How many outputs does the dense layer have? As many as there are numbers in all the maps, not as there are maps.",
    name="dense_with_few_outputs",
    fails=["count_parameters-others"],
)
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """The dense layer gets one output per map: 2,352 taken for a whole layer."""
    c_in, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    places = ((H + 2 * padding - kH) // stride + 1) * ((W + 2 * padding - kW) // stride + 1)
    if kind == "dense":
        return c_out * (c_in * H * W + bias)
    return c_out * (c_in * kH * kW + bias) * (places if kind == "local" else 1)


@misconception(
    "count_parameters",
    "A locally connected layer shares nothing between places. What about its biases?",
    name="local_shares_bias",
    fails=["count_parameters-others"],
)
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """The locally connected layer gets one bias per filter."""
    c_in, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    places = ((H + 2 * padding - kH) // stride + 1) * ((W + 2 * padding - kW) // stride + 1)
    if kind == "dense":
        return places * c_out * (c_in * H * W + bias)
    return c_out * c_in * kH * kW * (places if kind == "local" else 1) + c_out * bias


@misconception(
    "count_parameters",
    "Zeros of the padding have no weights. How many inputs does one output of the dense layer have?",
    name="dense_counts_padding",
    fails=["count_parameters-others"],
)
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """The dense layer gets weights for the padded pixels, too."""
    c_in, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    H, W = H + 2 * padding, W + 2 * padding
    places = ((H - kH) // stride + 1) * ((W - kW) // stride + 1)
    if kind == "conv":
        return c_out * (c_in * kH * kW + bias)
    if kind == "local":
        return places * c_out * (c_in * kH * kW + bias)
    if kind == "dense":
        return places * c_out * (c_in * H * W + bias)
    raise ValueError(f"unknown kind {kind}")


@misconception(
    "count_parameters",
    'What does your function answer for a kind with a typing mistake, such as "densed"?',
    name="anything_is_dense",
    fails=["count_parameters-others"],
)
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """An unknown kind counts as dense."""
    c_in, H, W = in_shape
    kH, kW = (kernel_size, kernel_size) if isinstance(kernel_size, int) else kernel_size
    places = ((H + 2 * padding - kH) // stride + 1) * ((W + 2 * padding - kW) // stride + 1)
    if kind == "conv":
        return c_out * (c_in * kH * kW + bias)
    seen = c_in * kH * kW if kind == "local" else c_in * H * W
    return places * c_out * (seen + bias)


@alternative("count_parameters", name="table")
def count_parameters(kind, in_shape, c_out, kernel_size, stride=1, padding=0, bias=True):
    """Sets of weights times what one output looks at, from a table."""
    kH, kW = np.broadcast_to(kernel_size, 2)
    c_in, H, W = in_shape
    rows = range(0, H + 2 * padding - kH + 1, stride)
    columns = range(0, W + 2 * padding - kW + 1, stride)
    outputs = len(rows) * len(columns) * c_out
    if kind not in {"conv", "local", "dense"}:
        raise ValueError(f"no such kind: {kind!r}")
    sets, inputs = {
        "conv": (c_out, c_in * kH * kW),
        "local": (outputs, c_in * kH * kW),
        "dense": (outputs, c_in * H * W),
    }[kind]
    weights = sets * inputs
    biases = sets if bias else 0
    return int(weights + biases)
