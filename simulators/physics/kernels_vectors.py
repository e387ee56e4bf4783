"""Have LLVM use 512-bit vectors in a loop on the CPU."""

from numba import types
from numba.extending import intrinsic


@intrinsic
def widest_vectors(typingctx):
    """Let this function use 512-bit vectors, which LLVM avoids on many CPUs: 10 to 25 % here."""

    def build(context, builder, signature, args):
        # llvmlite lists only the attributes without a value; LLVM takes the others as text.
        set.add(builder.function.attributes, '"prefer-vector-width"="512"')
        return context.get_dummy_value()

    return types.void(), build
