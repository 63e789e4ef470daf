"""Which values are black and white: the same scene in any depth gives the same pixels, and what does not fit the rule is refused."""

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, features
from test_image_kit import data_of, prepared

from bmtool.config.image import ImageData
from bmtool.errors import DataError
from bmtool.images import levels, pictures
from bmtool.images.fingerprint import changes, require_same
from bmtool.images.levels import BadImage
from bmtool.images.pictures import Frame
from bmtool.images.prepare import Images
from bmtool.images.report import lines
from bmtool.predict import folders

SIZE = 12


def file(values: np.ndarray, kind: str, **options) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, kind, **options)
    return stream.getvalue()


def pgm(values: np.ndarray, most: int) -> bytes:
    return b"P5 %d %d %d\n" % (*values.shape[::-1], most) + values.astype(">u2").tobytes()


# Ways to store a scene of values 0 .. 1, each with the `data.range` that says how it is to be read.
WAYS: dict[str, tuple[Callable[[np.ndarray], bytes], levels.Range]] = {
    "8-bit PNG": (lambda x: file((x * 255).round().astype(np.uint8), "PNG"), "auto"),
    "8-bit PNG among others": (lambda x: file((x * 255).round().astype(np.uint8), "PNG"), "12bit"),
    "16-bit PNG": (lambda x: file((x * 65535).round().astype(np.uint16), "PNG"), "auto"),
    "16-bit PNG, said": (lambda x: file((x * 65535).round().astype(np.uint16), "PNG"), "16bit"),
    "12 bits in a 16-bit PNG": (lambda x: file((x * 4095).round().astype(np.uint16), "PNG"), "12bit"),
    "12 bits in a 16-bit TIFF": (lambda x: file((x * 4095).round().astype(np.uint16), "TIFF"), "12bit"),
    "8 bits in a 16-bit PNG": (lambda x: file((x * 255).round().astype(np.uint16), "PNG"), "8bit"),
    "part of 16 bits": (lambda x: file((1000 + x * 500).round().astype(np.uint16), "PNG"), [1000, 1500]),
    "big-endian TIFF": (lambda x: file((x * 65535).round().astype(">u2"), "TIFF"), "auto"),
    "32 bits with a sign": (lambda x: file((x * 3000 - 1000).round().astype(np.int32), "TIFF"), [-1000, 2000]),
    "floats of 0 to 1": (lambda x: file(x.astype(np.float32), "TIFF"), "auto"),
    "floats of 0 to 1, said": (lambda x: file(x.astype(np.float32), "TIFF"), "unit"),
    "floats with a sign": (lambda x: file((x * 2 - 1).astype(np.float32), "TIFF"), [-1, 1]),
    "12-bit PGM, which says so": (lambda x: pgm((x * 4095).round(), 4095), "auto"),
    "16-bit JPEG 2000": (lambda x: file((x * 65535).round().astype(np.uint16), "JPEG2000"), "auto"),
    "16-bit TIFF whose zero is white": (
        lambda x: file((65535 - x * 65535).round().astype(np.uint16), "TIFF", tiffinfo={262: 0}), "auto",
    ),
}  # fmt: skip


def scene(seed: int) -> np.ndarray:
    """Values of 0 to 1 with both ends in it, float64 [SIZE, SIZE]."""
    values = np.random.default_rng(seed).random((SIZE, SIZE))
    values[0, :2] = 0, 1
    return values


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32), st.sampled_from([1, 3]))
def test_a_scene_is_the_same_in_any_depth(seed, channels):
    expected = scene(seed) * 255
    for name, (store, wanted) in WAYS.items():
        pixels = pictures.read(store(scene(seed)), channels, Frame(SIZE, range=wanted)).astype(float)
        assert np.abs(pixels - expected[..., None]).max() <= 1.01, name


