"""Tables of names: rows of our own (``"module:class"``) and those that other packages add by an entry point.

Every kind of part (decoders, sources, tasks, intentions, panels, readers) is one `Table`; every part is found, checked
and made here, so that what is wrong with somebody's class is said in the same one sentence everywhere.
"""

from __future__ import annotations

import copy
import dataclasses
import difflib
import functools
import importlib
import importlib.metadata
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import pydantic

from bmi_runtime.codec import pack, unpack, why_not_recordable
from bmi_runtime.errors import BadInput, BmiError, described, is_fault_of_part


@functools.lru_cache(maxsize=32)
def _installed(group: str, folders: tuple[tuple[str, int], ...]) -> tuple[importlib.metadata.EntryPoint, ...]:
    return tuple(importlib.metadata.entry_points(group=group))


def entry_points(group: str) -> Iterable[importlib.metadata.EntryPoint]:
    """Return the entry points of a group: read once a process, and again when a folder of packages has changed."""
    return _installed(group, tuple((folder, _changed_ns(folder)) for folder in sys.path))


def _changed_ns(folder: str) -> int:
    try:
        return os.stat(folder or ".").st_mtime_ns
    except OSError:
        return 0


class Options(pydantic.BaseModel):
    """Base of a part's typed options: unknown names and values out of range are refused, nothing changes later."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


@dataclasses.dataclass(frozen=True)
class Table:
    """One kind of part.

    Attributes
    ----------
    what : str
        For messages: "decoder", "source".
    rows : mapping
        Name to ``"module:class"``: the project's own.
    group : str
        Of entry points, by which other packages add names.
    needs : tuple of str
        What a class must have, as it is written in a sentence: ``"predict(counts)"``.
    """

    what: str
    rows: Mapping[str, str]
    group: str
    needs: tuple[str, ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "rows", MappingProxyType(dict(self.rows)))  # a part cannot change what others stand on

    def names(self) -> list[str]:
        """Return the names of the table, its own first, then those of other packages, each once."""
        return list(dict.fromkeys([*self.rows, *(point.name for point in self._points())]))

    def _points(self, name: str | None = None) -> list[importlib.metadata.EntryPoint]:
        """Return the entry points of the group, those that repeat another of the same object left out."""
        points = {(point.name, point.value): point for point in entry_points(self.group)}
        return [point for point in points.values() if name is None or point.name == name]

    def collisions(self) -> list[str]:
        """Return one sentence for every name of another package that stands for something else, too."""
        sentences = []
        for point in self._points():
            if point.name in self.rows:
                sentences.append(
                    f"the {self.what} '{point.name}' of {_origin(point)} is not used: that name is the project's own"
                )
            elif len(self._points(point.name)) > 1:
                sentences.append(f"the {self.what} '{point.name}' is offered by more than one package: {point.value}")
        return sentences

    def modules(self, name: str) -> list[str]:
        """Return the modules that stand behind a name of other packages; none for the project's own."""
        return [] if name in self.rows else [point.module for point in self._points(name)]

    def find(self, name: str) -> Any:
        """Return the class of the row or entry point `name`, after a look at whether it has what it needs.

        Raises
        ------
        BadInput
            When there is none of that name, several packages offer it, it cannot be loaded, or it lacks a method.
        """
        if name in self.rows:
            return load_row(self.rows[name])
        points = self._points(name)
        if not points:
            raise unknown(self.what, name, self.names())
        if len(points) > 1:
            raise BadInput(
                f"the {self.what} '{name}' is offered by {' and by '.join(map(_origin, points))}; uninstall one of them"
            )
        try:
            part = points[0].load()
        except BaseException as error:
            if not is_fault_of_part(error):
                raise
            where = _origin(points[0])
            raise BadInput(f"the {self.what} '{name}' of {where} cannot be loaded: {described(error)}") from None
        self.check(name, part)
        return part

    def check(self, name: str, part: Any) -> None:
        """Raise `BadInput` naming everything that a class lacks."""
        missing = [need for need in self.needs if not hasattr(part, need.partition("(")[0])]
        if missing:
            raise BadInput(f"the {self.what} '{name}' has no {' and no '.join(missing)}, which every {self.what} needs")
        check_methods(self.what, name, part, [need.partition("(")[0] for need in self.needs])


def check_methods(what: str, name: str, part: Any, methods: Iterable[str]) -> None:
    """Raise `BadInput` where a method of a part only promises an answer (``async def``, ``yield``): none is awaited."""
    later = (inspect.iscoroutinefunction, inspect.isgeneratorfunction, inspect.isasyncgenfunction)
    for method in methods:
        if any(is_later(inspect.getattr_static(part, method, None)) for is_later in later):
            raise BadInput(
                f"the {what} '{name}': {method} is written with async or yield; the session calls it once a bin and "
                "takes what it returns"
            )


