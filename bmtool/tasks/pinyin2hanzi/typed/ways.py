"""Arcs over the letters of one word as ways through it: what leads from its beginning to its end, and where all ways meet."""

from collections.abc import Container

from bmtool.tasks.pinyin2hanzi.typed.lattice import Arc


def reached(arcs: list[Arc], size: int) -> tuple[frozenset[int], frozenset[int]]:
    """The places that arcs lead to from 0, and those from which they lead to `size`."""
    forward, backward = {0}, {size}
    for arc in sorted(arcs, key=lambda arc: arc.start):
        if arc.start in forward:
            forward.add(arc.end)
    for arc in sorted(arcs, key=lambda arc: -arc.end):
        if arc.end in backward:
            backward.add(arc.start)
    return frozenset(forward), frozenset(backward)


def through(arcs: list[Arc], size: int) -> list[Arc]:
    """The arcs that lie on a way from 0 to `size`."""
    return between(arcs, *reached(arcs, size))


def between(arcs: list[Arc], starts: Container[int], ends: Container[int]) -> list[Arc]:
    """The arcs from a place of `starts` to one of `ends`."""
    return [arc for arc in arcs if arc.start in starts and arc.end in ends]


def cut(arcs: list[Arc]) -> list[list[Arc]]:
    """Arcs in pieces, between the places that every way goes through."""
    pieces: list[list[Arc]] = []
    reach = 0
    for arc in sorted(arcs, key=lambda arc: arc.start):
        if arc.start >= reach:
            pieces.append([])
        pieces[-1].append(arc)
        reach = max(reach, arc.end)
    return pieces


def squeezed(arcs: list[Arc]) -> tuple[list[Arc], int]:
    """The arcs between the places that are used at all, numbered from 0, and the number of steps between these."""
    used = sorted({arc.start for arc in arcs} | {arc.end for arc in arcs})
    number = {place: index for index, place in enumerate(used)}
    return [arc._replace(start=number[arc.start], end=number[arc.end]) for arc in arcs], len(used) - 1
