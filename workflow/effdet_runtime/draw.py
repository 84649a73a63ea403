"""Photos with the detections drawn on them."""

from PIL import Image, ImageDraw

from effdet_runtime.results import Detections

# colours of Okabe and Ito, which people with any colour vision tell apart
COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")


def drawn(image: Image.Image, found: Detections) -> Image.Image:
    """A copy of `image` with a box, the class and the score of each detection, the best on top."""
    picture = image.convert("RGB")
    draw = ImageDraw.Draw(picture)
    size = max(12, max(picture.size) // 60)
    places = range(len(found) - 1, -1, -1)
    for place in places:
        colour = COLOURS[int(found.class_ids[place]) % len(COLOURS)]
        box = tuple(map(float, found.boxes[place]))
        draw.rectangle(box, outline=colour, width=max(2, size // 6))
        text = f"{found.class_names[place]} {found.scores[place]:.2f}"
        corner = (box[0], max(0.0, box[1] - size))
        draw.rectangle(draw.textbbox(corner, text, font_size=size), fill=colour)
        draw.text(corner, text, fill="black", font_size=size)
    return picture