def png(values: np.ndarray) -> bytes:
    """RGB of 16 bits a channel, which Pillow reads and does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    header = struct.pack(">IIBBBBB", *values.shape[1::-1], 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_colours_of_16_bits_are_their_upper_8():
    values = np.random.default_rng(1).integers(0, 65536, (SIZE, SIZE, 3))
    ppm = b"P6 %d %d 65535\n" % (SIZE, SIZE) + values.astype(">u2").tobytes()
    for picture, wanted in ((ppm, "auto"), (png(values), "auto"), (png(values), "16bit")):
        assert np.abs(pictures.read(picture, 3, Frame(SIZE, range=wanted)) - values / 257).max() <= 1
    assert pictures.place(png(values), 3, Frame(SIZE)).notes == (levels.SIXTEEN,)
    assert pictures.place(png(values // 16), 3, Frame(SIZE)).notes == (levels.SIXTEEN, levels.DIM)
    with pytest.raises(
        BadImage, match=r"several channels, of which the upper 8 are read: data\.range is auto or 16bit"
    ):
        pictures.read(png(values), 3, Frame(SIZE, range="12bit"))


@pytest.mark.parametrize("values, wanted, reason", [
    (np.int32([[-1000, 3000]]), "auto", "with a sign: data.range says"),
    (np.float32([[0, 1.5]]), "auto", "values outside 0 to 1: data.range says which"),
    (np.float32([[0, np.nan]]), "auto", "no numbers"),
    (np.float32([[0, np.inf]]), [0, 1], "no numbers"),
    (np.float32([[0, 1]]), "12bit", "floats, where data.range is 12bit"),
    (np.uint16([[0, 1]]), "unit", "whole numbers, where data.range is unit"),
    (np.uint16([[0, 4096]]), "12bit", "values outside 0 to 4,095"),
    (np.uint16([[0, 256]]), "8bit", "values outside 0 to 255"),
])  # fmt: skip
def test_what_does_not_fit_the_rule_is_refused(values, wanted, reason):
    picture = file(np.tile(values, (8, 4)), "TIFF")
    with pytest.raises(BadImage, match=reason):
        pictures.read(picture, 1, Frame(SIZE, range=wanted))


def put(root: Path, name: str, contents: bytes) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(contents)


def deep(root: Path, most: int, count: int = 12) -> Path:
    """Two classes of 16-bit pictures whose values go up to `most`."""
    for number in range(count):
        put(root, f"{'ab'[number % 2]}/{number}.png", file((scene(number) * most).round().astype(np.uint16), "PNG"))
    return root


PLAIN = {"size": SIZE, "channels": 1, "valid_share": 0.0, "test_share": 0.0}


@pytest.mark.parametrize("most", [255, 4095])
def test_a_data_set_that_would_be_black_is_refused_until_its_range_is_said(most, tmp_path):
    source = deep(tmp_path / "set", most)
    with pytest.raises(DataError, match=r"all 12 images of 16 bits .* nearly black: set data\.range .*12bit"):
        prepared(data_of(source, **PLAIN))
    said = prepared(data_of(source, range=[0.0, float(most)], **PLAIN))
    assert said["settings"]["range"] == [0, most] and said["mean"][0] > 0.4
    dark = prepared(data_of(source, range="16bit", **PLAIN))
    assert dark["mean"][0] < 0.05


def test_one_rule_holds_for_the_whole_set_and_what_is_odd_is_counted(tmp_path):
    """A dark picture among brighter ones stays dark; one of 8 bits says itself what is white; one that does not fit goes."""
    source = deep(tmp_path / "set", 65535)
    put(source, "a/dark.png", file(np.full((SIZE, SIZE), 200, np.uint16), "PNG"))
    put(source, "a/light.png", file(np.full((SIZE, SIZE), 200, np.uint8), "PNG"))
    put(source, "b/ct.tif", file(np.full((SIZE, SIZE), -200, np.int32), "TIFF"))
    manifest = prepared(data_of(source, **PLAIN))
    assert manifest["dropped"] == {
        "whole numbers of 32 bits or with a sign: data.range says which are black and white": 1
    }
    assert manifest["noted"] == {levels.SIXTEEN: 13, levels.DIM: 1}
    images = Images(data_of(source).prepared, "train")
    means = dict(zip((Path(name).stem for name in images.names()), images.pixels(np.arange(14)).mean(axis=(1, 2, 3))))
    assert means["dark"] == 1 and means["light"] == 200 and means["0"] > 80
    assert f"noted 1 x {levels.DIM}  e.g. {source / 'a' / 'dark.png'}" in list(lines(manifest))


def test_values_beyond_a_window_are_cut_and_counted(tmp_path):
    source = deep(tmp_path / "set", 4095)
    put(source, "a/light.png", file(np.full((SIZE, SIZE), 200, np.uint8), "PNG"))
    manifest = prepared(data_of(source, range=[1000.0, 2000.0], **PLAIN))
    assert manifest["noted"] == {levels.SIXTEEN: 12, levels.CUT: 12, levels.SHALLOW: 1}
    assert manifest["dropped"] == {}


def test_another_range_is_another_preparation(tmp_path):
    data = data_of(deep(tmp_path / "set", 65535), **PLAIN)
    manifest = prepared(data)
    other = data.model_copy(update={"range": "16bit"})
    assert changes(manifest, other) == ["data.range: auto -> 16bit"]
    # One that knew no range guessed image by image: a run that began with it goes on, all else prepares it again.
    manifest["settings"].pop("range")
    require_same(manifest, data)
    assert changes(manifest | {"fingerprint": "old"}, data) == [
        "data.range: prepared by a version without it, now auto"
    ]


# --- what was done to a picture is told ---


def turned() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return file(np.zeros((20, 20), np.uint8), "JPEG", exif=exif)


def several(kind: str) -> bytes:
    stream = io.BytesIO()
    pages = [Image.fromarray(np.full((20, 20, 3), value, np.uint8)) for value in (250, 10, 30)]
    pages[0].save(
        stream, kind, save_all=True, append_images=pages[1:], **({"lossless": True} if kind == "WEBP" else {})
    )
    return stream.getvalue()


RGBA = np.zeros((20, 20, 4), np.uint8)
NOTES = {
    pictures.UPRIGHT: turned(), pictures.CLEAR: file(RGBA, "PNG"), pictures.GREYED: file(RGBA[..., :3], "PNG"),
    pictures.ENLARGED: file(RGBA[:6, :6, 0], "PNG"), pictures.CROPPED: file(np.zeros((12, 30), np.uint8), "PNG"),
    levels.SIXTEEN: file(np.full((20, 20), 60000, np.uint16), "PNG"), levels.DEEP: file(np.ones((20, 20), np.float32), "TIFF"),
}  # fmt: skip


@pytest.mark.parametrize("note", NOTES)
def test_what_was_done_to_an_image_is_noted(note):
    placed = pictures.place(NOTES[note], 1, Frame(SIZE))
    assert note in placed.notes and set(placed.notes) <= {note, pictures.GREYED}
    assert pictures.place(file(np.zeros((20, 20), np.uint8), "PNG"), 1, Frame(SIZE)).notes == ()


@pytest.mark.parametrize(
    "kind", [k for k in ("GIF", "TIFF", "PNG", "WEBP", "AVIF") if k != "AVIF" or features.check("avif")]
)
def test_of_several_frames_the_first_is_taken_and_counted(kind, tmp_path):
    placed = pictures.place(several(kind), 3, Frame(SIZE))
    assert placed.pixels.min() > 240 and placed.notes == (pictures.FIRST,)


def test_a_damaged_second_frame_does_not_cost_the_first():
    whole = several("GIF")
    assert pictures.place(whole[: len(whole) - 40], 3, Frame(SIZE)).pixels.min() > 240


def test_nothing_is_given_to_another_program():
    """PostScript would be run by Ghostscript, under any ending."""
    with pytest.raises(BadImage, match="of a kind that is not known"):
        pictures.decode(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\n", SIZE, 3)
    assert not {".eps", ".ps", ".h5", ".mpg"} & folders.suffixes()


def test_every_ending_that_pillow_can_write_is_read_in_a_folder(tmp_path):
    """A walk over the registry of the Pillow that is installed."""
    warnings.simplefilter("ignore", DeprecationWarning)  # of formats that a later Pillow will not write
    Image.init()
    picture, written = Image.fromarray((scene(1) * 255).astype(np.uint8)).resize((64, 64)), {}
    for suffix in sorted(folders.suffixes()):
        path = tmp_path / f"x{suffix}"
        for mode in ("RGB", "L", "1"):
            try:
                picture.convert(mode).save(path)
            except (KeyError, ValueError, OSError):
                path.unlink(missing_ok=True)
            else:
                written[suffix] = path
                break
    assert {".jfif", ".jpe", ".ppm", ".bmp", ".gif", ".webp", ".tif", ".tga", ".jp2"} <= written.keys()
    ignored: list[tuple[str, str]] = []
    assert folders.images(tmp_path, lambda *one: ignored.append(one)) == sorted(written.values()) and not ignored
    for path in written.values():
        assert pictures.decode(path, SIZE, 3).shape == (SIZE, SIZE, 3), path


@pytest.mark.parametrize(
    "wanted",
    ["9bit", [3, 0], [1, 1], [1], [0, 1, 2], [0, float("inf")], [float("nan"), 1], [0, 1e-300], ["a", 1], 7, True],
)
def test_ranges_that_are_none(wanted):
    with pytest.raises(ValueError, match="range"):
        ImageData(source="x", prepared="y", range=wanted)
