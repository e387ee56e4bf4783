"""Keys: who may connect, what leaves this machine, and files that keep a secret."""

import stat

import pytest
import zmq
import zmq.auth
from hypothesis import given
from hypothesis import strategies as st

from skyctl.errors import StreamError
from skyctl.frame import Counts
from skyctl.stream.clock import measure_offset
from skyctl.stream.hub import Hub
from skyctl.stream.keys import Keys, is_local, make_keys, parse_keys
from skyctl.stream.publisher import Publisher
from skyctl.stream.sources.own import own_source
from skyctl.stream.sources.splitter import Output, Splitter

REMOTE = "tcp://0.0.0.0:*"


@pytest.fixture
def files(tmp_path):
    """(public, secret) of three sides."""
    return {name: make_keys(tmp_path / name) for name in ("camera", "hub", "stranger")}


@pytest.fixture
def camera(files):
    return Keys.load(files["camera"][1], [files["hub"][0]])


@pytest.fixture
def secured(cleanup, camera):
    publisher = Publisher(REMOTE, timeout_s=20, keys=camera, clock=REMOTE)
    cleanup.callback(publisher.close)
    return publisher


def here(address):
    return address.replace("0.0.0.0", "127.0.0.1")


def test_key_files_are_those_of_zmq_and_the_secret_is_ones_own(files):
    public, secret = files["camera"]
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    assert zmq.auth.load_certificate(public) == (zmq.auth.load_certificate(secret)[0], None)
    keys = Keys.load(secret, [files["hub"][0]])
    assert (keys.public, keys.secret) == zmq.auth.load_certificate(secret)
    assert keys.secret.decode() not in repr(keys)


def test_keys_are_never_written_over(files):
    with pytest.raises(StreamError, match="there already"):
        make_keys(files["camera"][0].with_suffix(""))


def test_a_secret_that_others_can_read_is_refused(files):
    files["hub"][1].chmod(0o640)
    with pytest.raises(StreamError, match="chmod 600"):
        Keys.load(files["hub"][1], [files["camera"][0]])


def test_files_that_are_no_keys_are_refused(files, tmp_path):
    large, binary = tmp_path / "large", tmp_path / "binary"
    large.write_text("x" * 10_000)
    binary.write_bytes(b"\xff\xfe")
    for file in (large, binary, tmp_path / "none"):
        with pytest.raises(StreamError, match=file.name):
            Keys.load(files["hub"][1], [file])
    with pytest.raises(StreamError, match="no public key"):
        Keys.load(files["hub"][1], [])
    files["hub"][0].chmod(0o600)
    with pytest.raises(StreamError, match="no secret key"):
        Keys.load(files["hub"][0], [files["camera"][0]])


@given(st.text(max_size=200))
def test_text_that_is_no_key_file_is_refused(text):
    with pytest.raises(StreamError, match="no key file"):
        parse_keys(text, "text")


@pytest.mark.parametrize(
    "address", ["tcp://127.0.0.1:1", "tcp://[::1]:1", "tcp://localhost:*", "ipc:///x", "inproc://x"]
)
def test_local_addresses_are(address):
    assert is_local(address)


@pytest.mark.parametrize(
    "address",
    ["tcp://*:1", "tcp://0.0.0.0:1", "tcp://eth0:1", "tcp://10.0.0.1:1", "tcp://127.0.0.1.org:1"],
)
def test_what_leaves_this_machine_without_keys_is_refused(address):
    for open_one in (Publisher, Hub, measure_offset, lambda a: Publisher(clock=a)):
        with pytest.raises(StreamError, match=r"no keys.*skyctl keys"):
            open_one(address)


