"""The text of a TPU executable (`compiled.as_text()`: optimised, scheduled HLO), as data.

Computations hold instructions in issue order. An array's shape is its dtype, its dimensions and the memory it lies in
(0: HBM, 1: vector memory, 5: the host's). Integers that steer loops are evaluated where the text says them, because TPU
HLO states no trip counts.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import re
from collections.abc import Callable

BYTES = {
    "pred": 1, "s4": 0.5, "u4": 0.5, "s8": 1, "u8": 1, "f8e4m3fn": 1, "f8e5m2": 1, "s16": 2, "u16": 2, "bf16": 2,
    "f16": 2, "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8,
}  # fmt: skip
PASSED_ON = {"copy", "copy-start", "copy-done", "bitcast", "convert", "reshape", "broadcast", "opt-barrier"}
MAX_DEPTH = 80  # of one chain of scalars


@dataclasses.dataclass(frozen=True, slots=True)
class Array:
    """space: 0 HBM, 1 vector memory, 5 host."""

    dtype: str
    dims: tuple[int, ...]
    space: int
    bytes: int


@dataclasses.dataclass(frozen=True, slots=True)
class Instruction:
    """arrays: of the result, a tuple's flattened. literal: what a constant or parameter has in its brackets.
    attributes: all text after the operands.
    """

    name: str
    op: str
    arrays: tuple[Array, ...]
    operands: tuple[str, ...]
    literal: str
    attributes: str

    @property
    def bytes(self) -> int:
        return sum(array.bytes for array in self.arrays)

    def attribute(self, pattern: str) -> str | None:
        """The first group of `pattern` in the attributes."""
        found = re.search(pattern, self.attributes)
        return found.group(1) if found else None

    def called(self) -> str | None:
        """The computation that a fusion, call or async-start runs."""
        return self.attribute(r"(?:calls|to_apply)=(%[\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Computation:
    name: str
    instructions: dict[str, Instruction]
    root: Instruction

    def inputs(self, instruction: Instruction) -> list[Instruction]:
        """Those operands that are instructions of this computation."""
        return [self.instructions[name] for name in instruction.operands if name in self.instructions]


@dataclasses.dataclass(frozen=True)
class Module:
    computations: dict[str, Computation]
    entry: Computation


@dataclasses.dataclass(frozen=True)
class Scope:
    """A computation with what is known of its parameters. given(n, path): the integer at `path` in the nested tuple
    that is parameter n, or None where it is not known.
    """

    module: Module
    computation: Computation
    given: Callable[[int, tuple[int, ...]], int | None]

    def enter(self, name: str, operands: tuple[str, ...]) -> Scope:
        """The scope of a computation called with `operands` of this one."""
        return Scope(self.module, self.module.computations[name], lambda n, path: value(self, operands[n], path))


def parse(text: str) -> Module:
    """The module. ValueError where the text is not that of a scheduled executable."""
    if "is_scheduled=true" not in text[:4000]:
        raise ValueError("this HLO is not scheduled; give the text of a compiled program: lowered.compile().as_text()")
    computations: dict[str, Computation] = {}
    entry, name, lines = None, None, []
    for line in text.splitlines():
        if name is None:
            opened = re.match(r"(ENTRY )?(%[\w.\-]+) \(.*\{\s*$", line)
            if opened:
                name, lines = opened.group(2), []
                entry = name if opened.group(1) else entry
        elif re.match(r"\}(, execution_thread.*)?\s*$", line):  # the text of a kernel has other lines with brackets
            computations[name] = _computation(name, lines)
            name = None
        elif re.match(r"  (ROOT )?%[\w.\-]+ = ", line):
            lines.append(line)
        else:
            lines[-1] += line  # a long instruction goes on
    if entry not in computations:
        raise ValueError("this HLO has no ENTRY computation; was the text cut off?")
    return Module(computations, computations[entry])


def _computation(name: str, lines: list[str]) -> Computation:
    instructions = [_instruction(line) for line in lines]
    roots = [one for one, line in zip(instructions, lines, strict=True) if line.startswith("  ROOT ")]
    return Computation(name, {one.name: one for one in instructions}, (roots or instructions)[-1])


def _instruction(line: str) -> Instruction:
    name, right = line.removeprefix("  ").removeprefix("ROOT ").split(" = ", 1)
    end = _closing(right, 0) + 1 if right[0] == "(" else right.index(" ")
    opening = right.index("(", end)
    op, closing = right[end:opening].strip(), _closing(right, opening)
    inside = right[opening + 1 : closing]
    literal = op in ("constant", "parameter")
    operands = () if literal else tuple(re.findall(r"%[\w.\-]+", re.sub(r"/\*.*?\*/", "", inside)))
    return Instruction(name, op, arrays(right[:end]), operands, inside if literal else "", right[closing + 1 :])


def _closing(text: str, opening: int) -> int:
    """Where the bracket at `opening` is closed."""
    depth = 0
    for found in re.compile(r"[()]").finditer(text, opening):
        depth += 1 if found.group() == "(" else -1
        if depth == 0:
            return found.start()
    return len(text)


@functools.cache
def arrays(shape: str) -> tuple[Array, ...]:
    """The arrays in a shape's text: `bf16[8,128]{1,0:T(8,128)S(1)}`, or a tuple of such."""
    found = re.findall(r"(\w+)\[([\d,]*)\](\{[^{}]*\})?", re.sub(r"/\*.*?\*/", "", shape))
    out = []
    for dtype, dims, layout in found:
        if dtype in BYTES:
            sizes = tuple(int(n) for n in dims.split(",") if n)
            space = re.search(r"S\((\d+)\)", layout)
            out.append(Array(dtype, sizes, int(space.group(1)) if space else 0, int(BYTES[dtype] * math.prod(sizes))))
    return tuple(out)


