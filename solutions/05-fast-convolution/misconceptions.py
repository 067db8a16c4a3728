"""Wrong and unusual solutions of unit 05, each with the hint that its author needs."""

import numpy as np
import torch

from grader.misconceptions import alternative, misconception

# ---- im2col ---------------------------------------------------------------------------------


@misconception(
    "im2col",
    "Your rows and columns are exchanged. Print the shape: which axis holds the windows, which the pixels of one window?",
    name="windows_as_rows",
)
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """Each window is a row, (N, L, C*kH*kW), as many tutorials have it."""
    cols = torch.nn.functional.unfold(
        torch.tensor(np.array(x, dtype=float)), kernel_size, dilation, padding, stride
    )
    return cols.numpy().swapaxes(1, 2)


@misconception(
    "im2col",
    "Try two channels and a window of 1 x 2. Rows of channel 0 come first, all of them. In which order are the axes before your reshape?",
    name="channels_last",
)
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """Rows are ordered by kernel pixel, then channel."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    cols = torch.nn.functional.unfold(
        torch.tensor(np.array(x, dtype=float)), (kH, kW), dilation, padding, stride
    ).numpy()
    N, D, L = cols.shape
    return cols.reshape(N, -1, kH * kW, L).swapaxes(1, 2).reshape(N, D, L)


@misconception(
    "im2col",
    "Your kernel is read the wrong way round. Compare row 0 of your columns with the picture: it should start at the upper left pixel.",
    name="kernel_backward",
)
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """The pixels of each window are written from last to first, as in a true convolution."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    cols = torch.nn.functional.unfold(
        torch.tensor(np.array(x, dtype=float)), (kH, kW), dilation, padding, stride
    ).numpy()
    N, D, L = cols.shape
    return cols.reshape(N, -1, kH * kW, L)[:, :, ::-1].reshape(N, D, L)


@misconception(
    "im2col",
    "How wide is a kernel of 2 numbers that stand 2 apart? The number of windows depends on it.",
    name="dilation_like_stride",
    fails=["im2col-options"],
)
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """The picture is thinned by the dilation instead of spreading the kernel."""
    pixels = torch.tensor(np.array(x, dtype=float))
    pixels = torch.nn.functional.pad(pixels, (padding,) * 4)[:, :, ::dilation, ::dilation]
    return torch.nn.functional.unfold(pixels, kernel_size, 1, 0, stride).numpy()


@misconception(
    "im2col",
    "What is the type of your columns for a picture of bytes? The contract says that results are floating.",
    name="keeps_bytes",
    fails=["im2col-contract"],
)
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """The columns have the type of the picture."""
    cols = torch.nn.functional.unfold(
        torch.tensor(np.array(x, dtype=float)), kernel_size, dilation, padding, stride
    )
    return cols.numpy().astype(x.dtype)


@misconception(
    "im2col",
    "Padding goes around the picture, on both axes and on both ends. Print your padded picture of one pixel.",
    name="pads_one_corner",
    fails=["im2col-options", "im2col-contract"],
)
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """All zeros stand above and to the left."""
    pixels = torch.tensor(np.array(x, dtype=float))
    pixels = torch.nn.functional.pad(pixels, (2 * padding, 0, 2 * padding, 0))
    return torch.nn.functional.unfold(pixels, kernel_size, dilation, 0, stride).numpy()


@alternative("im2col", name="sliding_window_view")
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """All windows as one view, thinned, then one copy."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    spans = dilation * (kH - 1) + 1, dilation * (kW - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(x_p, spans, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    return windows.transpose(0, 1, 4, 5, 2, 3).reshape(len(x), x.shape[1] * kH * kW, -1)


@alternative("im2col", name="index_arrays")
def im2col(x, kernel_size, stride=1, padding=0, dilation=1):
    """Arrays of indices, as in CS231n's get_im2col_indices."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    N, C, H, W = x.shape
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    x_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    x_p[:, :, padding : padding + H, padding : padding + W] = x
    i0 = np.tile(np.repeat(np.arange(kH), kW), C) * dilation
    j0 = np.tile(np.arange(kW), kH * C) * dilation
    i = i0[:, None] + stride * np.repeat(np.arange(H_out), W_out)[None]
    j = j0[:, None] + stride * np.tile(np.arange(W_out), H_out)[None]
    k = np.repeat(np.arange(C), kH * kW)[:, None]
    print("indices", i.shape)
    return x_p[:, k, i, j]


# ---- col2im ---------------------------------------------------------------------------------


