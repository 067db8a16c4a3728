"""The data package without a network: drawn, bundled and local data."""

from __future__ import annotations

import ast
import gzip
import math
import os
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier

import data
from data import DataError, Dataset, cifar10, digits, fashion_mnist, glyphs, mnist, photograph
from data.formats import read_cifar, read_idx
from data.local import md5
from data.origins import CIFAR10, FASHION_MNIST, MNIST

REPOSITORY = Path(__file__).parents[1]
SHARED = Path(__file__).parents[2] / "shared" / "data"
needs_shared = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no folder shared/data beside the repository"
)

Bytes = NDArray[np.uint8]


def idx(array: Bytes) -> bytes:
    """The array as an idx file, written from LeCun's description of the format."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


def drawn(n: int = 12, side: int = 28) -> tuple[Bytes, Bytes]:
    rng = np.random.default_rng(n)
    images = rng.integers(0, 256, (n, side, side), dtype=np.uint8)
    return images, (np.arange(n) % 10).astype(np.uint8)


def batch(n: int = 5, seed: int = 0) -> tuple[bytes, Bytes, Bytes]:
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8)
    labels = rng.integers(0, 10, n, dtype=np.uint8)
    return np.hstack([labels[:, None], images.reshape(n, -1)]).tobytes(), images, labels


@pytest.fixture
def sample(tmp_path: Path) -> Path:
    """A local data folder whose mnist/ holds a small sample: gzip and plain files."""
    folder = tmp_path / "mine" / "mnist"
    folder.mkdir(parents=True)
    images, labels = drawn()
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(images)))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(labels))
    return folder.parent


@pytest.fixture
def batches(tmp_path: Path) -> Path:
    """A local data folder with two of CIFAR-10's training batches and no test batch."""
    folder = tmp_path / "mine" / "cifar-10-batches-bin"
    folder.mkdir(parents=True)
    (folder / "data_batch_1.bin").write_bytes(batch(seed=1)[0])
    (folder / "data_batch_3.bin.gz").write_bytes(gzip.compress(batch(seed=3)[0]))
    return folder.parent


def has_the_promised_arrays(d: Dataset, shape: tuple[int, ...]) -> None:
    assert d.images.shape == shape
    assert d.images.dtype == np.float32
    assert d.labels.shape == shape[:1]
    assert d.labels.dtype == np.int64
    assert 0 <= d.images.min() < d.images.max() <= 1
    assert set(np.unique(d.labels)) <= set(range(len(d.class_names)))
    assert len(d) == shape[0]
    assert "\n" not in d.source
    assert d.images.flags.writeable


# --- the package ---------------------------------------------------------------------------------


def test_importing_the_package_imports_no_heavy_library() -> None:
    """Not even NumPy: a loader's cost is paid by its first call, and nothing touches a network."""
    code = (
        "import sys, data; heavy = {'numpy', 'matplotlib', 'sklearn', 'PIL', 'pooch', 'requests',"
        " 'tqdm', 'socket'}; print(sorted(heavy & set(sys.modules)))"
    )
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "[]"