def test_a_splitter_lets_only_its_clients_at_its_outputs(
    publisher, files, camera, events, shots, listen, cleanup, new_events
):
    splitter = Splitter(publisher.address, [Output(REMOTE)], camera)
    cleanup.callback(splitter.close)
    (output,) = splitter.addresses
    stranger = new_events()
    for owner, seen in (("stranger", stranger), ("hub", events)):
        keys = Keys.load(files[owner][1], [files["camera"][0]])
        listen(own_source(here(output), keys), seen.take)
    for shot in ("a", "b"):
        shots.send(publisher, shot)
    assert [end.counts for end in events.ends(2)] == [Counts(received=3)] * 2
    assert not stranger
    let_in = {who: times for who, times in splitter.counts.items() if who.startswith("let in")}
    assert let_in == {f"let in {Keys.load(*hub(files)).public[:8].decode()}": 1}


def hub(files):
    return files["hub"][1], [files["camera"][0]]


def test_a_hub_with_its_key_gets_the_movie_and_the_time(secured, files, events, shots, cleanup):
    from skyctl.stream.hub import Consumer

    keys = Keys.load(files["hub"][1], [files["camera"][0]])
    hub = Hub(here(secured.address), keys=keys, clock=here(secured.clock_address))
    consumer = Consumer("test", events.take)
    cleanup.callback(consumer.close)
    cleanup.callback(hub.close)
    hub.subscribe(consumer)
    shots.send(secured)
    assert events.ends()[0].counts == Counts(received=3)
    assert secured.counts[f"let in {keys.public[:8].decode()}"] == 2  # frames, and the clock
    assert hub.clock.how == "measured"
    assert abs(hub.clock.offset_ns) <= hub.clock.uncertainty_ns + 1_000_000


@pytest.mark.parametrize("who", ["stranger", "nobody", "wrong server"])
def test_who_is_not_on_the_list_gets_nothing(who, secured, files, shots, listen, events):
    address, keys = here(secured.address), None
    if who == "stranger":
        keys = Keys.load(files["stranger"][1], [files["camera"][0]])
    elif who == "wrong server":
        keys = Keys.load(files["hub"][1], [files["stranger"][0]])
    hub = Hub(address, keys=keys)
    hub.subscribe(Silent())
    good = Keys.load(files["hub"][1], [files["camera"][0]])
    listening = Hub(address, keys=good)
    from skyctl.stream.hub import Consumer

    consumer = Consumer("test", events.take)
    listening.subscribe(consumer)
    for shot in ("a", "b"):
        shots.send(secured, shot, frames=50)
    assert [end.counts for end in events.ends(2)] == [Counts(received=50)] * 2
    hub.close()
    listening.close()
    consumer.close()
    assert not hub.totals["shots"]
    if who == "nobody":
        with pytest.raises(StreamError, match="no answer"):
            measure_offset(here(secured.clock_address))


class Silent:
    """A consumer to which nothing comes."""

    name = "silent"
    skipped = queued_bytes = 0

    def put(self, event):
        raise AssertionError(event)


def test_a_hub_deals_with_one_publisher(files):
    keys = Keys.load(files["hub"][1], [files["camera"][0], files["stranger"][0]])
    with pytest.raises(StreamError, match="2 publishers"):
        Hub("tcp://127.0.0.1:1", keys=keys)


def test_a_clock_that_does_not_answer_is_named(raw):
    _, address = raw
    with pytest.raises(StreamError, match=f"{address}: no answer"):
        measure_offset(address)


def test_the_offset_of_a_clock_that_is_an_hour_ahead(cleanup, monkeypatch):
    from skyctl.stream import clock

    context = cleanup.enter_context(zmq.Context())
    server = clock.ClockServer(context, "tcp://127.0.0.1:*")
    cleanup.callback(server.close)
    pack = clock._TIME.pack

    class Ahead:
        size = clock._TIME.size
        unpack = staticmethod(clock._TIME.unpack)

        @staticmethod
        def pack(now):
            return pack(now + 3600 * 10**9)

    monkeypatch.setattr(clock, "_TIME", Ahead)
    offset = measure_offset(server.address)
    assert offset.how == "measured"
    assert abs(offset.offset_ns - 3600 * 10**9) <= offset.uncertainty_ns + 1_000_000
    assert str(offset).endswith("ms, measured")
