"""The GGUF file format: bytes to structures, pure."""
