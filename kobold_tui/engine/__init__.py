"""Runs models, each in a process of its own; this side of the wire never imports llama_cpp."""
