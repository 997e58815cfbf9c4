"""Finds models: where they live and what each one is."""
