"""`make gpu-wheels`: what `make gpu` needs on a machine without a network, into build/wheels.

wheels.txt names all that the tests marked "gpu" and the measurements import, but for what is large:
numpy, scipy, numba, h5py, torch, onnx and onnxruntime are the machine's own, and what it lacks of
them can be named. The wheels are for Linux on x86-64.
"""

import argparse
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
_GLIBC = (17, 24, 26, 27, 28, 31, 34)
_FILTER = "lz4"
"""Of HDF5's filters, the one that a movie set is written with: the others are 45 MB."""
_MOST_MIB = 64


def main() -> None:
    """Fetch the wheels afresh, and say how large they are."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--python", default=sysconfig.get_python_version(), help="3.12, say")
    arguments.add_argument("more", nargs="*", help="packages that the machine lacks")
    given = arguments.parse_args()
    folder = ROOT / "build" / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary=:all:", "--implementation=cp"),
            *(f"--python-version={given.python}", "--platform=manylinux2014_x86_64"),
            *(f"--platform=manylinux_2_{minor}_x86_64" for minor in _GLIBC),
            *("--constraint", str(ROOT / "constraints.txt"), "--dest", str(folder)),
            *("--requirement", str(Path(__file__).with_name("wheels.txt")), *given.more),
        ],
        check=True,
    )
    for wheel in folder.glob("hdf5plugin-*.whl"):
        _keep_one_filter(wheel)
    sizes = [wheel.stat().st_size for wheel in folder.iterdir()]
    size_mib = sum(sizes) / 2**20
    sys.stdout.write(f"{len(sizes)} wheels, {size_mib:.0f} MiB, in {folder}\n")
    if size_mib > _MOST_MIB:
        sys.exit(f"more than {_MOST_MIB} MiB: bring less along")


def _keep_one_filter(wheel: Path) -> None:
    """Leave the other filters out of hdf5plugin's wheel, and say so in it as a build of its own."""
    whole = wheel.with_suffix(".whole")
    wheel.rename(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith(".so") and not name.endswith(f"/libh5{_FILTER}.so"):
                continue
            if name == "hdf5plugin/_config.py":
                only = f"build_config = build_config._replace(embedded_filters=('{_FILTER}',))\n"
                content += only.encode()
            if name.endswith(".dist-info/RECORD"):
                lines = content.splitlines(keepends=True)
                changed = (b"hdf5plugin/plugins/", b"hdf5plugin/_config.py")
                content = b"".join(line for line in lines if not line.startswith(changed))
            new.writestr(old.getinfo(name), content)
    whole.unlink()


if __name__ == "__main__":
    main()
