"""The examples in the detector's docstrings run."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import pytest

import faultline.detector

MODULES = [module.name for module in pkgutil.iter_modules(faultline.detector.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_every_example_prints_what_it_says(name: str) -> None:
    module = importlib.import_module(f"faultline.detector.{name}")

    assert doctest.testmod(module).failed == 0


def test_there_are_examples_to_run() -> None:
    modules = [importlib.import_module(f"faultline.detector.{name}") for name in MODULES]

    assert sum(len(test.examples) for m in modules for test in doctest.DocTestFinder().find(m)) > 20