@misconception(
    "col2im",
    "The middle pixel of three was copied twice. Its gradient is b + c. Do you add, or does the last one win?",
    name="assigns",
)
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """What overlaps is overwritten."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    H, W = output_size
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    parts = np.reshape(cols, (len(cols), -1, kH, kW, H_out, W_out))
    x_p = np.zeros((*parts.shape[:2], H + 2 * padding, W + 2 * padding))
    for i in range(kH):
        for j in range(kW):
            top, left = i * dilation, j * dilation
            x_p[
                :, :, top : top + stride * H_out : stride, left : left + stride * W_out : stride
            ] = parts[:, :, i, j]
    return x_p[:, :, padding : padding + H, padding : padding + W]


@misconception(
    "col2im",
    "You divide by the number of windows that see a pixel. That is an inverse of im2col. Asked for is its transpose: a sum.",
    name="averages",
)
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """What overlaps is averaged."""

    def fold(cols, output_size, kernel_size, stride, padding, dilation):
        """What PyTorch does, in float64."""
        cols = torch.tensor(np.array(cols, dtype=float))
        return torch.nn.functional.fold(
            cols, output_size, kernel_size, dilation, padding, stride
        ).numpy()

    settings = output_size, kernel_size, stride, padding, dilation
    counts = fold(np.ones(cols.shape), *settings)
    return fold(cols, *settings) / np.maximum(counts, 1)


@misconception(
    "col2im",
    "What is x[:, :, p:-p, p:-p] for p = 0? And is your result as large as output_size where there is padding?",
    name="keeps_padding",
    fails=["col2im-options"],
)
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """The padding is not cut off."""

    def fold(cols, output_size, kernel_size, stride, padding, dilation):
        """What PyTorch does, in float64."""
        cols = torch.tensor(np.array(cols, dtype=float))
        return torch.nn.functional.fold(
            cols, output_size, kernel_size, dilation, padding, stride
        ).numpy()

    H, W = output_size
    return fold(cols, (H + 2 * padding, W + 2 * padding), kernel_size, stride, 0, dilation)


@misconception(
    "col2im",
    "Your columns are split in the wrong order. Rows are channel, kernel row, kernel column: try two channels.",
    name="channels_last",
    fails=["col2im-overlap", "col2im-options", "col2im-contract"],
)
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """Rows are taken for kernel pixel first, channel last."""

    def fold(cols, output_size, kernel_size, stride, padding, dilation):
        """What PyTorch does, in float64."""
        cols = torch.tensor(np.array(cols, dtype=float))
        return torch.nn.functional.fold(
            cols, output_size, kernel_size, dilation, padding, stride
        ).numpy()

    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    N, D, L = cols.shape
    cols = np.reshape(cols, (N, kH * kW, -1, L)).swapaxes(1, 2).reshape(N, D, L)
    return fold(cols, output_size, kernel_size, stride, padding, dilation)


@alternative("col2im", name="np_add_at")
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """Window by window with np.add.at, which counts repeated indices."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    H, W = output_size
    N, D, _ = cols.shape
    C = D // (kH * kW)
    x_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    place = 0
    for top in range(0, x_p.shape[2] - dilation * (kH - 1), stride):
        for left in range(0, x_p.shape[3] - dilation * (kW - 1), stride):
            rows = (top + dilation * np.arange(kH))[:, None]
            columns = (left + dilation * np.arange(kW))[None]
            window = cols[:, :, place].reshape(N, C, kH, kW)
            np.add.at(x_p, (slice(None), slice(None), rows, columns), window)
            place += 1
    return x_p[:, :, padding : padding + H, padding : padding + W]


@alternative("col2im", name="in_the_type_of_the_columns")
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """As CS231n's col2im_indices: np.add.at into zeros of the type of the columns."""
    kH, kW = (kernel_size, kernel_size) if np.ndim(kernel_size) == 0 else kernel_size
    H, W = output_size
    N, D, _ = cols.shape
    C = D // (kH * kW)
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    x_padded = np.zeros((N, C, H + 2 * padding, W + 2 * padding), dtype=cols.dtype)
    i0 = dilation * np.tile(np.repeat(np.arange(kH), kW), C)
    j0 = dilation * np.tile(np.arange(kW), kH * C)
    i = i0.reshape(-1, 1) + stride * np.repeat(np.arange(H_out), W_out).reshape(1, -1)
    j = j0.reshape(-1, 1) + stride * np.tile(np.arange(W_out), H_out).reshape(1, -1)
    k = np.repeat(np.arange(C), kH * kW).reshape(-1, 1)
    np.add.at(x_padded, (slice(None), k, i, j), cols)
    return x_padded[:, :, padding : padding + H, padding : padding + W]


@alternative("col2im", name="torch_fold")
def col2im(cols, output_size, kernel_size, stride=1, padding=0, dilation=1):
    """PyTorch, as a tensor's array."""

    def fold(cols, output_size, kernel_size, stride, padding, dilation):
        """What PyTorch does, in float64."""
        cols = torch.tensor(np.array(cols, dtype=float))
        return torch.nn.functional.fold(
            cols, output_size, kernel_size, dilation, padding, stride
        ).numpy()

    return fold(cols, output_size, kernel_size, stride, padding, dilation)


# ---- conv2d ---------------------------------------------------------------------------------


@misconception(
    "conv2d",
    "Your product is right and its numbers stand in the wrong places. (L, C_out) is not reshaped into (C_out, H_out, W_out): which axis must move first?",
    name="reshapes_instead_of_moving",
)
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """The rows of the product are places, and a reshape takes them for maps."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    y = right(x, w, b, stride, padding, dilation, groups)
    return y.transpose(0, 2, 3, 1).reshape(y.shape)


@misconception(
    "conv2d",
    "You turn the kernel. A layer correlates: the first number of the kernel meets the upper left pixel of the window.",
    name="flips_kernel",
)
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """A true convolution."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    return right(x, w[:, :, ::-1, ::-1], b, stride, padding, dilation, groups)


@misconception(
    "conv2d",
    "The bias belongs to the maps, axis 1. b of shape (C_out,) lines up with the last axis unless you say otherwise.",
    name="bias_once_too_often",
    fails=["conv2d-options", "conv2d-groups"],
)
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """The bias is added to each row of the columns' product, once for each input channel."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    y = right(x, w, None, stride, padding, dilation, groups)
    return y if b is None else y + w.shape[1] * groups * np.reshape(b, (-1, 1, 1))


@misconception(
    "conv2d",
    "Filters are numbered group by group: with two filters for each group, 0 and 1 read the first channels. Yours take turns.",
    name="groups_take_turns",
    fails=["conv2d-groups"],
)
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """Filter f reads group f % groups instead of f // (C_out // groups)."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    C = w.shape[1]
    maps = [
        right(
            x[:, f % groups * C : f % groups * C + C], w[f : f + 1], None, stride, padding, dilation
        )
        for f in range(len(w))
    ]
    y = np.concatenate(maps, axis=1)
    return y if b is None else y + np.reshape(b, (-1, 1, 1))


