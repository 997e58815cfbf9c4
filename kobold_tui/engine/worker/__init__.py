"""Runs only inside a model's own process; the one place that imports llama_cpp."""
