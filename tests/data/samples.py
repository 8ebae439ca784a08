"""Data sets for the tests here; they need nothing but Python."""

from __future__ import annotations

from typing import Any


class Rows:
    """A map-style data set over any list."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, i: int) -> Any:
        return self.rows[i]

    def __len__(self) -> int:
        return len(self.rows)


class Calls(Rows):
    """Four samples that a function of the index computes."""

    def __getitem__(self, i: int) -> Any:
        return self.rows(i)

    def __len__(self) -> int:
        return 4
