"""Where the values of a plan lie: one arena, places by first fit."""

from __future__ import annotations

#: Bytes of a cache line: every value begins on one.
LINE = 64


def arrange(
    slots: list[int], sizes: dict[int, int], first: dict[int, int], last: dict[int, int]
) -> tuple[dict[int, int], int]:
    """Places in the arena, first fit in order of birth: values alive at once never overlap."""
    places: dict[int, int] = {}
    top = 0
    alive: list[tuple[int, int, int]] = []  # (start, end, last use)
    for slot in sorted(slots, key=first.__getitem__):
        size = -(-max(sizes[slot], 1) // LINE) * LINE
        # A value read by the step that makes this one is still needed then.
        alive = sorted(a for a in alive if a[2] >= first[slot])
        start = 0
        for low, high, _ in alive:
            if start + size <= low:
                break
            start = max(start, high)
        places[slot] = start
        alive.append((start, start + size, last[slot]))
        top = max(top, start + size)
    return places, top
