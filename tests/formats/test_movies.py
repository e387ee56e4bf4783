"""Movies of other programs: every kind is read alike, piece by piece; faults are named."""

import struct

import h5py
import hdf5plugin
import numpy as np
import pytest
import tifffile
from PIL import Image

from skyctl.errors import FormatError
from skyctl.formats import movies
from skyctl.formats.movies import open_movie
from skyctl.formats.ovf_writer import write_ovf
from skyctl.formats.spin_states import SpinState, field_of

COUNTS = np.random.default_rng(0).integers(0, 4000, (11, 6, 9), dtype=np.uint16)


def dataset(path, where, data, **more):
    with h5py.File(path, "a") as file:
        file.create_dataset(where, data=data, **more)
    return path


def dectris(folder):
    """A master with its frames in data files beside it, as DECTRIS's FileWriter leaves them."""
    squeezed = dict(chunks=(1, 6, 9), **hdf5plugin.Bitshuffle(cname="lz4"))
    with h5py.File(folder / "run_master.h5", "w") as master:
        for number, part in ((1, COUNTS[:5]), (2, COUNTS[5:])):
            dataset(folder / f"run_data_{number:06}.h5", "/entry/data/data", part, **squeezed)
            link = h5py.ExternalLink(f"run_data_{number:06}.h5", "/entry/data/data")
            master[f"/entry/data/data_{number:06}"] = link
    return folder / "run_master.h5"


def nexus(folder):
    path = dataset(folder / "any.nxs", "/scan/plot/pixels", COUNTS)
    with h5py.File(path, "a") as file:
        file.attrs["default"], file["scan"].attrs["default"] = "scan", "plot"
        file["scan/plot"].attrs["signal"] = "pixels"
    return path


def tiff(folder, name="stack.tif", data=COUNTS, **options):
    tifffile.imwrite(folder / name, data, **options)
    return folder / name


def frames_in(folder, write):
    (folder / "frames").mkdir()
    for number, image in enumerate(COUNTS):
        write(folder / "frames" / f"frame_{number}", image)
    return folder / "frames"


def numpy_file(folder, data=COUNTS):
    np.save(folder / "movie.npy", data)
    return folder / "movie.npy"


KINDS = {
    "TIFF": tiff,
    "TIFF, big-endian": lambda folder: tiff(folder, byteorder=">"),
    "TIFF, compressed": lambda folder: tiff(folder, compression="zlib"),
    "TIFF, ImageJ": lambda folder: tiff(folder, imagej=True, metadata={"axes": "TYX"}),
    "TIFF folder": lambda folder: frames_in(
        folder, lambda path, image: tifffile.imwrite(path.with_suffix(".tiff"), image)
    ),
    "PNG folder": lambda folder: frames_in(
        folder, lambda path, image: Image.fromarray(image).save(path.with_suffix(".png"))
    ),
    "areaDetector": lambda folder: dataset(
        folder / "ad.h5", "/entry/instrument/detector/data", COUNTS, chunks=(1, 6, 9)
    ),
    "DECTRIS": dectris,
    "NeXus": nexus,
    "numpy": numpy_file,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_movie_gives_its_frames_piece_by_piece(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(movies, "BLOCK_BYTES", 3 * COUNTS[0].nbytes)
    with open_movie(KINDS[kind](tmp_path)) as movie:
        assert (movie.frames, movie.shape, movie.dtype) == (11, (6, 9), np.uint16)
        blocks = list(movie.blocks())
        assert [len(block) for block in blocks] == [3, 3, 3, 2]
        np.testing.assert_array_equal(np.concatenate(blocks), COUNTS)
        np.testing.assert_array_equal(movie.images(4, 7), COUNTS[4:7])


def test_a_plain_stack_is_mapped_and_not_read(tmp_path):
    """12 GB of zeros that are not on the disk: whoever read them would take minutes, and memory."""
    path = tiff(tmp_path, data=np.zeros((2, 1000, 1000), np.uint16), bigtiff=True)
    npy = tmp_path / "huge.npy"
    head = np.lib.format.header_data_from_array_1_0(np.zeros((1, 1000, 1000), np.uint16))
    with npy.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {**head, "shape": (6000, 1000, 1000)})
        file.truncate(file.tell() + 6000 * 2_000_000)
    with open_movie(path) as stack, open_movie(npy) as huge:
        assert not stack.images(1, 2).any()
        assert huge.images(5999, 6000).shape == (1, 1000, 1000)


def test_states_of_a_simulation_are_spins_and_know_their_time(tmp_path):
    spins = np.zeros((3, 4, 5))
    spins[2] = 1
    for number in range(11):
        field = field_of(SpinState(spins))
        object.__setattr__(field, "description", (f"Total simulation time:  {number * 2e-12}  s",))
        write_ovf(tmp_path / f"m{number}.ovf", [field])
    with open_movie(tmp_path) as movie:
        assert (movie.frames, movie.shape, movie.interval_ps) == (11, (3, 4, 5), 2.0)
        np.testing.assert_array_equal(movie.images(10, 11)[0], spins)
    (tmp_path / "m5.ovf").unlink()
    with pytest.raises(FormatError, match="2 to 4 ps apart"):
        open_movie(tmp_path)


def test_imagej_says_the_interval(tmp_path):
    metadata = {"axes": "TYX", "finterval": 0.015, "tunit": "ns"}
    with open_movie(tiff(tmp_path, imagej=True, metadata=metadata)) as movie:
        assert movie.interval_ps == pytest.approx(15)


def test_spins_in_a_stack_are_told_from_channels(tmp_path):
    spins = np.zeros((4, 3, 6, 9), np.float32)
    with open_movie(tiff(tmp_path, data=spins, photometric="minisblack")) as movie:
        assert (movie.frames, movie.shape) == (4, (3, 6, 9))
        assert movie.images(1, 3).shape == (2, 3, 6, 9)


def packed_12_bit(folder):
    """A little TIFF whose pixels have 12 bits."""
    tags = [
        (256, 4),
        (257, 4),
        (258, 12),
        (259, 1),
        (262, 1),
        (273, 200),
        (277, 1),
        (278, 4),
        (279, 24),
    ]
    head = b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags))
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    whole = (head + entries).ljust(224, b"\0")
    (folder / "packed.tif").write_bytes(whole)
    return folder / "packed.tif"


