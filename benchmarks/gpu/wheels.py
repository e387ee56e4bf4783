"""`make gpu-wheels`: what `make gpu` needs on a machine without a network, into build/wheels.

That machine has numpy, scipy, numba, h5py, torch, onnx and onnxruntime; name what it lacks of them.
The wheels are for its Python and for Linux on x86-64.
"""

import argparse
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
NAMES = [
    "annotated-doc",
    "annotated-types",
    "click",
    "cloudpickle",
    "dask",
    "distributed",
    "fsspec",
    "hdf5plugin",
    "importlib_metadata",
    "iniconfig",
    "lazy-importer",
    "locket",
    "lz4",
    "markdown-it-py",
    "mdurl",
    "msgpack",
    "numba-cuda",
    "packaging",
    "partd",
    "pluggy",
    "psutil",
    "pydantic",
    "pydantic_core",
    "Pygments",
    "pytest",
    "PyYAML",
    "pyzmq",
    "rich",
    "setuptools",
    "shellingham",
    "sortedcontainers",
    "tblib",
    "toolz",
    "tornado",
    "typer",
    "typing-inspection",
    "typing_extensions",
    "urllib3",
    "zict",
    "zipp",
]
"""All that the tests marked "gpu" and the measurements import, and is small."""
_GLIBC = (17, 24, 26, 27, 28, 31, 34)
_PLUGINS = ("lz4",)
"""Of HDF5's filters, those that a movie set is written with: the others are 45 MB."""
_MOST_MIB = 64


def main() -> None:
    """Fetch the wheels afresh, and say how large they are."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--python", default="{}.{}".format(*sys.version_info), help="version")
    arguments.add_argument("more", nargs="*", help="packages that the machine lacks")
    given = arguments.parse_args()
    folder = ROOT / "build" / "wheels"
    shutil.rmtree(folder, ignore_errors=True)
    platforms = [f"--platform=manylinux_2_{minor}_x86_64" for minor in _GLIBC]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"),
            *("--no-deps", "--only-binary=:all:", "--implementation=cp"),
            *(f"--python-version={given.python}", "--platform=manylinux2014_x86_64", *platforms),
            *("--constraint", str(ROOT / "constraints.txt"), "--dest", str(folder)),
            *NAMES,
            *given.more,
        ],
        check=True,
    )
    for wheel in folder.glob("hdf5plugin-*.whl"):
        _keep_plugins(wheel)
    size_mib = sum(wheel.stat().st_size for wheel in folder.iterdir()) / 2**20
    sys.stdout.write(f"{len(list(folder.iterdir()))} wheels, {size_mib:.0f} MiB, in {folder}\n")
    if size_mib > _MOST_MIB:
        sys.exit(f"more than {_MOST_MIB} MiB: bring less along")


def _keep_plugins(wheel: Path) -> None:
    """Leave out of hdf5plugin's wheel the filters that are not of ``_PLUGINS``, as a build may."""
    whole = wheel.with_suffix(".whole")
    wheel.rename(whole)
    with zipfile.ZipFile(whole) as old, zipfile.ZipFile(wheel, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            library = Path(name).stem.removeprefix("libh5")
            if name.endswith(".so") and library not in _PLUGINS:
                continue
            content = old.read(name)
            if name == "hdf5plugin/_config.py":
                content += (
                    f"build_config = build_config._replace(embedded_filters={_PLUGINS})\n".encode()
                )
            if name.endswith(".dist-info/RECORD"):
                kept = [
                    line for line in content.splitlines(True) if b"hdf5plugin/plugins/" not in line
                ]
                content = b"".join(line for line in kept if b"_config.py" not in line)
            new.writestr(old.getinfo(name), content)
    whole.unlink()


if __name__ == "__main__":
    main()
