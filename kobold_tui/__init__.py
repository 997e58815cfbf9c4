"""A terminal workstation for local language models on GPU servers."""

__version__ = "0.1.0"