def value(scope: Scope, name: str, path: tuple[int, ...] = (), depth: int = 0) -> int | None:
    """The integer that an instruction gives (at `path` of its tuple), or None where the text does not determine it."""
    it = scope.computation.instructions.get(name)
    if it is None or depth > MAX_DEPTH:
        return None
    if it.op == "parameter":
        return scope.given(int(it.literal), path)
    if it.op == "constant":
        return int(it.literal) if re.fullmatch(r"\s*-?\d+\s*", it.literal) else None
    if it.op == "get-tuple-element":
        return value(scope, it.operands[0], (int(it.attribute(r"index=(\d+)") or 0), *path), depth + 1)
    if it.op == "tuple":
        return value(scope, it.operands[path[0]], path[1:], depth + 1) if path else None
    if it.op in PASSED_ON and it.operands:
        return value(scope, it.operands[0], path, depth + 1)
    if it.op == "fusion":
        inner = scope.enter(it.called() or "", it.operands)
        return value(inner, inner.computation.root.name, path, depth + 1)
    sums = {"add": int.__add__, "subtract": int.__sub__, "multiply": int.__mul__, "maximum": max, "minimum": min}
    if it.op not in sums:
        return None
    sides = [value(scope, operand, (), depth + 1) for operand in it.operands]
    return None if None in sides else sums[it.op](*sides)


def trip_count(scope: Scope, loop: Instruction) -> int | None:
    """How often a while loop's body runs; None where that depends on data.

    The two sides of its comparison are evaluated before the first and before the second iteration: their distance and
    how it changes give the count.
    """
    known = loop.attribute(r'known_trip_count"?:\{"?n"?:"?(\d+)')
    if known:
        return int(known)
    body = scope.enter(loop.attribute(r"body=(%[\w.\-]+)") or "", loop.operands)
    condition = loop.attribute(r"condition=(%[\w.\-]+)") or ""
    first = scope.enter(condition, loop.operands)
    second = dataclasses.replace(first, given=lambda n, path: value(body, body.computation.root.name, path))
    gaps, direction = [], None
    for each in (first, second):
        direction, sides = _compared(each)
        if sides[0] is None or sides[1] is None:
            return None
        gaps.append(sides[0] - sides[1])
    gap, change = gaps[0], gaps[1] - gaps[0]
    if direction in ("GT", "GE"):
        gap, change = -gap, -change
    if change <= 0 and direction != "NE":
        return None
    if direction in ("LE", "GE"):
        return max(0, -gap // change + 1)
    return max(0, math.ceil(-gap / change)) if change else None


def _compared(scope: Scope) -> tuple[str | None, list[int | None]]:
    """The direction and both sides of the comparison that is a condition's result."""
    root = scope.computation.root
    while root.op in ("bitcast", "copy", "fusion"):
        if root.op == "fusion":
            scope = scope.enter(root.called() or "", root.operands)
            root = scope.computation.root
        else:
            root = scope.computation.instructions[root.operands[0]]
    if root.op != "compare":
        return None, [None, None]
    return root.attribute(r"direction=(\w+)"), [value(scope, side) for side in root.operands]


def matmul_flops(computation: Computation, it: Instruction) -> int:
    """Multiplications and additions of a convolution or dot. The TPU compiler writes batched matmuls as convolutions
    whose windows slide past the padding, so only the taps that meet data count.
    """
    out = it.arrays[0].dims
    left, right = (one.arrays[0].dims for one in computation.inputs(it))
    if it.op == "dot":
        contracted = (it.attribute(r"lhs_contracting_dims=\{([\d,]*)\}") or "").split(",")
        return 2 * math.prod(out) * math.prod(left[int(n)] for n in contracted if n)
    labels = re.search(r"dim_labels=(\w+)_(\w+)->(\w+)", it.attributes)
    if labels is None:
        return 0
    lhs, rhs, result = labels.groups()
    window = dict(re.findall(r"(\w+)=([\dx_\-]+)", it.attribute(r"window=\{([^}]*)\}") or ""))
    spatial = [c for c in sorted(result) if c.isdigit()]
    flops = 2 * out[result.index("b")] * out[result.index("f")] * right[rhs.index("i")]
    for n, axis in enumerate(spatial):
        of = {key: text.split("x")[n] for key, text in window.items()}
        flops *= _taps(
            out[result.index(axis)],
            left[lhs.index(axis)],
            int(of.get("size", 1)),
            int(of.get("stride", 1)),
            int(of.get("pad", "0_0").split("_")[0]),
            int(of.get("lhs_dilate", 1)),
            int(of.get("rhs_dilate", 1)),
        )
    return flops


@functools.cache
def _taps(outputs: int, inputs: int, window: int, stride: int, pad: int, spread: int, step: int) -> int:
    """Pairs of output and window position that meet an element of the input, which is dilated by `spread`."""
    last = (inputs - 1) * spread
    if window == 1 and spread == 1 and pad == 0:
        return min(outputs, last // stride + 1)
    total = 0
    for k in range(window):
        offset = k * step - pad
        total += sum(0 <= p <= last and p % spread == 0 for p in range(offset, offset + outputs * stride, stride))
    return total
