"""Faultline watches machines through their sensors and says which one fails, and why."""

from importlib.metadata import version

__version__ = version("faultline")
