"""Detectors in a process of their own: they send what their makers' documents say, with their own
encoders, and know nothing of skyctl.

python senders.py KIND OPTIONS(JSON): says where it is (JSON), waits for a line, sends, waits. The
line may say how many images to send.
"""

import io
import json
import sys
import time

import cbor2
import h5py
import hdf5plugin
import lz4.block
import numpy as np
import zmq

TAGS = {"u1": 64, ">u2": 65, ">u4": 66, "<u2": 69, "<u4": 70, "<i2": 77, "<i4": 78, "<f4": 85}
SCALAR_TYPES = ["", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]


def pattern(shape, dtype, index, channel=0):
    """An image that differs from every other; its second pixel is all ones where that is a mark."""
    dtype = np.dtype(dtype)
    values = (np.arange(np.prod(shape)) * 7 + index * 31 + channel * 50) % 120
    image = values.reshape(shape).astype(dtype)
    if dtype.kind == "u":
        image[0, 1] = np.iinfo(dtype).max
    return image


def chunk(image, **how):
    """The image as an HDF5 filter compresses it."""
    with h5py.File(io.BytesIO(), "w") as file:
        data = file.create_dataset("data", data=image, chunks=image.shape, **how)
        mask, content = data.id.read_direct_chunk((0, 0))
    assert mask == 0, "too small to compress"
    return content


def bslz4(image):
    return chunk(image, **hdf5plugin.Bitshuffle(cname="lz4"))


def lz4_hdf5(image):
    return chunk(image, **hdf5plugin.LZ4(nbytes=1024))


def dectris_array(image, compression):
    content = image.tobytes()
    if compression == "bslz4":
        content = cbor2.CBORTag(56500, ["bslz4", image.itemsize, bslz4(image)])
    elif compression == "lz4":
        content = cbor2.CBORTag(56500, ["lz4", 0, lz4_hdf5(image)])
    order = image.dtype.str.replace("|", "")
    return cbor2.CBORTag(40, [list(image.shape), cbor2.CBORTag(TAGS[order], content)])


def dectris_start(series, shape, images, channels, **fields):
    return cbor2.dumps(
        cbor2.CBORTag(
            55799,
            {
                "type": "start",
                "series_id": series,
                "series_unique_id": f"unique-{series}",
                "channels": channels,
                "frame_time": 1e-12,
                "goniometer": {"omega": {"increment": 0.1, "start": 0.0}},
                "image_dtype": "uint16",
                "image_size_x": shape[1],
                "image_size_y": shape[0],
                "number_of_images": images,
                "user_data": {"operator": "somebody"},
                **fields,
            },
        )
    )


def dectris_image(series, index, channels, **fields):
    return cbor2.dumps(
        cbor2.CBORTag(
            55799,
            {
                "type": "image",
                "series_id": series,
                "series_unique_id": f"unique-{series}",
                "image_id": index,
                "real_time": [90, 50_000_000],
                "series_date": cbor2.CBORTag(0, "2026-11-20T12:00:00.5Z"),
                "start_time": [100 * index, 50_000_000],
                "stop_time": [100 * index + 90, 50_000_000],
                "user_data": "",
                "data": channels,
                **fields,
            },
        )
    )


def dectris_end(series):
    message = {"type": "end", "series_id": series, "series_unique_id": f"unique-{series}"}
    return cbor2.dumps(cbor2.CBORTag(55799, message))


def push(kind=zmq.PUSH):
    socket = zmq.Context.instance().socket(kind)
    socket.bind("tcp://127.0.0.1:*")
    say(socket.getsockopt_string(zmq.LAST_ENDPOINT))
    return socket


def dectris(
    dtype="<u2", compression="none", shape=(16, 20), images=8, channels=("threshold_1",), series=12,
    lose=(), ends=1, repeat=1,
):  # fmt: skip
    """``repeat`` series; the images in ``lose`` are not sent, the end ``ends`` times."""
    socket = push()
    for number in range(series, series + repeat):
        images = wait(images)
        socket.send(dectris_start(number, shape, images, list(channels)))
        for index in range(images):
            data = {
                name: dectris_array(pattern(shape, dtype, index, place), compression)
                for place, name in enumerate(channels)
            }
            if index not in lose:
                socket.send(dectris_image(number, index, data))
        for _ in range(ends):
            socket.send(dectris_end(number))
    wait()