def test_no_module_reads_pickle() -> None:
    for path in Path(data.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = {a.name for a in node.names} if isinstance(node, ast.Import) else set()
            names |= {str(node.module)} if isinstance(node, ast.ImportFrom) else set()
            assert not names & {"pickle", "joblib", "marshal", "shelve"}, path
            assert not (isinstance(node, ast.keyword) and node.arg == "allow_pickle"), path


def test_the_readme_lists_every_checksum_and_variable() -> None:
    text = (REPOSITORY / "data" / "README.md").read_text(encoding="utf-8")
    for origin in (MNIST, FASHION_MNIST, CIFAR10):
        for remote in origin.remotes:
            assert remote.sha256 in text
            assert all(url.rsplit("/", 1)[0] in text for url in remote.urls)
        assert all(checksum in text for checksum in origin.md5.values())
        assert f"`{origin.folder}/`" in text
    assert "CNN_COURSE_DATA" in text
    assert "CNN_COURSE_CACHE" in text
    assert "CNN_COURSE_RECORD" in text
    assert not [name for name in data.__all__ if f"`{name}" not in text]


def test_a_data_set_refuses_arrays_that_break_its_promise() -> None:
    images, labels = np.zeros((2, 1, 4, 4), np.float32), np.zeros(2, np.int64)
    Dataset(images, labels, ("a",), "here")
    with pytest.raises(DataError, match=r"float64 \(2, 1, 4, 4\)"):
        Dataset(images.astype(np.float64), labels, ("a",), "here")
    with pytest.raises(DataError, match=r"expected float32 \(N, C, H, W\)"):
        Dataset(images[0], labels, ("a",), "here")
    with pytest.raises(DataError, match=r"expected int64 \(2,\)"):
        Dataset(images, labels[:1], ("a",), "here")
    with pytest.raises(DataError, match="expected 0 to 0 for 1 classes"):
        Dataset(images, labels + 1, ("a",), "here")


# --- glyphs --------------------------------------------------------------------------------------


def test_glyphs_have_the_promised_arrays() -> None:
    has_the_promised_arrays(glyphs(), (1000, 1, 28, 28))
    has_the_promised_arrays(glyphs(5, ["a", "ß", "Ж"], size=7), (5, 1, 7, 7))
    has_the_promised_arrays(glyphs(2, "+", size=101), (2, 1, 101, 101))


def test_the_same_seed_gives_the_same_bytes_in_another_process() -> None:
    code = (
        "import hashlib, data; d = data.glyphs(50, seed=7);"
        "print(hashlib.sha256(d.images.tobytes() + d.labels.tobytes()).hexdigest())"
    )
    runs = {
        subprocess.run(
            [sys.executable, "-c", code],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": hashseed},
        ).stdout
        for hashseed in ("1", "2")
    }
    assert len(runs) == 1
    first, again, other = glyphs(50, seed=7), glyphs(50, seed=7), glyphs(50, seed=8)
    assert first.images.tobytes() == again.images.tobytes()
    assert first.images.tobytes() != other.images.tobytes()


def test_more_glyphs_begin_with_the_same_ones() -> None:
    few, many = glyphs(33), glyphs(90)
    assert (many.images[:33] == few.images).all()
    assert (many.labels[:33] == few.labels).all()


def test_every_run_of_glyphs_holds_each_class_once() -> None:
    labels = glyphs(200, "0123456789abc").labels
    for start in range(0, 200 - 13, 13):
        assert sorted(labels[start : start + 13]) == list(range(13))
    assert not (labels[:13] == labels[13:26]).all(), "in random order"


def test_labels_of_glyphs_index_into_the_classes() -> None:
    for classes in ("W.", ".W"):
        d = glyphs(40, classes, affine=False, noise=0)
        ink = d.images.sum(axis=(1, 2, 3))
        w = d.labels == classes.index("W")
        assert d.class_names == tuple(classes)
        assert ink[w].min() > 2 * ink[~w].max()


def test_glyphs_without_affine_maps_are_centred() -> None:
    d = glyphs(200, affine=False, noise=0)
    for image in d.images[:, 0]:
        for axis in (0, 1):
            ink = np.flatnonzero(image.max(axis=axis) > 0.05)
            assert abs((ink[0] + ink[-1]) / 2 - 13.5) <= 0.5
    moved = glyphs(200, affine=False, noise=0, shift=0.2)
    assert not (moved.images == d.images).all(axis=(1, 2, 3)).any()


def test_a_shift_moves_a_glyph_by_no_more_than_it_says() -> None:
    still = glyphs(100, affine=False, noise=0, size=40)
    moved = glyphs(100, affine=False, noise=0, size=40, shift=0.1)
    position = np.arange(40)

    def centre(images: NDArray[np.float32], axis: int) -> NDArray[np.float64]:
        mass = images[:, 0].sum(axis=axis).astype(np.float64)
        return np.asarray((mass * position).sum(axis=1) / mass.sum(axis=1))

    for axis in (1, 2):
        distance = np.abs(centre(moved.images, axis) - centre(still.images, axis))
        assert distance.max() <= 4.05
        assert distance.max() > 3.5


def test_affine_maps_keep_glyphs_inside_the_image() -> None:
    images = glyphs(1000, noise=0).images[:, 0]
    edges = np.concatenate([images[:, [0, -1]].reshape(-1), images[:, :, [0, -1]].reshape(-1)])
    assert edges.max() < 0.5
    assert (edges > 0).mean() < 0.001


def test_noise_is_added_to_the_same_glyphs() -> None:
    clean, noisy = glyphs(100, noise=0).images, glyphs(100, noise=0.2).images
    middle = (clean > 0.45) & (clean < 0.55)  # where clipping to [0, 1] is rare
    difference = noisy[middle] - clean[middle]
    assert abs(difference.mean()) < 0.02
    assert 0.18 < difference.std() < 0.22


def test_glyphs_can_be_learnt() -> None:
    """Nearest neighbours read most digits: the labels are right, and the task is not trivial."""
    train, test = glyphs(1000), glyphs(300, seed=1)
    model = KNeighborsClassifier(3).fit(train.images.reshape(1000, -1), train.labels)
    accuracy = float(model.score(test.images.reshape(300, -1), test.labels))
    assert 0.8 < accuracy <= 1


def test_a_thousand_glyphs_take_less_than_two_seconds() -> None:
    best = math.inf
    for seed in range(3):
        start = time.perf_counter()
        glyphs(1000, seed=seed)
        best = min(best, time.perf_counter() - start)
    assert best < 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n": 0}, r"n \(=0\) must be at least 1"),
        ({"size": 3}, r"size \(=3\) must be at least 4"),
        ({"noise": -0.1}, r"noise \(=-0.1\) must not be negative"),
        ({"noise": math.nan}, r"noise \(=nan\)"),
        ({"classes": ""}, "at least 1"),
        ({"classes": "aba"}, "different characters"),
        ({"classes": ["10"]}, "'10' is not one visible character"),
        ({"classes": "a b"}, "' ' is not one visible character"),
        ({"classes": "a漢"}, "no font of matplotlib draws '漢'"),
        ({"classes": "\u2800"}, "no font of matplotlib draws"),
    ],
)
def test_glyphs_refuse_arguments_without_meaning(
    arguments: dict[str, object], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        glyphs(**arguments)  # type: ignore[arg-type]


# --- bundled -------------------------------------------------------------------------------------


def test_digits_are_scaled_to_one() -> None:
    d = digits()
    has_the_promised_arrays(d, (1797, 1, 8, 8))
    assert d.images.max() == 1
    assert (d.images * 16 == np.round(d.images * 16)).all()
    assert list(d.labels[:10]) == list(range(10))


def test_the_photograph_is_in_colour_and_fresh_at_each_call() -> None:
    picture = photograph()
    assert picture.shape == (427, 640, 3)
    assert picture.dtype == np.uint8
    picture[:] = 0
    assert photograph().std() > 50


# --- formats -------------------------------------------------------------------------------------


@settings(deadline=None)
@given(array=arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=6)))
def test_an_array_written_as_idx_is_read_back(array: Bytes) -> None:
    assert (read_idx(idx(array), array.ndim, "file") == array).all()
    assert read_idx(idx(array), array.ndim, "file").shape == array.shape


