"""Which images of a data set a recipe uses, and which are held out for choices."""

from __future__ import annotations

from torch import Tensor

from adqc.experiments.data import Images
from adqc.experiments.recipe import Recipe

VALIDATION_SHARE = 6
VALIDATION_MOST = 5000
# Images that the recipe does not train on cost nothing to hold out.
VALIDATION_BEYOND = 10_000


def shorten(images: Images, recipe: Recipe) -> Images:
    """As many images as the recipe says."""
    train_count = recipe.train_images or len(images.train_labels)
    test_count = recipe.test_images or len(images.test_labels)
    return Images(
        images.name,
        images.train_images[:train_count],
        images.train_labels[:train_count],
        images.test_images[:test_count],
        images.test_labels[:test_count],
        folder=images.folder,
    )


def find_beyond(images: Images, recipe: Recipe) -> tuple[Tensor, Tensor]:
    """Training images, and their labels, that the recipe leaves: the next ones, at most 10,000."""
    used = recipe.train_images or len(images.train_labels)
    beyond = slice(used, used + VALIDATION_BEYOND)
    return images.train_images[beyond], images.train_labels[beyond]


def held_out(count: int) -> int:
    """How many of so many training images are held out where the recipe leaves fewer than that."""
    return min(VALIDATION_MOST, count // VALIDATION_SHARE)
