"""Use cases that every front end shares; asynchronous, free of Textual and of any server."""
