"""Panes of the workbench; they never import each other."""
