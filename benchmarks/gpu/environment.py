"""The environment of `make gpu`, in build/gpu: this machine's packages, build/wheels and skyctl.

Nothing is fetched. Run it with the Python that has torch.
"""

import importlib.util
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

ROOT = Path(__file__).parents[2]
NEEDED = ("numpy", "scipy", "numba", "h5py", "torch", "onnx", "onnxruntime")
"""What the machine has itself: too large to bring along."""


def main() -> None:
    """Make it afresh. Exits with one line where the machine lacks something.

    ``--trial`` : where there is no GPU, too
    """
    devices = [*Path("/dev").glob("nvidia*"), shutil.which("nvidia-smi")]
    if not any(devices) and "--trial" not in sys.argv:
        sys.exit("no NVIDIA GPU that numba can use: no device /dev/nvidia*, no nvidia-smi")
    wheels = sorted((ROOT / "build" / "wheels").glob("*.whl"))
    brought = {wheel.name.split("-")[0].lower() for wheel in wheels}
    lacking = [n for n in NEEDED if n not in brought and importlib.util.find_spec(n) is None]
    if lacking or not wheels:
        more = " ".join(lacking)
        sys.exit(
            f"{sys.executable} lacks {more or 'pytest and others'}: where there is a network, run "
            f"`make gpu-wheels GPU_PYTHON={sysconfig.get_python_version()} GPU_MORE='{more}'`, and "
            "bring build/wheels here"
        )
    folder = ROOT / "build" / "gpu"
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    _see_this_machines(folder)
    spare = [wheel for wheel in wheels if wheel.name.startswith("numba_cuda-")]
    _install(python, *(wheel for wheel in wheels if wheel not in spare))
    _install(python, "--no-build-isolation", "--editable", ROOT)
    works = subprocess.run(
        [python, "-c", "from numba.cuda.core import config"], capture_output=True, check=False
    )
    if works.returncode:  # no numba-cuda here, or one that is too old
        _install(python, *spare)


def _see_this_machines(folder: Path) -> None:
    """Its site-packages after the environment's own, .pth files too.

    Not --system-site-packages: where this Python is an environment's, that is not what it sees.
    """
    theirs = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (own,) = folder.glob("lib/python*/site-packages")
    lines = "".join(f"import site; site.addsitedir({path!r})\n" for path in theirs)
    (own / "zz_this_machine.pth").write_text(lines)


def _install(python: Path, *what: object) -> None:
    options = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps")
    subprocess.run([python, "-m", "pip", "install", *options, *map(str, what)], check=True)


if __name__ == "__main__":
    main()
