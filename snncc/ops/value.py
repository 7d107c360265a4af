"""Values: handles on graph nodes that Python arithmetic builds operators from.

The same functions work on NumPy arrays and numbers, where they compute at once: `apply` looks at
what it is given. That is why one `step` method of a neuron is both its reference and its graph.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from ..arguments import shown
from ..errors import CompileError, located, user_line
from ..graph import Builder, Op, Type

# Python's operators by name: filled by ops.elementwise, which knows the functions.
OPERATORS: dict[str, Op] = {}


class Value:
    """One value of the graph under construction."""

    __slots__ = ("builder", "node")
    described: ClassVar[str] = "a value of the network"
    __array_priority__ = 1000  # so that array * value asks the value

    def __init__(self, builder: Builder, node: str) -> None:
        self.builder, self.node = builder, node

    @property
    def type(self) -> Type:
        return self.builder.nodes[self.node].type

    @property
    def shape(self) -> tuple[int, ...]:
        """Feature shape (without time and batch)."""
        return self.type.features

    def __repr__(self) -> str:
        return f"Value(%{self.node} : {self.type})"

    def __add__(self, other: object) -> Value:
        return _operator("add", self, other)

    def __radd__(self, other: object) -> Value:
        return _operator("add", other, self)

    def __sub__(self, other: object) -> Value:
        return _operator("sub", self, other)

    def __rsub__(self, other: object) -> Value:
        return _operator("sub", other, self)

    def __mul__(self, other: object) -> Value:
        return _operator("mul", self, other)

    def __rmul__(self, other: object) -> Value:
        return _operator("mul", other, self)

    def __truediv__(self, other: object) -> Value:
        return _operator("div", self, other)

    def __rtruediv__(self, other: object) -> Value:
        return _operator("div", other, self)

    def __pow__(self, exponent: object) -> Value:
        """Of whole numbers from -16 to 16: repeated multiplication, the same bits everywhere."""
        if not isinstance(exponent, (int, float)) or exponent not in range(-16, 17):
            raise CompileError(
                f"%{self.node}: ** takes whole numbers from -16 to 16, got {exponent!r}; other powers of "
                f"x > 0 are snncc.exp(p * snncc.log(x)), the root is snncc.sqrt(x) ({user_line()})"
            )
        if exponent == 0:
            return self * 0.0 + 1.0
        power = _power(self, abs(int(exponent)))
        return power if exponent > 0 else 1.0 / power

    def __abs__(self) -> Value:
        return _operator("abs", self)

    def __neg__(self) -> Value:
        return _operator("neg", self)

    def __gt__(self, other: object) -> Value:
        return _operator("greater", self, other)

    def __ge__(self, other: object) -> Value:
        return _operator("greater_equal", self, other)

    def __lt__(self, other: object) -> Value:
        return _operator("greater", other, self)

    def __le__(self, other: object) -> Value:
        return _operator("greater_equal", other, self)

    def __matmul__(self, other: object) -> Value:
        """The product of the last two feature axes of both."""
        from .matmul import matmul

        result: Value = matmul(self, other)
        return result

    def __rmatmul__(self, other: object) -> Value:
        from .matmul import matmul

        result: Value = matmul(other, self)
        return result

    def __getitem__(self, index: Any) -> Value:
        """Feature axes by whole numbers, slices, ... and None."""
        return _axes("select", self, index)

    def reshape(self, *shape: int | Sequence[int]) -> Value:
        """The same features (row-major) in another shape; -1 stands for what is left."""
        return _axes("reshape", self, *_flat(shape))

    def permute(self, *axes: int | Sequence[int]) -> Value:
        """The feature axes in another order, as torch.permute."""
        return _axes("permute", self, *_flat(axes))

    def transpose(self, first: int = -2, second: int = -1) -> Value:
        """Two feature axes swapped, as torch.transpose."""
        return _axes("transpose", self, first, second)

    def sum(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        """The sum over one, several or all of the feature axes."""
        return _axes("sum_axes", self, axis, keepdims)

    def mean(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        """The mean over one, several or all of the feature axes."""
        return _axes("mean_axes", self, axis, keepdims)

    def max(self, axis: int | Sequence[int] | None = None, keepdims: bool = False) -> Value:
        """The largest over one, several or all of the feature axes."""
        return _axes("max_axes", self, axis, keepdims)

    def __bool__(self) -> bool:
        raise CompileError(
            f"%{self.node}: the truth of a value is not known while the network is built; "
            f"use snncc.where(condition, a, b) instead of if ({user_line()})"
        )

    def __iter__(self) -> Iterator[Value]:
        raise CompileError(f"%{self.node} is one value, it cannot be unpacked ({user_line()})")


class Outputs:
    """Several values by name, of which arithmetic takes one at a time: the base of what a neuron returns."""

    __slots__ = ()
    __array_priority__ = 1000

    def _shown(self) -> str:
        names: tuple[str, ...] = getattr(self, "_fields", ())
        return f"the outputs of a neuron, {', '.join(names)}; take one of them, as in lif(x).{names[0]}"

    def _refuse(self, *others: object, what: str = "arithmetic") -> Value:
        raise located(f"{what}: expected a value of the network, got {shown(self)}", user_line())

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return self._refuse(what=f".{name}")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __neg__ = __abs__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __array__ = _refuse


def _operator(name: str, *operands: object) -> Value:
    result: Value = apply(OPERATORS[name], *operands)
    return result


def _axes(name: str, *operands: object) -> Value:
    from . import axes

    result: Value = getattr(axes, name)(*operands)
    return result


def _flat(given: tuple[Any, ...]) -> tuple[Any, ...]:
    """Numbers that were given one by one, or as one list."""
    return tuple(given[0]) if len(given) == 1 and isinstance(given[0], Sequence) else given


def _power(x: Value, exponent: int) -> Value:
    """x to a power from 1, by squares."""
    if exponent == 1:
        return x
    half = _power(x, exponent // 2)
    return half * half * x if exponent % 2 else half * half


def apply(op: Op, *operands: Any, name: str = "") -> Any:
    """The operator on values (a new node) or, if there is none among the operands, on arrays."""
    for given in operands:
        if isinstance(given, Outputs):
            given._refuse(what=op.name)
    builder = next((o.builder for o in operands if isinstance(o, Value)), None)
    if builder is None:
        return op.evaluate(*operands)
    return Value(builder, builder.add(op, [operand(builder, o) for o in operands], name))


def operand(builder: Builder, value: Any) -> str:
    """The node of an operand; numbers become constants."""
    from .leaf import Constant

    if isinstance(value, Value):
        if value.builder is not builder:
            raise CompileError(f"%{value.node} belongs to another network ({user_line()})")
        return value.node
    if isinstance(value, (bool, int, float)) or getattr(value, "ndim", None) == 0:
        number = float(value)
        name = f"const {number!r}"
        if name not in builder.nodes:
            builder.add(Constant(number), name=name)
        return name
    raise CompileError(
        f"expected a value of the network or a number, got {type(value).__name__} ({user_line()})"
    )
