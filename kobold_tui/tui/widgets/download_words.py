"""What the download window says: its help, and the sentences below its lists."""

from __future__ import annotations

HELP = """\
Type words of a model's name and press **Enter**: the repositories with GGUF files are listed, the most
downloaded first. **Enter** on one shows its files with the size of each and whether it will run here:

● all on the GPU   ◐ partly   ○ on the CPU   ✗ too large   + a projector, which lets a model see images

**Enter** on a file downloads it into the folder below the list, in the background: you can leave this window.
What was stopped or interrupted stands in the first list of this window; **Enter** goes on with it.

*terms* are repositories that want their terms accepted on the hub's page first; then set `HF_TOKEN` or log in
with `hf auth login`. `HF_ENDPOINT` names another hub or mirror.
"""

BEGIN = "Words of a model's name find it on the Hugging Face hub: qwen3 8b, gemma, embedding …"
NOTHING = "No repository with GGUF files has these words in its name."
NO_FILES = "This repository has no GGUF files."
SEARCHING = "Searching …"
READING = "Reading the list of files …"
MORE = "It runs in the background; you can leave this window, and it says when it is done."
UNFINISHED = "Unfinished downloads: Enter goes on, Delete removes what has arrived."