def unequal(folder):
    with tifffile.TiffWriter(folder / "unequal.tif") as file:
        file.write(COUNTS[0])
        file.write(COUNTS[0, :4])
    return folder / "unequal.tif"


def no_data_file(folder):
    path = dectris(folder)
    (folder / "run_data_000002.h5").unlink()
    return path


def written(folder, name, content=b"nothing of the kind"):
    (folder / name).write_bytes(content)
    return folder / name


def channels(folder, axes):
    return tiff(folder, data=np.zeros((4, 2, 6, 9), "u2"), imagej=True, metadata={"axes": axes})


def colours(folder):
    return tiff(folder, data=np.zeros((6, 9, 3), "u2"), photometric="rgb")


def hdf5(folder, data, where="/entry/data/data"):
    return dataset(folder / "c.h5", where, data)


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (colours, "channels"),
        (lambda f: channels(f, "TCYX"), "several channels"),
        (lambda f: channels(f, "TZYX"), "one axis of time"),
        (packed_12_bit, "12 bits, packed"),
        (unequal, "unequal pages"),
        (lambda f: written(f, "x.tif"), "no TIFF file"),
        (lambda f: written(f, "x.h5"), "no HDF5 file"),
        (lambda f: written(f, "x.npy"), "no numpy array"),
        (lambda f: written(f, "x.avi"), "give a TIFF stack"),
        (lambda f: f / "none.tif", "no such file"),
        (lambda f: numpy_file(f, COUNTS[0]), "give .frames"),
        (lambda f: numpy_file(f, COUNTS[:0]), "no frame"),
        (lambda f: numpy_file(f, COUNTS.astype(complex)), "complex"),
        (lambda f: numpy_file(f, np.zeros((2, 4, 6, 9))), "several channels"),
        (lambda f: hdf5(f, np.zeros((2, 6, 9, 3))), "several channels"),
        (lambda f: hdf5(f, COUNTS, "/elsewhere"), "--dataset"),
        (no_data_file, r"run_data_000002\.h5, which is not there"),
        (lambda f: f, "without TIFF, PNG or OVF"),
    ],
)
def test_what_is_no_movie_is_refused_with_its_fault(make, fault, tmp_path):
    with pytest.raises(FormatError, match=fault):
        open_movie(make(tmp_path))


def test_frames_of_two_kinds_in_a_folder_are_refused(tmp_path):
    folder = frames_in(tmp_path, lambda path, i: Image.fromarray(i).save(path.with_suffix(".png")))
    Image.fromarray(COUNTS[0, :3]).save(folder / "frame_4.png")
    with open_movie(folder) as movie, pytest.raises(FormatError, match=r"frame_4\.png has"):
        movie.images(0, 11)
    Image.fromarray(np.zeros((6, 9, 3), np.uint8)).save(folder / "frame_0.png")
    with pytest.raises(FormatError, match="mode 'RGB'"):
        open_movie(folder)


def test_where_frames_are_can_be_said(tmp_path):
    path = dataset(tmp_path / "c.h5", "/elsewhere", COUNTS)
    with open_movie(path, "/elsewhere") as movie:
        assert movie.frames == 11
    with pytest.raises(FormatError, match="of an HDF5 file"):
        open_movie(numpy_file(tmp_path), "/elsewhere")
