"""Conversations in files, of this program and of others; every file that is read is taken for hostile."""
