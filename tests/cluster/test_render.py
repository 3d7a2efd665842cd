import pytest

pytest.importorskip("ray")

from midframe.cluster.render import divide_segments


@pytest.mark.parametrize(
    ("missing", "count", "expected"),
    [
        (range(6), 2, [range(3), range(3, 6)]),
        (range(7), 3, [range(3), range(3, 6), range(6, 7)]),
        (range(2), 5, [range(1), range(1, 2)]),
        ([1, 2, 5, 6, 7], 1, [range(1, 3), range(5, 8)]),
        ([], 3, []),
    ],
)
def test_missing_segments_are_divided_into_pieces(
    missing: list[int], count: int, expected: list[range]
) -> None:
    assert list(divide_segments(missing, count)) == expected
