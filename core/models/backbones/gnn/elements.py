"""One-hot columns of elements for graph networks: common elements, groups and periods."""

import functools

import numpy as np

ELEMENTS = (1, 3, 5, 6, 7, 8, 9, 11, 12, 13, 14, 15, 16, 17, 19, 20, 22, 23, 24, 25, 26, 27, 28, 29, 30, 32, 33, 34, 35,
            44, 46, 47, 50, 51, 53, 56, 78, 79, 80, 82, 83)  # fmt: skip  # atomic numbers with their own column
NOBLE_GASES = (0, 2, 10, 18, 36, 54, 86, 118)  # last atomic number of each period
GROUPS, PERIODS = 19, 7  # columns


@functools.cache
def element_column(number: int) -> tuple[int, int]:
    """Group (1 to 18; 0 for a dummy atom) and period (1 to 7) of an element; lanthanides and actinides are group 3."""
    if number == 0:
        return 0, 1
    period = next(row for row, last in enumerate(NOBLE_GASES) if number <= last)
    length, along = NOBLE_GASES[period] - NOBLE_GASES[period - 1], number - NOBLE_GASES[period - 1]
    if length == 2:
        return (1, 18)[along - 1], period
    if along <= 2:
        return along, period
    if length == 8:
        return along + 10, period
    return (along if length == 18 else max(3, along - 14)), period


COLUMNS = np.array(  # (119, 3): by atomic number, the columns of its element, group and period
    [
        (
            ELEMENTS.index(number) if number in ELEMENTS else len(ELEMENTS),
            len(ELEMENTS) + 1 + element_column(number)[0],
            len(ELEMENTS) + 1 + GROUPS + element_column(number)[1] - 1,
        )
        for number in range(NOBLE_GASES[-1] + 1)
    ]
)