def array10(dtype="<u2", shape=(6, 9), frames=8, word="endianness", kind="push", lose=(), repeat=1):
    """``repeat`` times the frames 0, 1, 2 …; those in ``lose`` are not sent."""
    socket = push({"push": zmq.PUSH, "pub": zmq.XPUB}[kind])
    if kind == "pub":
        socket.recv()  # a subscription
    name = np.dtype(dtype).name
    order = "big" if dtype.startswith(">") else "little"
    for _ in range(repeat):
        frames = wait(frames)
        for index in set(range(frames)) - set(lose):
            header = {"htype": "array-1.0", "tags": [], "source": "", "shape": shape}
            header |= {"frame": index, "type": name, word: order}
            image = pattern(shape, dtype, index)
            socket.send_multipart([json.dumps(header).encode(), image.tobytes()])
    wait()


def ntnd_array(index, image, codec=""):
    """The fields of an NTNDArray, as areaDetector's PVA plugin fills them."""
    content = image.ravel()
    if codec:
        encode = {
            "lz4": lambda: lz4.block.compress(image.tobytes(), store_size=False),
            "lz4hdf5": lambda: lz4_hdf5(image),
            "bslz4": lambda: bslz4(image)[12:],
            "blosc": lambda: __import__("numcodecs").blosc.Blosc(cname="lz4").encode(image),
            "zlib": lambda: __import__("zlib").compress(image.tobytes()),
        }
        content = np.frombuffer(encode[codec](), "u1")
    kind = SCALAR_TYPES.index(image.dtype.str[1:])
    return {
        "value": content,
        "codec": {"name": codec, "parameters": kind},
        "compressedSize": content.nbytes,
        "uncompressedSize": image.nbytes,
        "dimension": [
            {"size": n, "offset": 0, "fullSize": n, "binning": 1, "reverse": False}
            for n in image.shape[::-1]
        ],
        "uniqueId": index,
        "dataTimeStamp": {"secondsPastEpoch": 1_700_000_000, "nanoseconds": index, "userTag": 0},
        "attribute": [{"name": "ColorMode", "value": 0}],
    }


def ntndarray(dtype="u2", codec="", shape=(16, 20), frames=8, rate_hz=1000, lose=(), repeat=1):
    """A PVA server with an image and the IOC's count of dropped ones; ``uniqueId`` begins at 1."""
    from p4p import Value
    from p4p.nt import NTNDArray, NTScalar
    from p4p.server import Server
    from p4p.server.thread import SharedPV

    kind = NTNDArray.buildType()
    name = {"i": "", "u": "u", "f": ""}[np.dtype(dtype).kind]
    sort = {"i1": "byte", "i2": "short", "i4": "int", "i8": "long", "f4": "float", "f8": "double"}

    def value(index):
        fields = ntnd_array(index, pattern(shape, dtype, index), codec)
        field = "ubyteValue" if codec else f"{name}{sort[dtype.replace('u', 'i')]}Value"
        colour = [{"name": "ColorMode", "value": 0, "descriptor": "", "source": ""}]
        return Value(kind, {**fields, "value": (field, fields["value"]), "attribute": colour})

    image, dropped = SharedPV(initial=value(0)), SharedPV(nt=NTScalar("i"), initial=5)
    conf = {
        "EPICS_PVA_SERVER_PORT": "0",
        "EPICS_PVA_BROADCAST_PORT": "0",
        "EPICS_PVAS_INTF_ADDR_LIST": "127.0.0.1",
        "EPICS_PVAS_AUTO_BEACON_ADDR_LIST": "NO",
        "EPICS_PVA_AUTO_ADDR_LIST": "NO",
        "EPICS_PVA_ADDR_LIST": "127.0.0.1",
    }
    providers = [{"SIM:Image": image, "SIM:Dropped": dropped}]
    with Server(providers=providers, conf=conf, useenv=False) as server:
        say({key: val for key, val in server.conf().items() if isinstance(val, str)})
        count = 0
        for _ in range(repeat):
            frames = wait(frames)
            for index in range(frames):
                count += 1
                if index in lose:
                    dropped.post(5 + len(lose))
                else:
                    image.post(value(count))
                time.sleep(1 / rate_hz)
        wait()


def say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


def wait(images=0):
    return int(sys.stdin.readline().strip() or images)


if __name__ == "__main__":
    globals()[sys.argv[1]](**json.loads(sys.argv[2]))
