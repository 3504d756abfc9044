"""numba's type for the states of kernels: NamedTuples that are passed on by reference.

numba passes a NamedTuple of twenty arrays as two hundred arguments, and writes code that takes it
apart and puts it together again at every call: half of the time to compile. Here it is one pointer.
What that points at is written before the kernel that Python calls begins and stays until it
returns: a NamedTuple cannot change, only what is in its arrays.
"""

import hashlib
from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.core.imputils import impl_ret_borrowed, lower_getattr_generic
from numba.core.typing.templates import AttributeTemplate, infer_getattr
from numba.extending import NativeValue, models, register_model, typeof_impl, unbox

_POINTER = ir.IntType(8).as_pointer()


class StateType(types.Type):
    """Type of a NamedTuple of ``instance_class`` whose members have the types ``members``."""

    def __init__(self, instance_class: Any, members: tuple[types.Type, ...]) -> None:
        self.instance_class = instance_class
        self.members = members
        # Short, as it is a part of symbols; the same in every process, as these are kept on disk.
        digest = hashlib.sha256(str(members).encode()).hexdigest()[:8]
        super().__init__(name=f"{instance_class.__qualname__}_{digest}")

    @property
    def key(self) -> Any:
        """What makes two types equal."""
        return self.instance_class, self.members

    def index(self, member: str) -> int:
        """Position of a member."""
        return self.instance_class._fields.index(member)


def pass_by_reference(cls: type) -> None:
    """Let numba give instances of a NamedTuple's class a ``StateType``."""

    @typeof_impl.register(cls)
    def typeof_state(value: Any, context: Any) -> StateType:
        return StateType(cls, tuple(typeof_impl(member, context) for member in value))


@register_model(StateType)
class _StateModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: StateType) -> None:
        super().__init__(dmm, fe_type, _POINTER)


def _memory(context: Any, typ: StateType) -> ir.LiteralStructType:
    """What the pointer points at."""
    return ir.LiteralStructType([context.get_value_type(member) for member in typ.members])


@unbox(StateType)
def _unbox(typ: StateType, obj: Any, c: Any) -> NativeValue:
    """Write the members to the stack of the function that Python calls."""
    builder, failed = c.builder, cgutils.false_bit
    place = cgutils.alloca_once(builder, _memory(c.context, typ))
    natives: list[NativeValue] = []
    for index, member in enumerate(typ.members):
        native = c.unbox(member, c.pyapi.tuple_getitem(obj, index))
        natives.append(native)
        failed = builder.or_(failed, native.is_error)
        builder.store(native.value, cgutils.gep_inbounds(builder, place, 0, index))
    pointer = builder.bitcast(place, _POINTER)
    # Code that does nothing, but may have written all: the loads that follow never change, and must
    # not be taken for loads from before the stores.
    nothing = ir.FunctionType(_POINTER, [_POINTER])
    pointer = builder.asm(nothing, "", "=r,0,~{memory}", [pointer], side_effect=True)

    def give_back() -> None:
        for member, native in zip(typ.members, natives, strict=True):
            if native.cleanup is not None:
                native.cleanup()
            if c.context.enable_nrt:
                c.context.nrt.decref(builder, member, native.value)

    return NativeValue(pointer, is_error=failed, cleanup=give_back)


@infer_getattr
class _StateAttribute(AttributeTemplate):
    key = StateType

    def generic_resolve(self, value: StateType, attr: str) -> types.Type | None:
        known = attr in value.instance_class._fields
        return value.members[value.index(attr)] if known else None


@lower_getattr_generic(StateType)
def _member(context: Any, builder: Any, typ: StateType, value: Any, attr: str) -> Any:
    memory, index = _memory(context, typ), typ.index(attr)
    place = builder.bitcast(value, memory.as_pointer())
    pointer = cgutils.gep_inbounds(builder, place, 0, index)
    # The first two of an array's fields are its owners, which only matter to counts of references.
    is_uncounted = isinstance(typ.members[index], types.Array) and not context.enable_nrt
    loaded = _load(builder, pointer, memory.elements[index], 2 if is_uncounted else 0)
    return impl_ret_borrowed(context, builder, typ.members[index], loaded)


def _load(builder: Any, pointer: Any, kind: Any, first: int = 0) -> Any:
    """The value at ``pointer``, which never changes; fields before ``first`` are null."""
    if not isinstance(kind, ir.LiteralStructType | ir.ArrayType):
        loaded = builder.load(pointer)
        loaded.set_metadata("invariant.load", builder.module.add_metadata([]))
        return loaded
    value = ir.Constant(kind, None)
    of_array = isinstance(kind, ir.ArrayType)
    for field in range(first, len(kind)):
        place = cgutils.gep_inbounds(builder, pointer, 0, field)
        part = _load(builder, place, kind.element if of_array else kind.elements[field])
        value = builder.insert_value(value, part, field)
    return value
