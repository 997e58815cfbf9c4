"""Frozen values and arithmetic that every other part shares; knows no file, process or screen."""
