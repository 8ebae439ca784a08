"""The text of ``machine``'s functions as LLVM IR.

Lines are made in vectors; the last vector of a line ends with the line and makes some pixels again,
so there are no pixels left over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cresset.compiler.code import Code, mangle
from cresset.compiler.vectormath.lanes import Lanes, select
from cresset.random.machine_code import fma32, function_text, vector
from cresset.vision.transforms.functional.machine import LANES


def text(name: str) -> str:
    """A function of the table below."""
    arguments, write = FUNCTIONS[name]
    code = Code()
    write(code)
    code.lines[:0] = [*code.entry, "  br label %start", "start:"]
    wide = 'attributes #0 = { nounwind "prefer-vector-width"="512" }'
    return function_text(code, name, arguments) + wide


@contextmanager
def _along(code: Code, length: str, lanes: int = LANES) -> Iterator[str]:
    """The first place of each vector of a line."""
    blocks = code.let(f"add i64 {length}, {lanes - 1}")
    blocks = code.let(f"udiv i64 {blocks}, {lanes}")
    last = code.let(f"sub i64 {length}, {lanes}")
    with code.loop(blocks) as i:
        place = code.times(i, lanes)
        over = code.let(f"icmp ugt i64 {place}, {last}")
        yield code.let(f"select i1 {over}, i64 {last}, i64 {place}")


def _times(code: Code, *factors: str) -> str:
    first, *rest = factors
    for factor in rest:
        first = code.let(f"mul nsw i64 {first}, {factor}")
    return first


def _spread(code: Code, kind: str, number: str, lanes: int = LANES) -> Lanes:
    return Lanes(code, kind, lanes, code.splat(kind, lanes, number))


def _store(x: Lanes, pointer: str, index: str) -> None:
    x.code.store(x.kind, x.register, pointer, index, align=4)


def _store_bytes(x: Lanes, pointer: str, index: str) -> None:
    """The lowest bytes of whole numbers."""
    x = x._convert("trunc", "i8")
    x.code.store(x.kind, x.register, pointer, index, align=1)


def _gathered(code: Code, kind: str, base: str, places: Lanes, where: Lanes | None = None) -> Lanes:
    """Elements of an array of 4-byte numbers; 0 where the condition does not hold."""
    count = places.count
    pointers = code.let(f"getelementptr {kind}, ptr {base}, {places.kind} {places.register}")
    name = f"llvm.masked.gather.{mangle(f'<{count} x {kind}>')}.v{count}p0"
    code.declare(f"<{count} x {kind}> @{name}(<{count} x ptr>, i32, <{count} x i1>, "
                 f"<{count} x {kind}>)")  # fmt: skip
    mask = where.register if where else "<" + ", ".join(["i1 true"] * count) + ">"
    return Lanes(code, kind, count, code.let(
        f"call <{count} x {kind}> @{name}(<{count} x ptr> {pointers}, i32 4, "
        f"<{count} x i1> {mask}, <{count} x {kind}> zeroinitializer)"
    ))  # fmt: skip


# -- positions -------------------------------------------------------------------------------------

_SAMPLE = (
    "ptr %pixels, ptr %grid, ptr %out, ptr %colours, i64 %form, i64 %planes, i64 %width, "
    "i64 %height, i64 %count"
)


def _sample(bilinear: bool, whole: bool) -> Callable[[Code], None]:
    """Bilinear or the nearest pixels; bytes out, or floats."""

    def write(code: Code) -> None:
        sizes = []
        for name in ("%width", "%height"):
            number = code.let(f"sitofp i64 {name} to float")
            sizes.append(_spread(code, "float", number))
        whole_width = _spread(code, "i32", code.let("trunc i64 %width to i32"))
        area = _times(code, "%width", "%height")
        with _along(code, "%count") as at:
            x, y = (
                fma32(p + 1.0, size * 0.5, -0.5)
                for p, size in zip(_positions(code, at), sizes, strict=True)
            )
            if bilinear:
                corners = _corners(x, y)
            else:
                corners = [(y.intrinsic("rint"), x.intrinsic("rint"), None)]
            found = []
            for row, column, weight in corners:
                inside = (column > -1.0) & (column < sizes[0]) & (row > -1.0) & (row < sizes[1])
                row, column = (
                    select(inside, p, 0.0)._convert("fptosi", "i32") for p in (row, column)
                )
                found.append((row * whole_width + column, inside, weight))
            share = _total([(select(i, _one(i), 0.0), w) for _, i, w in found])
            with code.loop("%planes") as plane:
                start = code.at("float", "%pixels", _times(code, plane, area))
                x = _total([(_gathered(code, "float", start, p, i), w) for p, i, w in found])
                colour = _spread(code, "float", code.load("float", "%colours", plane))
                x = _mixed(code, x, share, colour, bilinear)
                place = code.plus(_times(code, plane, "%count"), at)
                if whole:
                    _store_bytes(x.intrinsic("rint")._convert("fptosi", "i32"), "%out", place)
                else:
                    _store(x, "%out", place)

    return write


def _one(condition: Lanes) -> Lanes:
    """1.0 in as many lanes."""
    return Lanes(condition.code, "float", condition.count, "").constant(1.0)


def _mixed(code: Code, x: Lanes, share: Lanes, colour: Lanes, bilinear: bool) -> Lanes:
    """With the colour around the image, as ``sampling`` has it by ``MIXES``; form 0 is without."""
    if bilinear:
        forms = [x * share + (1.0 - share) * colour, (x - colour) * share + colour]
    else:
        forms = [select(share < 0.5, colour, x)] * 2
    result = x
    for number, form in enumerate(forms, 1):
        test = code.let(f"icmp eq i64 %form, {number}")
        kind = x.kind
        result = x.like("float", code.let(
            f"select i1 {test}, {kind} {form.register}, {kind} {result.register}"
        ))  # fmt: skip
    return result


def _positions(code: Code, at: str) -> list[Lanes]:
    """x and y of neighbouring positions."""
    both = code.load(f"<{2 * LANES} x float>", "%grid", code.times(at, 2), align=4)
    parts = []
    for k in range(2):
        order = ", ".join(f"i32 {2 * i + k}" for i in range(LANES))
        parts.append(Lanes(code, "float", LANES, code.let(
            f"shufflevector <{2 * LANES} x float> {both}, <{2 * LANES} x float> poison, "
            f"<{LANES} x i32> <{order}>"
        )))  # fmt: skip
    return parts


def _corners(x: Lanes, y: Lanes) -> list[tuple[Lanes, Lanes, Lanes]]:
    """Row, column and weight of the four pixels around each position."""
    left, top = x.intrinsic("floor"), y.intrinsic("floor")
    to_left, to_top = x - left, y - top
    to_right, to_bottom = 1.0 - to_left, 1.0 - to_top
    right, bottom = left + 1.0, top + 1.0
    return [
        (top, left, to_bottom * to_right), (top, right, to_bottom * to_left),
        (bottom, left, to_top * to_right), (bottom, right, to_top * to_left),
    ]  # fmt: skip


def _total(parts: list[tuple[Lanes, Lanes | None]]) -> Lanes:
    (total, weight), *rest = parts
    if weight is not None:
        total = total * weight
    for pixel, weight in rest:
        assert weight is not None
        total = fma32(pixel, weight, total)
    return total


# -- axes ------------------------------------------------------------------------------------------

_AXIS = (
    "ptr %pixels, ptr %result, ptr %places, ptr %weights, ptr %grouped, i64 %planes, i64 %height, "
    "i64 %width, i64 %out, i64 %taps"
)


def _rows(code: Code) -> None:
    """Along the rows: each output gathers its pixels."""
    with code.loop("%planes") as row:
        source = code.at("float", "%pixels", _times(code, row, "%width"))
        target = code.at("float", "%result", _times(code, row, "%out"))
        with _along(code, "%out") as at:
            grouped = vector(code, "i32", LANES, "%grouped", at)

            def pixel(k: str, source: str = source, at: str = at) -> tuple[Lanes, Lanes]:
                entry = code.plus(_times(code, k, "%out"), at)
                places = vector(code, "i32", LANES, "%places", entry)
                weight = vector(code, "float", LANES, "%weights", entry)
                return _gathered(code, "float", source, places), weight

            _store(_sum(code, pixel, grouped), target, at)


def _lines(whole: bool) -> Callable[[Code], None]:
    """Along the columns: whole lines are added. Bytes out, rounded, or floats."""
    return lambda code: _write_lines(code, whole)


def _write_lines(code: Code, whole: bool) -> None:
    with code.loop("%planes") as plane, code.loop("%out") as y:
        source = code.at("float", "%pixels", _times(code, plane, "%height", "%width"))
        line = code.plus(_times(code, plane, "%out"), y)
        target = code.at("i8" if whole else "float", "%result", _times(code, line, "%width"))
        grouped = _spread(code, "i32", code.load("i32", "%grouped", y))
        with _along(code, "%width") as at:

            def pixel(k: str, source: str = source, at: str = at, y: str = y) -> tuple:
                entry = code.plus(_times(code, k, "%out"), y)
                place = code.let(f"sext i32 {code.load('i32', '%places', entry)} to i64")
                weight = _spread(code, "float", code.load("float", "%weights", entry))
                start = code.plus(_times(code, place, "%width"), at)
                return vector(code, "float", LANES, source, start), weight

            total = _sum(code, pixel, grouped)
            if whole:
                total = total.intrinsic("rint")._convert("fptosi", "i32")
                _store_bytes(total.intrinsic("smax", 0).intrinsic("smin", 255), target, at)
            else:
                _store(total, target, at)


def _sum(code: Code, pixel: Callable[[str], tuple[Lanes, Lanes]], grouped: Lanes) -> Lanes:
    """The sum over all taps, fused from tap ``grouped`` on."""
    first, weight = pixel("0")
    total = first * weight
    slot = code.slot(total.kind, total.register)
    more = code.let("sub i64 %taps, 1")
    with code.when(code.let(f"icmp sgt i64 {more}, 0")), code.loop(more) as i:
        k = code.plus(i, 1)
        x, weight = pixel(k)
        before = total.like("float", code.get(total.kind, slot))
        place = _spread(code, "i32", code.let(f"trunc i64 {k} to i32"))
        after = select(place < grouped, before + x * weight, fma32(x, weight, before))
        code.set(total.kind, slot, after.register)
    return total.like("float", code.get(total.kind, slot))


_BYTES = _AXIS.replace("%grouped", "%line") + ", i64 %bits"


def _byte_rows(code: Code) -> None:
    """Along the rows of bytes. Gathered elements have four, so a row is widened first."""
    with code.loop("%planes") as row:
        source = code.at("i8", "%pixels", _times(code, row, "%width"))
        target = code.at("i8", "%result", _times(code, row, "%out"))
        with code.loop("%width") as i:
            byte = code.let(f"zext i8 {code.load('i8', source, i)} to i32")
            code.store("i32", byte, "%line", i)
        with _along(code, "%out") as at:

            def product(k: str, at: str = at) -> Lanes:
                entry = code.plus(_times(code, k, "%out"), at)
                places = vector(code, "i32", LANES, "%places", entry)
                weight = vector(code, "i32", LANES, "%weights", entry)
                return _gathered(code, "i32", "%line", places) * weight

            _store_bytes(_whole_sum(code, product), target, at)


def _byte_lines(code: Code) -> None:
    """Along the columns of bytes."""
    with code.loop("%planes") as plane, code.loop("%out") as y:
        source = code.at("i8", "%pixels", _times(code, plane, "%height", "%width"))
        line = code.plus(_times(code, plane, "%out"), y)
        target = code.at("i8", "%result", _times(code, line, "%width"))
        with _along(code, "%width") as at:

            def product(k: str, source: str = source, at: str = at, y: str = y) -> Lanes:
                entry = code.plus(_times(code, k, "%out"), y)
                place = code.let(f"sext i32 {code.load('i32', '%places', entry)} to i64")
                weight = _spread(code, "i32", code.load("i32", "%weights", entry))
                start = code.plus(_times(code, place, "%width"), at)
                x = Lanes(code, "i8", LANES, code.load(f"<{LANES} x i8>", source, start, align=1))
                return x._convert("zext", "i32") * weight

            _store_bytes(_whole_sum(code, product), target, at)


def _whole_sum(code: Code, product: Callable[[str], Lanes]) -> Lanes:
    """The sum of scaled products over all taps, rounded, within 0 to 255."""
    bits = code.let("trunc i64 %bits to i32")
    half = code.let(f"lshr i32 {code.let(f'shl i32 1, {bits}')}, 1")
    start = _spread(code, "i32", half)
    slot = code.slot(start.kind, start.register)
    with code.loop("%taps") as k:
        before = start.like("i32", code.get(start.kind, slot))
        code.set(start.kind, slot, (before + product(k)).register)
    shift = _spread(code, "i32", bits).register
    total = start.like("i32", code.let(f"ashr {start.kind} {code.get(start.kind, slot)}, {shift}"))
    return total.intrinsic("smax", 0).intrinsic("smin", 255)


# -- neighbourhoods --------------------------------------------------------------------------------

_FILTER = (
    "ptr %pixels, ptr %out, ptr %weights, i64 %planes, i64 %height, i64 %width, i64 %rows, "
    "i64 %columns, i64 %high, i64 %wide"
)


def _filter(lanes: int, rows: int) -> Callable[[Code], None]:
    """Sums of so many rows at a time: each is one long chain of additions, and some chains overlap
    where one would wait for itself."""

    def write(code: Code) -> None:
        lines = _along(code, "%rows", rows) if rows > 1 else code.loop("%rows")
        with code.loop("%planes") as plane, lines as y:
            line = code.plus(_times(code, plane, "%height"), y)
            source = code.at("float", "%pixels", _times(code, line, "%width"))
            line = code.plus(_times(code, plane, "%rows"), y)
            target = code.at("float", "%out", _times(code, line, "%columns"))
            with _along(code, "%columns", lanes) as at:
                zero = Lanes(code, "float", lanes, "").constant(0.0)
                slots = [code.slot(zero.kind, zero.register) for _ in range(rows)]
                with code.loop("%high") as i, code.loop("%wide") as j:
                    entry = code.plus(_times(code, i, "%wide"), j)
                    weight = _spread(code, "float", code.load("float", "%weights", entry), lanes)
                    for k, slot in enumerate(slots):
                        place = _times(code, code.plus(i, k), "%width")
                        x = vector(code, "float", lanes, source, code.plus(place, j, at))
                        total = zero.like("float", code.get(zero.kind, slot))
                        code.set(zero.kind, slot, fma32(x, weight, total).register)
                for k, slot in enumerate(slots):
                    place = code.plus(_times(code, str(k), "%columns"), at)
                    _store(zero.like("float", code.get(zero.kind, slot)), target, place)

    return write


# -- flips -----------------------------------------------------------------------------------------

_MIRROR = "ptr %pixels, ptr %out, i64 %lines, i64 %width"


def _mirror(kind: str, lanes: int) -> Callable[[Code], None]:
    """Lines backwards."""

    def write(code: Code) -> None:
        order = ", ".join(f"i32 {lanes - 1 - i}" for i in range(lanes))
        vector_kind = f"<{lanes} x {kind}>"
        last = code.let(f"sub i64 %width, {lanes}")
        with code.loop("%lines") as y:
            source, target = (
                code.at(kind, pointer, _times(code, y, "%width")) for pointer in ("%pixels", "%out")
            )
            with _along(code, "%width", lanes) as at:
                place = code.let(f"sub i64 {last}, {at}")
                x = code.load(vector_kind, source, place, align=1)
                turned = code.let(
                    f"shufflevector {vector_kind} {x}, {vector_kind} poison, <{lanes} x i32> "
                    f"<{order}>"
                )
                code.store(vector_kind, turned, target, at, align=1)

    return write


#: Name -> the arguments and what writes the body.
FUNCTIONS: dict[str, tuple[str, Callable[[Code], None]]] = {
    "nearest": (_SAMPLE, _sample(False, False)),
    "bilinear": (_SAMPLE, _sample(True, False)),
    "nearest_bytes": (_SAMPLE, _sample(False, True)),
    "bilinear_bytes": (_SAMPLE, _sample(True, True)),
    "rows": (_AXIS, _rows),
    "lines": (_AXIS, _lines(False)),
    "lines_bytes": (_AXIS, _lines(True)),
    "byte_rows": (_BYTES, _byte_rows),
    "byte_lines": (_BYTES, _byte_lines),
    "mirror_1": (_MIRROR, _mirror("i8", LANES)),
    "mirror_4": (_MIRROR, _mirror("i32", LANES)),
    "filter_1": (_FILTER, _filter(LANES, 4)),
    "filter_2": (_FILTER, _filter(2 * LANES, 2)),
    "filter_4": (_FILTER, _filter(4 * LANES, 1)),
}
