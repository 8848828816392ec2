"""Frozen dataclasses to JSON values and back, strictly: cattrs with no unknown member and no type made fit.

A float may be written as an integer and stays one, so that what is read is written again alike. An attribute whose
metadata say {"json": False} is not part of the JSON; a trailing underscore (`pass_`) is not part of the name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, is_dataclass
from functools import cache
from types import GenericAlias
from typing import Any, Literal, TypeVar, cast, get_args, get_origin

import cattrs
from cattrs.cols import mapping_structure_factory
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override

from clipsonic_listening_test.errors import ListeningTestError

T = TypeVar("T")
Hook = Callable[[Any, Any], Any]

_SHOWN = 3  # faults named before "and N more"


def from_json(raw: Any, kind: type[T], where: str) -> T:
    """An instance of the dataclass from a parsed JSON value.

    Raises:
        ListeningTestError: unknown or missing members, wrong types; says where, e.g. `$.blocks[0].pages[2].loop`.
    """
    try:
        return _converter().structure(raw, kind)
    except cattrs.BaseValidationError as error:
        faults = cattrs.transform_error(error, format_exception=_describe)
    except TypeError as error:
        faults = [str(error)]
    more = f" (and {len(faults) - _SHOWN} more)" if len(faults) > _SHOWN else ""
    raise ListeningTestError(f"{where}: {'; '.join(faults[:_SHOWN])}{more}")


def to_json(value: Any) -> Any:
    """The JSON value of a dataclass: dicts, lists, text, numbers, booleans and None."""
    return _converter().unstructure(value)


@cache
def _converter() -> cattrs.Converter:
    converter = cattrs.Converter(forbid_extra_keys=True, unstruct_collection_overrides={tuple: list})
    for kind, name in ((str, "text"), (int, "an integer"), (bool, "true or false")):
        converter.register_structure_hook(kind, _checked((kind,), name))
    number = _checked((int, float), "a number")
    converter.register_structure_hook(float, number)
    converter.register_unstructure_hook(float, lambda value: value)
    scalar = _checked((str, int, float, bool), "text, a number or a truth value")
    converter.register_structure_hook_func(lambda kind: kind == (str | float | bool), scalar)
    converter.register_structure_hook_func(_is(Literal), _one_of)
    converter.register_structure_hook_factory(_is(tuple), lambda kind: _read_tuple(kind, converter))
    converter.register_structure_hook_factory(_is(dict), lambda kind: _read_dict(kind, converter))
    converter.register_structure_hook_factory(is_dataclass, lambda kind: _read_object(kind, converter))
    converter.register_unstructure_hook_factory(is_dataclass, lambda kind: _write_object(kind, converter))
    return converter


def _is(origin: object) -> Callable[[Any], bool]:
    return lambda kind: get_origin(kind) is origin


def _checked(kinds: tuple[type, ...], name: str, hook: Hook = lambda value, _: value) -> Hook:
    """The hook, for values of just these types: bool is no integer here, and a text no list."""

    def read(value: Any, kind: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError(f"{_show(value)} is not {name}")
        return hook(value, kind)

    return read


def _one_of(value: Any, kind: Any) -> Any:
    if type(value) is not str or value not in get_args(kind):
        raise ValueError(f"{_show(value)} is none of {', '.join(get_args(kind))}")
    return value


def _read_tuple(kind: Any, converter: cattrs.Converter) -> Hook:
    as_list = GenericAlias(list, get_args(kind)[:1])  # tuple[X, ...] is read as list[X]
    read = converter.get_structure_hook(as_list)
    return _checked((list,), "a list", lambda value, _: tuple(read(value, as_list)))


def _read_dict(kind: Any, converter: cattrs.Converter) -> Hook:
    return _checked((dict,), "an object", mapping_structure_factory(kind, converter))


def _read_object(kind: type, converter: cattrs.Converter) -> Hook:
    read: Hook = make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True, **_names(kind))
    return _checked((dict,), "an object", read)


def _write_object(kind: type, converter: cattrs.Converter) -> Callable[[Any], dict[str, Any]]:
    return make_dict_unstructure_fn(kind, converter, **_names(kind))


def _names(kind: type) -> dict[str, Any]:
    return {
        each.name: override(omit=not each.metadata.get("json", True), rename=each.name.rstrip("_"))
        for each in fields(cast(Any, kind))
    }


def _show(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _describe(error: BaseException, _: type | None) -> str:
    if isinstance(error, KeyError):
        return f"{error.args[0]} is missing"
    if isinstance(error, cattrs.ForbiddenExtraKeysError):
        return f"unknown member {', '.join(sorted(error.extra_fields))}"
    return str(error)
