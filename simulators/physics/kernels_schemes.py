"""The schemes' scalar functions in compiled loops of the CPU: a ``Scheme`` is an argument there.

To numba every scheme has a type of its own, known by its name: a loop is compiled for the one that
it is called with, and kept in the cache under that type.
"""

from numba import njit, types
from numba.extending import NativeValue, models, overload, register_model, typeof_impl, unbox

from skyctl.simulators.physics.compiled import INLINED
from skyctl.simulators.physics.schemes import SCHEMES, Scheme

_FUNCTIONS = {name: scheme.functions(njit(**INLINED)) for name, scheme in SCHEMES.items()}


class SchemeType(types.Type):
    """numba's type of one scheme; its values carry nothing."""

    def __init__(self, scheme_name):
        self.scheme_name = scheme_name
        super().__init__(name=f"Scheme({scheme_name})")


register_model(SchemeType)(models.OpaqueModel)


@typeof_impl.register(Scheme)
def _type_of_scheme(scheme, context):
    return SchemeType(scheme.name)


@unbox(SchemeType)
def _unbox_scheme(kind, scheme, context):
    return NativeValue(context.context.get_dummy_value())


def predict(scheme, sx, sy, sz, ax, ay, az, half, one, pade): ...
def correct(scheme, sx, sy, sz, px, py, pz, kx, ky, kz, ax, ay, az, half, one, pade): ...


@overload(predict, inline="always")
def _overload_predict(scheme, sx, sy, sz, ax, ay, az, half, one, pade):
    compiled = _FUNCTIONS[scheme.scheme_name][0]
    return lambda scheme, sx, sy, sz, ax, ay, az, half, one, pade: compiled(
        sx, sy, sz, ax, ay, az, half, one, pade
    )


@overload(correct, inline="always")
def _overload_correct(scheme, sx, sy, sz, px, py, pz, kx, ky, kz, ax, ay, az, half, one, pade):
    compiled = _FUNCTIONS[scheme.scheme_name][1]
    return (
        lambda scheme, sx, sy, sz, px, py, pz, kx, ky, kz, ax, ay, az, half, one, pade: compiled(
            sx, sy, sz, px, py, pz, kx, ky, kz, ax, ay, az, half, one, pade
        )
    )
