#!/usr/bin/env python3
"""Draws the test picture of these examples: a street as a camera in a car sees it.

    python draw_road.py OUT.nv12|OUT.yuyv|OUT.ppm [WIDTH HEIGHT]

Raw YCbCr as in BT.601, limited range, or RGB to look at. Equal bytes everywhere: whole numbers and
Python's own generator. The picture is this project's own, under the project's licence.
"""

import random
import sys

SKY, WALL, TREE, ROAD, PAVEMENT = (
    (150, 180, 215), (130, 110, 95), (50, 75, 40), (85, 85, 90), (150, 140, 130),
)  # fmt: skip
LINE, PAINT, TYRE, GLASS, COAT, SKIN = (
    (225, 225, 220), (150, 25, 30), (20, 20, 22), (45, 60, 70), (40, 45, 90), (200, 160, 140),
)  # fmt: skip


def colour(x: int, y: int) -> tuple[int, int, int]:
    """Colour at a place of a picture of 160 x 120."""
    for left, top, right, bottom, paint in (
        (95, 66, 103, 73, GLASS), (84, 66, 93, 73, GLASS),
        (82, 63, 105, 74, PAINT), (78, 74, 110, 84, PAINT),
        (80, 84, 86, 88, TYRE), (101, 84, 107, 88, TYRE),
        (136, 52, 140, 57, SKIN), (133, 57, 143, 72, COAT), (134, 72, 142, 86, TYRE),
    ):  # fmt: skip
        if left <= x < right and top <= y < bottom:
            return paint
    if y < 62:
        roof = 22 if x < 38 else 34 if 112 <= x else 48
        tree = (x - 58) ** 2 + (y - 50) ** 2 < 260
        if y < roof and not tree:
            return SKY
        window = y > roof + 4 and x % 12 in (3, 4, 5, 6) and y % 12 in (2, 3, 4, 5, 6, 7)
        return TREE if tree or 48 <= roof else GLASS if window else WALL
    depth = y - 58
    left, right = 78 - depth * 5 // 4, 84 + depth * 5 // 4
    if not left <= x < right:
        return PAVEMENT
    middle = abs(x - (left + right) // 2) * 40 < depth
    return LINE if middle and (400 // depth) % 4 < 2 else ROAD


def draw(width: int, height: int) -> list[tuple[int, int, int]]:
    """The picture's pixels, row by row, with noise as a small sensor has."""
    noise = random.Random(1)
    pixels = []
    for y in range(height):
        for x in range(width):
            grain = noise.randint(-9, 9)
            found = colour(x * 160 // width, y * 120 // height)
            pixels.append(tuple(min(255, max(0, value + grain)) for value in found))
    return pixels


def ycbcr(red: int, green: int, blue: int) -> tuple[int, int, int]:
    return (
        16 + (66 * red + 129 * green + 25 * blue + 128 >> 8),
        128 + (-38 * red - 74 * green + 112 * blue + 128 >> 8),
        128 + (112 * red - 94 * green - 18 * blue + 128 >> 8),
    )


def nv12(pixels: list[tuple[int, int, int]], width: int, height: int) -> bytes:
    """All Y, then Cb and Cr of every second pixel of every second row."""
    values = [ycbcr(*pixel) for pixel in pixels]
    chroma = bytearray()
    for y in range(0, height, 2):
        for x in range(0, width, 2):
            chroma += bytes(values[y * width + x][1:])
    return bytes(value[0] for value in values) + bytes(chroma)


def yuyv(pixels: list[tuple[int, int, int]], width: int, height: int) -> bytes:
    """Y, Cb, Y, Cr of two neighbours."""
    values = [ycbcr(*pixel) for pixel in pixels]
    pairs = zip(values[0 : width * height : 2], values[1 : width * height : 2])
    return bytes(b for left, right in pairs for b in (left[0], left[1], right[0], left[2]))


def main() -> None:
    path = sys.argv[1]
    width, height = map(int, sys.argv[2:4]) if len(sys.argv) == 4 else (160, 120)
    pixels = draw(width, height)
    if path.endswith(".ppm"):
        data = b"P6 %d %d 255\n" % (width, height) + bytes(v for pixel in pixels for v in pixel)
    else:
        data = (yuyv if path.endswith(".yuyv") else nv12)(pixels, width, height)
    with open(path, "wb") as file:
        file.write(data)


if __name__ == "__main__":
    main()
