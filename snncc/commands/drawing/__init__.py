"""A network as a picture: `boxes` finds what to draw, `layout` where, `svg` writes it."""

from .svg import draw

__all__ = ["draw"]