@misconception(
    "conv2d",
    "A picture of bytes times floating weights is floating. Which type has the array that your result is written into?",
    name="result_like_picture",
    fails=["conv2d-contract"],
)
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """The result is made with the type of the picture, as np.zeros(..., x.dtype) has it."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    y = right(x, w, b, stride, padding, dilation, groups)
    return y if x.dtype.kind == "f" else y.astype(int).astype(x.dtype)


@misconception(
    "conv2d",
    "How many pixels does a kernel of 2 span when its numbers stand 2 apart? Your windows read neighbours.",
    name="ignores_dilation",
    fails=["conv2d-dilation", "conv2d-groups"],
)
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """The result has the right size for the dilation, the windows are not dilated."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    y = right(x, w, b, stride, padding, dilation, groups)
    return right(x, w, b, stride, padding, 1, groups)[:, :, : y.shape[2], : y.shape[3]]


@misconception(
    "conv2d",
    "Dilation spreads the kernel. You spread the picture. Which of the two belongs to a transposed convolution?",
    name="dilates_the_picture",
    fails=["conv2d-dilation", "conv2d-groups"],
)
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """Zeros are put between the pixels of the picture."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    N, C, H, W = x.shape
    spread = np.zeros((N, C, dilation * (H - 1) + 1, dilation * (W - 1) + 1))
    spread[:, :, ::dilation, ::dilation] = x
    return right(spread, w, b, stride, padding, 1, groups)


@alternative("conv2d", name="group_by_group")
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """One im2col and one product for each group, as most people write it first."""
    (N, _, H, W), (F, c, kH, kW) = x.shape, w.shape
    x_p = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding))).astype(np.float64)
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    results = []
    for g in range(groups):
        part = x_p[:, g * c : g * c + c]
        rows = []
        for ch in range(c):
            for i in range(kH):
                for j in range(kW):
                    piece = part[:, ch, i * dilation :, j * dilation :][:, ::stride, ::stride]
                    rows.append(piece[:, :H_out, :W_out].reshape(N, -1))
        cols = np.stack(rows, axis=1)
        filters = w[g * (F // groups) : (g + 1) * (F // groups)].reshape(F // groups, -1)
        results.append(np.einsum("fd,ndl->nfl", filters.astype(float), cols))
    y = np.concatenate(results, axis=1).reshape(N, F, H_out, W_out)
    return y if b is None else y + np.asarray(b)[None, :, None, None]


@alternative("conv2d", name="windows_and_einsum")
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """As public code has it: a view of all windows, one einsum, no casts."""
    N, (F, c, kH, kW) = len(x), w.shape
    x_p = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    span = dilation * (kH - 1) + 1, dilation * (kW - 1) + 1
    windows = np.lib.stride_tricks.sliding_window_view(x_p, span, axis=(2, 3))
    windows = windows[:, :, ::stride, ::stride, ::dilation, ::dilation]
    windows = windows.reshape(N, groups, c, *windows.shape[2:])
    weights = w.reshape(groups, F // groups, c, kH, kW)
    y = np.einsum("ngchwij,gfcij->ngfhw", windows, weights).reshape(N, F, *windows.shape[3:5])
    return y if b is None else y + b.reshape(1, -1, 1, 1)


@alternative("conv2d", name="shift_and_add")
def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """No columns at all: one small product of channels for each kernel pixel."""
    (N, _, H, W), (F, c, kH, kW) = x.shape, w.shape
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    H_out = (H + 2 * padding - dilation * (kH - 1) - 1) // stride + 1
    W_out = (W + 2 * padding - dilation * (kW - 1) - 1) // stride + 1
    y = np.zeros((N, groups, F // groups, H_out, W_out))
    for i in range(kH):
        for j in range(kW):
            piece = x_p[:, :, i * dilation :, j * dilation :][:, :, ::stride, ::stride]
            piece = piece[:, :, :H_out, :W_out].reshape(N, groups, c, H_out, W_out)
            weights = w[:, :, i, j].reshape(groups, F // groups, c)
            y += np.einsum("gfc,ngchw->ngfhw", weights, piece)
    y = y.reshape(N, F, H_out, W_out)
    return y if b is None else y + np.reshape(b, (1, F, 1, 1))


# ---- conv2d_backward ------------------------------------------------------------------------


@misconception(
    "conv2d_backward",
    "Your dw is too small by the number of places or pictures. A shared weight collects the gradients of all its uses: their sum.",
    name="averages_pictures",
    fails=[
        "conv2d_backward-dw",
        "conv2d_backward-dilation",
        "conv2d_backward-groups",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """dw is averaged over the batch."""

    def gradients(dy, x, w, *options):
        """What PyTorch does, in float64."""
        x, w = (torch.tensor(np.array(a, dtype=float), requires_grad=True) for a in (x, w))
        b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(x, w, b, *options)
        y.backward(torch.tensor(np.array(dy, dtype=float)))
        return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()

    dx, dw, db = gradients(dy, x, w, stride, padding, dilation, groups)
    return dx, dw / len(x), db


@misconception(
    "conv2d_backward",
    "db has one number for each map. Sum dy over pictures and over places, all three axes.",
    name="db_of_first_axis",
    fails=[
        "conv2d_backward-db",
        "conv2d_backward-dilation",
        "conv2d_backward-groups",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """db is the mean over places."""

    def gradients(dy, x, w, *options):
        """What PyTorch does, in float64."""
        x, w = (torch.tensor(np.array(a, dtype=float), requires_grad=True) for a in (x, w))
        b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(x, w, b, *options)
        y.backward(torch.tensor(np.array(dy, dtype=float)))
        return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()

    dx, dw, db = gradients(dy, x, w, stride, padding, dilation, groups)
    return dx, dw, db / (dy.shape[2] * dy.shape[3])


@misconception(
    "conv2d_backward",
    "Where windows overlap, several of them send a gradient to the same pixel. Does yours keep all of them?",
    name="overwrites_dx",
    fails=[
        "conv2d_backward-dx",
        "conv2d_backward-dilation",
        "conv2d_backward-groups",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """The way back assigns instead of adding."""

    def gradients(dy, x, w, *options):
        """What PyTorch does, in float64."""
        x, w = (torch.tensor(np.array(a, dtype=float), requires_grad=True) for a in (x, w))
        b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(x, w, b, *options)
        y.backward(torch.tensor(np.array(dy, dtype=float)))
        return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()

    _, dw, db = gradients(dy, x, w, stride, padding, dilation, groups)
    (N, C, H, W), (F, c, kH, kW) = x.shape, w.shape
    H_out, W_out = dy.shape[2:]
    dx_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    d = np.asarray(dy, dtype=float).reshape(N, groups, F // groups, H_out, W_out)
    weights = np.asarray(w, dtype=float).reshape(groups, F // groups, c, kH, kW)
    for i in range(kH):
        for j in range(kW):
            part = np.einsum("gfc,ngfhw->ngchw", weights[..., i, j], d).reshape(N, C, H_out, W_out)
            top, left = i * dilation, j * dilation
            rows = slice(top, top + stride * H_out, stride)
            columns = slice(left, left + stride * W_out, stride)
            dx_p[:, :, rows, columns] = part
    return dx_p[:, :, padding : padding + H, padding : padding + W], dw, db


@misconception(
    "conv2d_backward",
    "dx must have the shape of x, at every padding and stride. What is dx[:, :, p:-p, p:-p] for p = 0?",
    name="empty_without_padding",
    fails=[
        "conv2d_backward-dx",
        "conv2d_backward-dilation",
        "conv2d_backward-groups",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """The cut p:-p leaves nothing for p = 0."""

    def gradients(dy, x, w, *options):
        """What PyTorch does, in float64."""
        x, w = (torch.tensor(np.array(a, dtype=float), requires_grad=True) for a in (x, w))
        b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(x, w, b, *options)
        y.backward(torch.tensor(np.array(dy, dtype=float)))
        return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()

    dx, dw, db = gradients(dy, x, w, stride, padding, dilation, groups)
    dx_p = np.pad(dx, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    return dx_p[:, :, padding:-padding, padding:-padding], dw, db


@misconception(
    "conv2d_backward",
    "You send the gradient back through a turned kernel. Use the windows: pixel x[i+k] was multiplied by w[k], so its gradient is dy[i] * w[k].",
    name="turned_kernel",
    fails=[
        "conv2d_backward-dx",
        "conv2d_backward-dilation",
        "conv2d_backward-groups",
        "conv2d_backward-contract",
    ],
)
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """dx is made with the kernel turned once too often."""

    def gradients(dy, x, w, *options):
        """What PyTorch does, in float64."""
        x, w = (torch.tensor(np.array(a, dtype=float), requires_grad=True) for a in (x, w))
        b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(x, w, b, *options)
        y.backward(torch.tensor(np.array(dy, dtype=float)))
        return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()

    _, dw, db = gradients(dy, x, w, stride, padding, dilation, groups)
    dx, _, _ = gradients(dy, x, w[:, :, ::-1, ::-1], stride, padding, dilation, groups)
    return dx, dw, db


@misconception(
    "conv2d_backward",
    "The gradients are right but for dilation: the pixels that a window read stand that far apart, on the way back too.",
    name="forgets_dilation",
    fails=["conv2d_backward-dilation", "conv2d_backward-groups"],
)
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """dx and dw are those of neighbouring pixels."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    def gradients(dy, x, w, *options):
        """What PyTorch does, in float64."""
        x, w = (torch.tensor(np.array(a, dtype=float), requires_grad=True) for a in (x, w))
        b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(x, w, b, *options)
        y.backward(torch.tensor(np.array(dy, dtype=float)))
        return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()

    probe = right(x, w, None, stride, padding, 1, groups)
    wide = np.zeros(probe.shape)
    wide[:, :, : dy.shape[2], : dy.shape[3]] = dy
    return gradients(wide, x, w, stride, padding, 1, groups)