@settings(deadline=None)
@given(
    array=arrays(np.uint8, array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=5)),
    fraction=st.floats(0, 1, exclude_max=True),
)
def test_an_idx_file_cut_anywhere_is_refused(array: Bytes, fraction: float) -> None:
    content = idx(array)
    with pytest.raises(DataError, match=r"^file: "):
        read_idx(content[: int(fraction * len(content))], array.ndim, "file")


@settings(deadline=None)
@given(content=st.binary(max_size=40), dimensions=st.integers(1, 3))
def test_any_bytes_are_read_or_refused_as_idx(content: bytes, dimensions: int) -> None:
    try:
        array = read_idx(content, dimensions, "file")
    except DataError:
        return
    assert idx(array) == content


def test_cifar_records_are_label_then_red_green_and_blue_plane() -> None:
    content, images, labels = batch(4)
    read_images, read_labels = read_cifar(content, "file")
    assert (read_images == images).all()
    assert (read_labels == labels).all()


@pytest.mark.parametrize("length", [0, 1, 3072, 2 * 3073 - 1, 2 * 3073 + 1])
def test_a_batch_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(DataError, match=f"file: {length} bytes are no whole number of records"):
        read_cifar(bytes(length), "file")


# --- a local folder ------------------------------------------------------------------------------


