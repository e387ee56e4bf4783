"""Keys: CURVE on every stream that leaves this machine, with a list of who may connect.

A key pair is two text files, as zmq.auth writes them: NAME.key, which the other side gets, and
NAME.key_secret (mode 0600), which never leaves its machine. The side that binds knows the public
keys of all who may connect; the side that connects knows that of the one it connects to.

Source: ZeroMQ RFC 26 (CurveZMQ) and RFC 27 (ZAP); Z85 is RFC 32.
"""

import ipaddress
import os
import re
import stat
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import zmq
from zmq.auth.thread import ThreadAuthenticator

from skyctl.errors import StreamError

_LONGEST_FILE = 4096
_KEY = re.compile(r'^\s*(public|secret)-key\s*=\s*"([^"\n]*)"\s*$', re.MULTILINE)
_Z85 = re.compile(r"[0-9a-zA-Z.\-:+=^!/*?&<>()\[\]{}@%$#]{40}")
_HOW = "Make keys with `skyctl keys NAME`, give the other side NAME.key, and pass both ends theirs"


@dataclass(frozen=True)
class Keys:
    """One side's key pair, and the public keys of those it deals with (Z85, 40 characters each).

    Of a publisher ``peers`` is the list of who may connect, of a hub the one publisher.
    """

    public: bytes
    secret: bytes = field(repr=False)
    peers: tuple[bytes, ...] = ()

    @property
    def publisher(self) -> bytes:
        """The one peer to connect to. Raises StreamError when there are several."""
        if len(self.peers) != 1:
            raise StreamError(
                f"keys of {len(self.peers)} publishers: one is connected to. "
                "Give its .key file alone."
            )
        return self.peers[0]

    @classmethod
    def load(cls, secret_file: Path, peers: Iterable[Path]) -> "Keys":
        """Read NAME.key_secret and the NAME.key of the others.

        Raises StreamError for a file that is missing or no key, and for a secret that others on
        this machine can read.
        """
        mode = _stat(secret_file).st_mode
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise StreamError(
                f"key {secret_file}: others can read it (mode {stat.S_IMODE(mode):o}). "
                f"Do `chmod 600 {secret_file}`, and make new keys if they may have."
            )
        own = parse_keys(_read(secret_file), str(secret_file))
        if "secret" not in own or "public" not in own:
            raise StreamError(f"key {secret_file}: holds no secret key. Give a .key_secret file.")
        public = tuple(parse_keys(_read(file), str(file)).get("public", b"") for file in peers)
        if not public or not all(public):
            raise StreamError(
                f"key {secret_file}: no public key of another side. Give the .key file of each "
                "who may connect, or of the publisher to connect to."
            )
        return cls(own["public"], own["secret"], public)


def make_keys(name: Path) -> tuple[Path, Path]:
    """Make a key pair: NAME.key and NAME.key_secret, never over existing files.

    Raises StreamError when one is there, OSError when they cannot be written.
    """
    public, secret = zmq.curve_keypair()
    files = Path(f"{name}.key"), Path(f"{name}.key_secret")
    for file in files:
        if file.exists():
            raise StreamError(f"key {file}: is there already. Choose another name, or remove it.")
    name.parent.mkdir(parents=True, exist_ok=True)
    lines = ["curve", f'    public-key = "{public.decode()}"']
    _write(files[0], lines, 0o644)
    _write(files[1], [*lines, f'    secret-key = "{secret.decode()}"'], 0o600)
    return files


def parse_keys(text: str, name: str) -> dict[str, bytes]:
    """The keys in a key file's text: "public" and perhaps "secret".

    Raises StreamError for text with none, or with a key that is no Z85 of 32 bytes.
    """
    found = dict(_KEY.findall(text))
    if not found or not all(_Z85.fullmatch(key) for key in found.values()):
        raise StreamError(f"key {name}: is no key file. Make one with `skyctl keys NAME`.")
    return {kind: key.encode() for kind, key in found.items()}


def is_local(address: str) -> bool:
    """Whether a ZeroMQ address cannot be reached from another machine."""
    if address.startswith(("ipc://", "inproc://")):
        return True
    try:
        host = urlsplit(address).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name, an interface or nonsense
        return False


def require_keys(address: str, keys: Keys | None) -> None:
    """Raise StreamError for an address off this machine without keys."""
    if keys is None and "://" in address and not is_local(address):
        raise StreamError(
            f"frame stream {address}: leaves this machine, and there are no keys. {_HOW}; or stay "
            "on tcp://127.0.0.1 or ipc://."
        )


class AllowList:
    """Lets only the peers of ``keys`` into the sockets of a context (ZAP).

    let_in : how often each was, by the first eight characters of its public key. A key is asked for
        when a connection is made: whoever is in stays in
    """

    def __init__(self, context: zmq.Context, keys: Keys) -> None:
        self._allowed = frozenset(keys.peers)
        self.let_in: Counter[str] = Counter()
        self._authenticator = ThreadAuthenticator(context)
        self._authenticator.start()
        self._authenticator.configure_curve_callback(domain="*", credentials_provider=self)

    def callback(self, domain: str, key: bytes) -> bool:  # noqa: ARG002 - pyzmq calls it so
        """Whether the owner of this public key may connect."""
        allowed = key in self._allowed
        if allowed:
            self.let_in[f"let in {key[:8].decode()}"] += 1
        return allowed

    def close(self) -> None:
        """Stop answering; nobody gets in any more."""
        self._authenticator.stop()


def secure_server(socket: zmq.Socket, keys: Keys) -> None:
    """Prepare a socket that will bind. Its context needs an AllowList."""
    socket.curve_server = True
    socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret


def secure_client(socket: zmq.Socket, keys: Keys) -> None:
    """Prepare a socket that will connect. Raises StreamError unless ``keys`` has one peer."""
    socket.curve_serverkey = keys.publisher
    socket.curve_publickey, socket.curve_secretkey = keys.public, keys.secret


def _write(file: Path, lines: list[str], mode: int) -> None:
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(descriptor, "w") as out:
        out.write("\n".join(lines) + "\n")


def _stat(file: Path) -> os.stat_result:
    try:
        return file.stat()
    except OSError as error:
        raise StreamError(f"key {file}: {error.strerror}. {_HOW}.") from error


def _read(file: Path) -> str:
    size = _stat(file).st_size
    if size > _LONGEST_FILE:
        raise StreamError(f"key {file}: {size} bytes, a key file has 200. Give a key file.")
    try:
        return file.read_text(encoding="ascii")
    except (OSError, ValueError) as error:
        raise StreamError(f"key {file}: cannot be read ({error}). Give a key file.") from error