@misconception(
    "conv2d_backward",
    "One bias was added to all pictures of the batch. Its gradient is their sum: where do you divide by the number of pictures?",
    name="averages_db_of_square_kernels",
    fails=["conv2d_backward-db", "conv2d_backward-groups", "conv2d_backward-contract"],
)
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """db is averaged over the batch where the kernel is square."""

    def gradients(dy, x, w, *options):
        """What PyTorch does, in float64."""
        x, w = (torch.tensor(np.array(a, dtype=float), requires_grad=True) for a in (x, w))
        b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(x, w, b, *options)
        y.backward(torch.tensor(np.array(dy, dtype=float)))
        return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()

    dx, dw, db = gradients(dy, x, w, stride, padding, dilation, groups)
    return dx, dw, db / len(x) if w.shape[2] == w.shape[3] else db


@misconception(
    "conv2d_backward",
    "np.zeros_like(x) has the type of x. What becomes of a gradient of 0.3 that is added into bytes?",
    name="dx_like_picture",
    fails=["conv2d_backward-contract"],
)
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """dx has the type of the picture."""

    def gradients(dy, x, w, *options):
        """What PyTorch does, in float64."""
        x, w = (torch.tensor(np.array(a, dtype=float), requires_grad=True) for a in (x, w))
        b = torch.zeros(len(w), dtype=torch.float64, requires_grad=True)
        y = torch.nn.functional.conv2d(x, w, b, *options)
        y.backward(torch.tensor(np.array(dy, dtype=float)))
        return x.grad.numpy(), w.grad.numpy(), b.grad.numpy()

    dx, dw, db = gradients(dy, x, w, stride, padding, dilation, groups)
    return dx if x.dtype.kind == "f" else dx.astype(int).astype(x.dtype), dw, db


