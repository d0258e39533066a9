"""Sums of products in vectors as wide as the machine has, where the compiler's own choice is narrower or none.

The vectoriser takes eight products at a time where a sum has 32 bits; asked for in so many words, 32 are taken, and a
product with a large matrix of bytes costs what reading it costs (measured: 0.29 against 0.46 ms for 2,000 x 2,000).
Sums of float64 it must not reorder; here the order is written down: the same on every machine, whatever its vectors.
"""

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

LANES = 32  # integers in one vector; two vectors are summed in turn
STRIDE = 2 * LANES
DOUBLE_LANES = 8  # float64 numbers in one vector
ROWS = 8  # rows read side by side: memory answers several readers faster than one
_INT8, _INT16, _INT32, _INT64 = (ir.IntType(bits) for bits in (8, 16, 32, 64))
_DOUBLE = ir.DoubleType()


def _array(context, builder, kind, value):
    return context.make_array(kind)(context, builder, value)


def _read(builder, array, place, kind, lanes):
    """Return `lanes` numbers of `array` from `place` on, as a vector (no alignment is assumed)."""
    vector = ir.VectorType(kind, lanes)
    address = builder.bitcast(builder.gep(array.data, [place]), vector.as_pointer())
    loaded = builder.load(address, typ=vector)
    loaded.align = 8 if kind is _DOUBLE else kind.width // 8
    return loaded


def _paired(builder, products):
    """Return neighbours summed: half as many numbers (the form in which processors have it as one instruction)."""
    nothing = ir.Constant(products.type, ir.Undefined)
    indices = ir.VectorType(_INT32, LANES // 2)
    even, odd = (ir.Constant(indices, list(range(first, LANES, 2))) for first in (0, 1))
    return builder.add(builder.shuffle_vector(products, nothing, even), builder.shuffle_vector(products, nothing, odd))


def _integer_loop(context, builder, signature, arguments):
    """Write the loop of :func:`dot_of_strides`: two running vectors of sums, added up at the end."""
    codes, short = (_array(context, builder, *pair) for pair in zip(signature.args[:2], arguments[:2]))
    half, wide = ir.VectorType(_INT32, LANES // 2), ir.VectorType(_INT32, LANES)
    totals = [cgutils.alloca_once_value(builder, ir.Constant(half, None)) for _ in range(2)]
    begin, step = ir.Constant(_INT64, 0), ir.Constant(_INT64, STRIDE)
    with cgutils.for_range_slice(builder, begin, arguments[2], step, _INT64) as (place, _):
        for k, total in enumerate(totals):
            here = builder.add(place, ir.Constant(_INT64, k * LANES))
            factors = [_read(builder, codes, here, _INT8, LANES), _read(builder, short, here, _INT16, LANES)]
            products = builder.mul(*(builder.sext(factor, wide) for factor in factors))
            builder.store(builder.add(builder.load(total), _paired(builder, products)), total)
    kind = ir.FunctionType(_INT32, [half])
    add_up = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.add.v{LANES // 2}i32")
    return builder.call(add_up, [builder.add(*(builder.load(total) for total in totals))])


@intrinsic
def dot_of_strides(typing_context, codes, short, stop):
    """Return the sum of ``codes[j] short[j]`` over j below `stop`, a multiple of :data:`STRIDE`, as int32.

    For kernels: `codes` is int8, `short` int16, both contiguous and at least `stop` long; nothing is checked. Sums of
    integers do not depend on their order, so every machine gives the same.
    """
    return types.int32(codes, short, types.intp), _integer_loop


def _double_loop(context, builder, signature, arguments):
    """Write the loop of :func:`dots_of_strides`: a running vector of sums for each row, added up from its front."""
    matrix, x, out = (_array(context, builder, signature.args[k], arguments[k]) for k in (0, 2, 3))
    columns = cgutils.unpack_tuple(builder, matrix.shape, 2)[1]
    rows = [builder.add(arguments[1], ir.Constant(_INT64, row)) for row in range(ROWS)]
    starts = [builder.mul(row, columns) for row in rows]
    vector = ir.VectorType(_DOUBLE, DOUBLE_LANES)
    totals = [cgutils.alloca_once_value(builder, ir.Constant(vector, None)) for _ in rows]
    begin, step = ir.Constant(_INT64, 0), ir.Constant(_INT64, DOUBLE_LANES)
    with cgutils.for_range_slice(builder, begin, arguments[4], step, _INT64) as (place, _):
        factors = _read(builder, x, place, _DOUBLE, DOUBLE_LANES)
        for start, total in zip(starts, totals):
            entries = _read(builder, matrix, builder.add(start, place), _DOUBLE, DOUBLE_LANES)
            builder.store(builder.fadd(builder.load(total), builder.fmul(entries, factors)), total)
    kind = ir.FunctionType(_DOUBLE, [_DOUBLE, vector])
    add_up = cgutils.get_or_insert_function(builder.module, kind, f"llvm.vector.reduce.fadd.v{DOUBLE_LANES}f64")
    for row, total in zip(rows, totals):
        whole = builder.call(add_up, [ir.Constant(_DOUBLE, 0.0), builder.load(total)])
        builder.store(whole, builder.gep(out.data, [row]))
    return context.get_dummy_value()


@intrinsic
def dots_of_strides(typing_context, matrix, first, x, out, stop):
    """Write the sums of ``matrix[i, j] x[j]`` over j below `stop` into ``out[i]``, for ROWS rows from `first` on.

    For kernels: all float64 and contiguous, `stop` a multiple of :data:`DOUBLE_LANES`; nothing is checked.
    """
    return types.void(matrix, types.intp, x, out, types.intp), _double_loop