def test_a_sample_in_the_local_folder_is_used_and_named_as_such(sample: Path) -> None:
    d = mnist("train", folder=sample)
    images, labels = drawn()
    has_the_promised_arrays(d, (12, 1, 28, 28))
    assert (d.images[:, 0] == (images / 255).astype(np.float32)).all()
    assert (d.labels == labels).all()
    assert "not the official files: train-images-idx3-ubyte, train-labels-idx1-ubyte" in d.source
    assert str(sample) not in d.source, "a source names no path of this machine"


def test_the_environment_variable_names_the_local_folder(
    sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNN_COURSE_DATA", str(sample))
    assert len(mnist("train")) == 12


def test_a_folder_may_carry_its_number_of_images_in_its_name(sample: Path) -> None:
    (sample / "mnist").rename(sample / "fashion-mnist-12")
    d = fashion_mnist("train", folder=sample)
    assert len(d) == 12
    assert d.class_names[9] == "Ankle boot"


def test_a_partial_local_folder_says_what_is_missing(sample: Path) -> None:
    with pytest.raises(DataError, match="missing t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte"):
        mnist("test", folder=sample)
    (sample / "mnist" / "train-labels-idx1-ubyte").unlink()
    with pytest.raises(DataError, match=r"mnist: missing train-labels-idx1-ubyte \(plain or .gz\)"):
        mnist("train", folder=sample)


def test_a_local_folder_that_does_not_exist_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CNN_COURSE_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(DataError, match=r"no folder .*nowhere \(CNN_COURSE_DATA\)"):
        mnist()


def test_an_unknown_split_is_refused() -> None:
    with pytest.raises(DataError, match='no split \'val\'; there are "train" and "test"'):
        mnist("val")


def _cut_gzip(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])


def _flip_a_bit(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 4
    path.write_bytes(content)


def _no_gzip(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(b"<html>not found</html>")


def _labels_for_images(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(drawn()[1])))


def _cut_plain(folder: Path) -> None:
    path = folder / "train-labels-idx1-ubyte"
    path.write_bytes(path.read_bytes()[:-1])


def _fewer_labels(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(drawn()[1][:-2]))


def _label_ten(folder: Path) -> None:
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(drawn()[1] + 1))


def _other_size(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(idx(drawn(side=32)[0])))


def _nothing(folder: Path) -> None:
    (folder / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(idx(drawn()[0][:0])))
    (folder / "train-labels-idx1-ubyte").write_bytes(idx(drawn()[1][:0]))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_cut_gzip, r"train-images-idx3-ubyte.gz: cut off"),
        (_flip_a_bit, r"train-images-idx3-ubyte.gz: (damaged|cut off)"),
        (_no_gzip, r"train-images-idx3-ubyte.gz: damaged gzip file"),
        (_labels_for_images, r"begins with 00 00 08 01, expected 00 00 08 03"),
        (_cut_plain, r"train-labels-idx1-ubyte: 11 bytes of values, its header announces 12"),
        (_fewer_labels, r"12 images, but .*train-labels-idx1-ubyte: 10 labels"),
        (_label_ten, r"train-labels-idx1-ubyte: label 10 of image 9, expected 0 to 9"),
        (_other_size, r"images of 32 x 32 pixels, expected 28 x 28"),
        (_nothing, r"train-labels-idx1-ubyte: no images in it"),
    ],
    ids=lambda value: value.__name__.strip("_") if callable(value) else "",
)
def test_a_damaged_local_file_is_named_and_refused(
    sample: Path, damage: object, message: str
) -> None:
    assert callable(damage)
    damage(sample / "mnist")
    with pytest.raises(DataError, match=message):
        mnist("train", folder=sample)