@alternative("conv2d_backward", name="im2col_and_back")
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """As public code has it: columns of the type of x, no casts anywhere, the way back in the type of dcols."""
    (N, C, H, W), (F, c, kH, kW) = x.shape, w.shape
    H_out, W_out = dy.shape[2:]
    x_p = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)), mode="constant")
    places = []
    for i in range(kH):
        for j in range(kW):
            rows = slice(i * dilation, i * dilation + stride * H_out, stride)
            columns = slice(j * dilation, j * dilation + stride * W_out, stride)
            places.append((slice(None), slice(None), rows, columns))
    cols = np.stack([x_p[place] for place in places], axis=2)
    cols = cols.reshape(N, groups, c * kH * kW, -1)
    dout = dy.reshape(N, groups, F // groups, -1)
    dw = np.matmul(dout, cols.transpose(0, 1, 3, 2)).sum(axis=0).reshape(w.shape)
    dcols = np.matmul(w.reshape(groups, F // groups, -1).transpose(0, 2, 1), dout)
    dcols = dcols.reshape(N, C, kH * kW, H_out, W_out)
    dx_p = np.zeros(x_p.shape, dtype=dcols.dtype)
    for k, place in enumerate(places):
        dx_p[place] += dcols[:, :, k]
    dx = dx_p[:, :, padding : H + padding, padding : W + padding]
    return dx, dw, np.sum(dy, axis=(0, 2, 3))


@alternative("conv2d_backward", name="einsum_over_windows")
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """Shift and add, one kernel pixel at a time, with einsum; lists as a result's parts would do as well."""
    (N, C, H, W), (F, c, kH, kW) = x.shape, w.shape
    H_out, W_out = dy.shape[2:]
    x_p = np.pad(
        np.asarray(x, dtype=float), ((0, 0), (0, 0), (padding, padding), (padding, padding))
    )
    dx_p, dw = np.zeros(x_p.shape), np.zeros((groups, F // groups, c, kH, kW))
    d = np.asarray(dy, dtype=float).reshape(N, groups, F // groups, H_out, W_out)
    weights = np.asarray(w, dtype=float).reshape(dw.shape)
    for i in range(kH):
        for j in range(kW):
            rows = slice(i * dilation, i * dilation + stride * H_out, stride)
            columns = slice(j * dilation, j * dilation + stride * W_out, stride)
            piece = x_p[:, :, rows, columns].reshape(N, groups, c, H_out, W_out)
            dw[..., i, j] = np.einsum("ngfhw,ngchw->gfc", d, piece)
            back = np.einsum("ngfhw,gfc->ngchw", d, weights[..., i, j])
            dx_p[:, :, rows, columns] += back.reshape(N, C, H_out, W_out)
    dx = dx_p[:, :, padding : padding + H, padding : padding + W]
    return dx, dw.reshape(w.shape), d.sum(axis=(0, 3, 4)).ravel()


@alternative("conv2d_backward", name="place_by_place")
def conv2d_backward(dy, x, w, stride=1, padding=0, dilation=1, groups=1):
    """The loops of unit 04, with dilation and groups."""
    (N, C, H, W), (F, c, kH, kW) = x.shape, w.shape
    x_p = np.zeros((N, C, H + 2 * padding, W + 2 * padding))
    x_p[:, :, padding : padding + H, padding : padding + W] = x
    dx_p, dw, db = np.zeros(x_p.shape), np.zeros(w.shape), np.zeros(F)
    dy = np.array(dy, dtype=np.float64)
    per = F // groups
    for g in range(groups):
        channels, maps = slice(g * c, g * c + c), slice(g * per, g * per + per)
        for i in range(dy.shape[2]):
            for j in range(dy.shape[3]):
                rows = slice(i * stride, i * stride + dilation * (kH - 1) + 1, dilation)
                columns = slice(j * stride, j * stride + dilation * (kW - 1) + 1, dilation)
                d = dy[:, maps, i, j]
                dw[maps] += np.tensordot(d, x_p[:, channels, rows, columns], axes=(0, 0))
                dx_p[:, channels, rows, columns] += np.tensordot(
                    d, np.asarray(w[maps], float), axes=(1, 0)
                )
                db[maps] += d.sum(axis=0)
    return dx_p[:, :, padding : padding + H, padding : padding + W], dw, db


# ---- flops ----------------------------------------------------------------------------------


@misconception(
    "flops",
    "You count a multiply-add as one. Many papers do. What does the text count here?",
    name="counts_multiply_adds",
    fails=["flops-conv2d", "flops-others"],
)
def flops(layer):
    """Multiply-adds are counted, not operations."""

    def sizes(layer):
        """Shapes x, w, y of a layer and its multiply-adds."""
        x, w, kind = layer["x"], layer["w"], layer["kind"]
        if kind == "dense":
            return x, w, (x[0], w[1]), x[0] * w[0] * w[1]
        options = layer.get("stride", 1), layer.get("padding", 0)
        if kind == "conv2d":
            options += (layer.get("dilation", 1), x[1] // w[1])
            y = torch.nn.functional.conv2d(torch.zeros(x), torch.zeros(w), None, *options).shape
            return x, w, tuple(y), int(np.prod(y)) * int(np.prod(w[1:]))
        if kind == "conv_transpose2d":
            y = torch.nn.functional.conv_transpose2d(
                torch.zeros(x), torch.zeros(w), None, *options
            ).shape
            return x, w, tuple(y), int(np.prod(x)) * int(np.prod(w[1:]))
        raise ValueError(f"unknown kind {kind}")

    def cost(layer, per_multiply_add=2, divide=1, size=4):
        x, w, y, products = sizes(layer)
        outputs, bias = int(np.prod(y)), bool(layer.get("bias", False))
        params = int(np.prod(w)) + (y[1] if bias else 0)
        total = per_multiply_add * (products // divide) + (outputs if bias else 0)
        return {
            "flops": total,
            "params": params,
            "bytes": size * (int(np.prod(x)) + params + outputs),
        }

    return cost(layer, per_multiply_add=1)


@misconception(
    "flops",
    "The shape of w has C_in // groups channels already. Do you divide by the groups once more?",
    name="divides_by_groups_twice",
    fails=["flops-conv2d"],
)
def flops(layer):
    """The products are divided by groups although w is."""

    def sizes(layer):
        """Shapes x, w, y of a layer and its multiply-adds."""
        x, w, kind = layer["x"], layer["w"], layer["kind"]
        if kind == "dense":
            return x, w, (x[0], w[1]), x[0] * w[0] * w[1]
        options = layer.get("stride", 1), layer.get("padding", 0)
        if kind == "conv2d":
            options += (layer.get("dilation", 1), x[1] // w[1])
            y = torch.nn.functional.conv2d(torch.zeros(x), torch.zeros(w), None, *options).shape
            return x, w, tuple(y), int(np.prod(y)) * int(np.prod(w[1:]))
        if kind == "conv_transpose2d":
            y = torch.nn.functional.conv_transpose2d(
                torch.zeros(x), torch.zeros(w), None, *options
            ).shape
            return x, w, tuple(y), int(np.prod(x)) * int(np.prod(w[1:]))
        raise ValueError(f"unknown kind {kind}")

    def cost(layer, per_multiply_add=2, divide=1, size=4):
        x, w, y, products = sizes(layer)
        outputs, bias = int(np.prod(y)), bool(layer.get("bias", False))
        params = int(np.prod(w)) + (y[1] if bias else 0)
        total = per_multiply_add * (products // divide) + (outputs if bias else 0)
        return {
            "flops": total,
            "params": params,
            "bytes": size * (int(np.prod(x)) + params + outputs),
        }

    return cost(layer, divide=layer.get("groups", 1))


@misconception(
    "flops",
    "A transposed convolution makes one stamp for each input pixel. Count the products there and not for each output pixel.",
    name="transposed_by_outputs",
    fails=["flops-others"],
)
def flops(layer):
    """A transposed convolution is counted as if each output had a whole window."""

    def sizes(layer):
        """Shapes x, w, y of a layer and its multiply-adds."""
        x, w, kind = layer["x"], layer["w"], layer["kind"]
        if kind == "dense":
            return x, w, (x[0], w[1]), x[0] * w[0] * w[1]
        options = layer.get("stride", 1), layer.get("padding", 0)
        if kind == "conv2d":
            options += (layer.get("dilation", 1), x[1] // w[1])
            y = torch.nn.functional.conv2d(torch.zeros(x), torch.zeros(w), None, *options).shape
            return x, w, tuple(y), int(np.prod(y)) * int(np.prod(w[1:]))
        if kind == "conv_transpose2d":
            y = torch.nn.functional.conv_transpose2d(
                torch.zeros(x), torch.zeros(w), None, *options
            ).shape
            return x, w, tuple(y), int(np.prod(x)) * int(np.prod(w[1:]))
        raise ValueError(f"unknown kind {kind}")

    def cost(layer, per_multiply_add=2, divide=1, size=4):
        x, w, y, products = sizes(layer)
        outputs, bias = int(np.prod(y)), bool(layer.get("bias", False))
        params = int(np.prod(w)) + (y[1] if bias else 0)
        total = per_multiply_add * (products // divide) + (outputs if bias else 0)
        return {
            "flops": total,
            "params": params,
            "bytes": size * (int(np.prod(x)) + params + outputs),
        }

    counted = cost(layer)
    if layer["kind"] == "conv_transpose2d":
        _, w, y, products = sizes(layer)
        outputs = int(np.prod(y))
        counted["flops"] += 2 * (outputs * w[0] * w[2] * w[3] - products)
    return counted


@misconception(
    "flops",
    "float32 has 4 bytes a number. How many do you count?",
    name="bytes_of_float64",
    fails=["flops-conv2d", "flops-others"],
)
def flops(layer):
    """Eight bytes a number."""

    def sizes(layer):
        """Shapes x, w, y of a layer and its multiply-adds."""
        x, w, kind = layer["x"], layer["w"], layer["kind"]
        if kind == "dense":
            return x, w, (x[0], w[1]), x[0] * w[0] * w[1]
        options = layer.get("stride", 1), layer.get("padding", 0)
        if kind == "conv2d":
            options += (layer.get("dilation", 1), x[1] // w[1])
            y = torch.nn.functional.conv2d(torch.zeros(x), torch.zeros(w), None, *options).shape
            return x, w, tuple(y), int(np.prod(y)) * int(np.prod(w[1:]))
        if kind == "conv_transpose2d":
            y = torch.nn.functional.conv_transpose2d(
                torch.zeros(x), torch.zeros(w), None, *options
            ).shape
            return x, w, tuple(y), int(np.prod(x)) * int(np.prod(w[1:]))
        raise ValueError(f"unknown kind {kind}")

    def cost(layer, per_multiply_add=2, divide=1, size=4):
        x, w, y, products = sizes(layer)
        outputs, bias = int(np.prod(y)), bool(layer.get("bias", False))
        params = int(np.prod(w)) + (y[1] if bias else 0)
        total = per_multiply_add * (products // divide) + (outputs if bias else 0)
        return {
            "flops": total,
            "params": params,
            "bytes": size * (int(np.prod(x)) + params + outputs),
        }

    return cost(layer, size=8)


@misconception(
    "flops",
    "What does your function do with a kind that it does not know? An error is better than a wrong count.",
    name="takes_anything",
    fails=["flops-refuses"],
)
def flops(layer):
    """An unknown kind counts as nothing."""

    def sizes(layer):
        """Shapes x, w, y of a layer and its multiply-adds."""
        x, w, kind = layer["x"], layer["w"], layer["kind"]
        if kind == "dense":
            return x, w, (x[0], w[1]), x[0] * w[0] * w[1]
        options = layer.get("stride", 1), layer.get("padding", 0)
        if kind == "conv2d":
            options += (layer.get("dilation", 1), x[1] // w[1])
            y = torch.nn.functional.conv2d(torch.zeros(x), torch.zeros(w), None, *options).shape
            return x, w, tuple(y), int(np.prod(y)) * int(np.prod(w[1:]))
        if kind == "conv_transpose2d":
            y = torch.nn.functional.conv_transpose2d(
                torch.zeros(x), torch.zeros(w), None, *options
            ).shape
            return x, w, tuple(y), int(np.prod(x)) * int(np.prod(w[1:]))
        raise ValueError(f"unknown kind {kind}")

    def cost(layer, per_multiply_add=2, divide=1, size=4):
        x, w, y, products = sizes(layer)
        outputs, bias = int(np.prod(y)), bool(layer.get("bias", False))
        params = int(np.prod(w)) + (y[1] if bias else 0)
        total = per_multiply_add * (products // divide) + (outputs if bias else 0)
        return {
            "flops": total,
            "params": params,
            "bytes": size * (int(np.prod(x)) + params + outputs),
        }

    if layer["kind"] not in ("conv2d", "conv_transpose2d", "dense"):
        return {"flops": 0, "params": 0, "bytes": 0}
    return cost(layer)


@alternative("flops", name="by_hand")
def flops(layer):
    """Numbers only, the keys in another order, NumPy integers."""

    def sizes(layer):
        """Shapes x, w, y of a layer and its multiply-adds."""
        x, w, kind = layer["x"], layer["w"], layer["kind"]
        if kind == "dense":
            return x, w, (x[0], w[1]), x[0] * w[0] * w[1]
        options = layer.get("stride", 1), layer.get("padding", 0)
        if kind == "conv2d":
            options += (layer.get("dilation", 1), x[1] // w[1])
            y = torch.nn.functional.conv2d(torch.zeros(x), torch.zeros(w), None, *options).shape
            return x, w, tuple(y), int(np.prod(y)) * int(np.prod(w[1:]))
        if kind == "conv_transpose2d":
            y = torch.nn.functional.conv_transpose2d(
                torch.zeros(x), torch.zeros(w), None, *options
            ).shape
            return x, w, tuple(y), int(np.prod(x)) * int(np.prod(w[1:]))
        raise ValueError(f"unknown kind {kind}")

    def cost(layer, per_multiply_add=2, divide=1, size=4):
        x, w, y, products = sizes(layer)
        outputs, bias = int(np.prod(y)), bool(layer.get("bias", False))
        params = int(np.prod(w)) + (y[1] if bias else 0)
        total = per_multiply_add * (products // divide) + (outputs if bias else 0)
        return {
            "flops": total,
            "params": params,
            "bytes": size * (int(np.prod(x)) + params + outputs),
        }

    return {key: np.int64(value) for key, value in reversed(cost(layer).items())}


# ---- conv_transpose2d -----------------------------------------------------------------------


@misconception(
    "conv_transpose2d",
    "Your stamp is turned. A single pixel of 1 must leave the kernel as it is.",
    name="turned_stamp",
)
def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """The kernel is flipped: zeros between the pixels, then a correlation with the kernel as it is."""

    def transposed(x, w, b, stride, padding):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv_transpose2d(x, w, b, stride, padding).numpy()

    return transposed(x, w[:, :, ::-1, ::-1], b, stride, padding)


@misconception(
    "conv_transpose2d",
    "It should upsample: the stride is the distance between stamps. Your result is smaller than its input.",
    name="downsamples",
)
def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """A convolution with a stride."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    k = max(w.shape[2:])
    x_p = np.pad(np.asarray(x, dtype=float), ((0, 0), (0, 0), (k, k), (k, k)))
    return right(x_p, np.asarray(w, dtype=float).swapaxes(0, 1), b, stride, padding)


@misconception(
    "conv_transpose2d",
    "Here padding is what is cut off. A larger padding makes a smaller result.",
    name="padding_grows",
    fails=["conv_transpose2d-options"],
)
def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """The padding is added to the result."""

    def transposed(x, w, b, stride, padding):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv_transpose2d(x, w, b, stride, padding).numpy()

    y = transposed(x, w, b, stride, 0)
    return np.pad(y, ((0, 0), (0, 0), (padding, padding), (padding, padding)))


@misconception(
    "conv_transpose2d",
    "The bias is added once to each output number, also where several stamps overlap.",
    name="bias_in_each_stamp",
    fails=["conv_transpose2d-options"],
)
def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """Each stamp brings the bias along."""

    def transposed(x, w, b, stride, padding):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv_transpose2d(x, w, b, stride, padding).numpy()

    y = transposed(x, w, None, stride, padding)
    if b is None:
        return y
    one = np.ones((1, 1, *x.shape[2:]))
    return y + transposed(one, np.ones((1, 1, *w.shape[2:])), None, stride, padding) * np.reshape(
        b, (1, -1, 1, 1)
    )


@misconception(
    "conv_transpose2d",
    "Where stamps overlap they add. Yours replace each other.",
    name="last_stamp_wins",
)
def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """What overlaps is overwritten."""
    (N, _, H, W), (_, C_out, kH, kW) = x.shape, w.shape
    y = np.zeros((N, C_out, (H - 1) * stride + kH, (W - 1) * stride + kW))
    for i in range(H):
        for j in range(W):
            stamp = np.einsum("nc,cfkl->nfkl", np.asarray(x[:, :, i, j], float), w)
            y[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW] = stamp
    if b is not None:
        y += np.reshape(b, (-1, 1, 1))
    return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]


@alternative("conv_transpose2d", name="stamp_by_stamp")
def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """One stamp for each input pixel, as public code has it, without casts."""
    (N, _, H, W), (_, C_out, kH, kW) = x.shape, w.shape
    y = np.zeros((N, C_out, (H - 1) * stride + kH, (W - 1) * stride + kW))
    for i in range(H):
        for j in range(W):
            stamp = np.tensordot(x[:, :, i, j], w, axes=(1, 0))
            y[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW] += stamp
    y = y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]
    return y if b is None else y + np.asarray(b).reshape(1, -1, 1, 1)


@alternative("conv_transpose2d", name="dilated_input")
def conv_transpose2d(x, w, b=None, stride=1, padding=0):
    """Zeros between the pixels, then a correlation with the flipped kernel."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    (N, C_in, H, W), (_, _, kH, kW) = x.shape, w.shape
    wide = np.zeros((N, C_in, (H - 1) * stride + 1, (W - 1) * stride + 1))
    wide[:, :, ::stride, ::stride] = x
    wide = np.pad(wide, ((0, 0), (0, 0), (kH - 1, kH - 1), (kW - 1, kW - 1)))
    y = right(wide, np.array(w, dtype=float).swapaxes(0, 1)[:, :, ::-1, ::-1], b)
    return y[:, :, padding : y.shape[2] - padding, padding : y.shape[3] - padding]


# ---- depthwise_separable --------------------------------------------------------------------


@misconception(
    "depthwise_separable",
    "The channels are mixed in your first step. Each channel has its own kernel, and nothing is summed over channels before the 1 x 1.",
    name="mixes_at_once",
)
def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """The depthwise kernels are summed over channels, and each channel gets the sum."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    looked = right(x, w_depth, None, stride, padding, 1, x.shape[1])
    looked = np.repeat(looked.sum(axis=1, keepdims=True), looked.shape[1], axis=1)
    return right(looked, w_point, b)


@misconception(
    "depthwise_separable",
    "Every channel is filtered with the kernel of channel 0. w_depth has one for each.",
    name="one_kernel_for_all",
)
def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """Only the first kernel is used."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    def separable(x, w_depth, w_point, b, stride, padding):
        """What PyTorch does, in float64."""
        looked = right(x, w_depth, None, stride, padding, 1, x.shape[1])
        return right(looked, w_point, b)

    return separable(x, np.repeat(w_depth[:1], len(w_depth), axis=0), w_point, b, stride, padding)


@misconception(
    "depthwise_separable",
    "Stride and padding belong to the depthwise step alone. Yours come twice.",
    name="strides_twice",
    fails=["depthwise_separable-options"],
)
def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """Both steps get the stride and the padding."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    looked = right(x, w_depth, None, stride, padding, 1, x.shape[1])
    return right(looked, w_point, b, stride, padding)


@misconception(
    "depthwise_separable",
    "Where the picture is black only the bias is left. Is it added after the second step, once?",
    name="forgets_bias",
    fails=["depthwise_separable-options"],
)
def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """The bias is not added."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    def separable(x, w_depth, w_point, b, stride, padding):
        """What PyTorch does, in float64."""
        looked = right(x, w_depth, None, stride, padding, 1, x.shape[1])
        return right(looked, w_point, b)

    return separable(x, w_depth, w_point, None, stride, padding)


@alternative("depthwise_separable", name="as_a_standard_layer")
def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """Both steps multiplied into one standard kernel."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    w = w_point.astype(float) * w_depth[:, 0].astype(float)
    return right(x, w, b, stride, padding)


@alternative("depthwise_separable", name="place_by_place")
def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """As public code has it: a loop over places, no casts."""
    (N, C, H, W), (_, _, kH, kW) = x.shape, w_depth.shape
    x_p = np.pad(x, ((0, 0), (0, 0), (padding, padding), (padding, padding)))
    H_out, W_out = (H + 2 * padding - kH) // stride + 1, (W + 2 * padding - kW) // stride + 1
    looked = np.zeros((N, C, H_out, W_out))
    for i in range(H_out):
        for j in range(W_out):
            window = x_p[:, :, i * stride : i * stride + kH, j * stride : j * stride + kW]
            looked[:, :, i, j] = np.sum(window * w_depth[:, 0], axis=(2, 3))
    y = np.einsum("nchw,fc->nfhw", looked, w_point[:, :, 0, 0])
    return y if b is None else y + b[None, :, None, None]


@alternative("depthwise_separable", name="channel_by_channel")
def depthwise_separable(x, w_depth, w_point, b=None, stride=1, padding=0):
    """A loop over channels."""

    def right(x, w, b, *options):
        """What PyTorch does, in float64."""
        x, w = torch.tensor(np.array(x, dtype=float)), torch.tensor(np.array(w, dtype=float))
        b = None if b is None else torch.tensor(np.array(b, dtype=float))
        return torch.nn.functional.conv2d(x, w, b, *options).numpy()

    y = 0
    for c in range(x.shape[1]):
        looked = right(x[:, c : c + 1], w_depth[c : c + 1], None, stride, padding)
        y = y + looked * w_point[:, c, 0, 0].astype(float).reshape(1, -1, 1, 1)
    return y if b is None else y + np.reshape(b, (1, -1, 1, 1))
