"""Reads GPUs, RAM and CPU."""