def _origin(point: importlib.metadata.EntryPoint) -> str:
    return f"{point.value} ({point.dist.name})" if point.dist else point.value


def names(rows: Mapping[str, str], group: str) -> list[str]:
    """Return the names of a table, its own rows first, then those of entry points of `group`, each once."""
    return Table("", rows, group).names()


def load_row(row: str) -> Any:
    """Return what ``"module:attribute"`` names."""
    module, _, attribute = row.partition(":")
    return getattr(importlib.import_module(module), attribute)


def find(what: str, rows: Mapping[str, str], group: str, name: str) -> Any:
    """Return the class of the row or entry point `name`; see `Table.find`."""
    return Table(what, rows, group).find(name)


def unknown(what: str, name: str, known: Iterable[str]) -> BadInput:
    """Return the error that names the nearest valid choice, and all of them."""
    known = list(known)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return BadInput(f"there is no {what} '{name}'; {hint}choose from {', '.join(known)}")


def unknown_option(where: str, name: str, known: Iterable[str]) -> BadInput:
    """Return the error for an option that a part does not have."""
    known = sorted(known)
    near = difflib.get_close_matches(name, known, 1)
    hint = f"the nearest valid one is '{near[0]}'" if near else f"valid: {', '.join(known) or 'none'}"
    return BadInput(f"unknown key '{where}.{name}'; {hint}")


def checked_options(part: Any, given: Mapping[str, Any], where: str) -> Any:
    """Return the typed options of a part: an instance of its class ``Options``.

    Parameters
    ----------
    part : type
        A part; without a class ``Options`` it takes none.
    given : mapping
        What the configuration says.
    where : str
        Of the configuration, for messages: ``task.options``.

    Raises
    ------
    BadInput
        Naming an unknown option and the nearest one, or the value that is out of range.
    """
    kind: type[Options] = getattr(part, "Options", Options)
    if not (isinstance(kind, type) and issubclass(kind, pydantic.BaseModel)):
        raise BadInput(
            f"the class Options of {part.__name__}, which says what {where} may hold, must inherit "
            "bmi_runtime.registry.Options"
        )
    for name in given:
        if name not in kind.model_fields:
            raise unknown_option(where, name, kind.model_fields)
    try:
        return kind(**given)
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False)[0]
        name, said = ".".join(map(str, first["loc"])), first["msg"].removeprefix("Value error, ")
        raise BadInput(f"{where}.{name}: {said[0].lower()}{said[1:]} (got {first['input']!r})") from None
    except BaseException as error:
        if not is_fault_of_part(error):
            raise
        raise BadInput(f"{where} cannot be read by {part.__name__}: {described(error)}") from None


def keywords(maker: Callable[..., Any]) -> tuple[set[str], bool]:
    """Return the arguments that can be given by name, and whether any other name is taken, too (``**options``)."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return set(), True
    named = {item.name for item in parameters if item.kind in (item.POSITIONAL_OR_KEYWORD, item.KEYWORD_ONLY)}
    return named, any(item.kind is item.VAR_KEYWORD for item in parameters)


def made(what: str, name: str, maker: Callable[..., Any], *arguments: Any, **by_name: Any) -> Any:
    """Return ``maker(*arguments, **by_name)``; what it raises becomes one sentence that names the part."""
    try:
        return maker(*arguments, **by_name)
    except BmiError:
        raise
    except BaseException as error:
        if not is_fault_of_part(error):
            raise
        raise BadInput(f"the {what} '{name}' cannot be made: {described(error)}") from None


def made_recordable(what: str, name: str, maker: Callable[..., Any], *arguments: Any) -> Any:
    """Return :func:`made`; another package's part whose snapshot no recording can hold is refused at once."""
    part = made(what, name, maker, *arguments)
    if not is_own(maker):
        snapshot = made(what, name, part.snapshot)
        if why := why_not_recordable(snapshot):
            raise unrecordable(what, name, why)
        made(what, name, part.restore, copy.deepcopy(unpack(pack(snapshot))))  # as a replay and a restart will do
    return part


def unrecordable(what: str, name: str, why: str) -> BadInput:
    """Return the error for a part whose state cannot be recorded."""
    return BadInput(f"the {what} '{name}' cannot be recorded: its snapshot fails ({why})")


def is_own(maker: Any) -> bool:
    """Return whether a part is the project's own, and no other package's."""
    return getattr(maker, "__module__", "").partition(".")[0] == __name__.partition(".")[0]
