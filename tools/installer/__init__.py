"""What stands behind `make run` and `make test`: a virtual environment with everything in it."""