def test_the_training_batches_present_are_joined_and_counted(batches: Path) -> None:
    d = cifar10("train", folder=batches)
    has_the_promised_arrays(d, (10, 3, 32, 32))
    expected = np.concatenate([batch(seed=1)[1], batch(seed=3)[1]])
    assert (d.images == (expected / 255).astype(np.float32)).all()
    assert (d.labels == np.concatenate([batch(seed=1)[2], batch(seed=3)[2]])).all()
    assert "2 of 5 batches: data_batch_1.bin, data_batch_3.bin" in d.source
    assert "not the official files: data_batch_1.bin, data_batch_3.bin" in d.source


def test_a_folder_without_the_test_batch_says_so(batches: Path) -> None:
    with pytest.raises(DataError, match=r"cifar-10-batches-bin: missing test_batch.bin"):
        cifar10("test", folder=batches)


def test_a_damaged_batch_is_named_and_refused(batches: Path) -> None:
    path = batches / "cifar-10-batches-bin" / "data_batch_1.bin"
    content = path.read_bytes()
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"data_batch_1.bin: 15364 bytes are no whole number"):
        cifar10("train", folder=batches)
    path.write_bytes(b"\x0b" + content[1:])
    with pytest.raises(DataError, match=r"data_batch_1.bin: label 11 of image 0, expected 0 to 9"):
        cifar10("train", folder=batches)


def test_other_class_names_beside_the_batches_are_refused(batches: Path) -> None:
    names = batches / "cifar-10-batches-bin" / "batches.meta.txt"
    names.write_text("\n".join(CIFAR10.class_names) + "\n\n")
    cifar10("train", folder=batches)
    names.write_text("\n".join(reversed(CIFAR10.class_names)))
    with pytest.raises(DataError, match=r"batches.meta.txt: classes \('truck', 'ship'"):
        cifar10("train", folder=batches)


@needs_shared
@pytest.mark.parametrize(("split", "n"), [("train", 60_000), ("test", 10_000)])
def test_mnist_is_known_by_its_content_whatever_packed_it(split: str, n: int) -> None:
    d = mnist(split, folder=SHARED)
    has_the_promised_arrays(d, (n, 1, 28, 28))
    assert ", official files" in d.source
    assert np.bincount(d.labels).min() > 0.08 * n
    raw = (d.images * 255).round().astype(np.uint8)[:, 0]
    assert md5(idx(raw)) == MNIST.md5[MNIST.splits[split][0]]


@needs_shared
def test_the_sample_of_fashion_mnist_is_named_as_such() -> None:
    train, test = fashion_mnist("train", folder=SHARED), fashion_mnist("test", folder=SHARED)
    has_the_promised_arrays(train, (600, 1, 28, 28))
    has_the_promised_arrays(test, (300, 1, 28, 28))
    assert "not the official files" in train.source
    assert (np.bincount(train.labels) + np.bincount(test.labels) == 90).all()


@needs_shared
@pytest.mark.parametrize("split", ["train", "test"])
def test_the_batches_of_cifar_are_read(split: str) -> None:
    d = cifar10(split, folder=SHARED)
    has_the_promised_arrays(d, (10_000, 3, 32, 32))
    assert (np.bincount(d.labels) == 1000).all()
    assert "not the official files" in d.source
    assert ("1 of 5 batches" in d.source) == (split == "train")
    # The channels' published means, 0.491, 0.482, 0.447, tell red from blue.
    assert d.images.mean(axis=(0, 2, 3)) == pytest.approx([0.491, 0.482, 0.447], abs=0.01)
