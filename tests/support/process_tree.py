"""A /proc of made-up processes."""

from __future__ import annotations

from pathlib import Path


class ProcessTree:
    """Writes /proc below `root`, as the machine's own list or as a container's."""

    def __init__(self, root: Path, *, in_container: bool) -> None:
        self._proc = root / "proc"
        namespace = self._proc / "self/ns"
        namespace.mkdir(parents=True)
        (namespace / "pid").symlink_to("pid:[4026532999]" if in_container else "pid:[4026531836]")

    def add(
        self,
        pid: int,
        command: str = "/opt/secret/train --token=x",
        *,
        has_card: bool = True,
        started: int = 5,
        numbers: str = "",
    ) -> None:
        """Add a process; `numbers` is its line NSpid in `status`."""
        folder = self._proc / str(pid)
        (folder / "fd").mkdir(parents=True)
        for number, target in enumerate(("/dev/null", "/dev/nvidia0" if has_card else "/dev/nvidiactl")):
            (folder / "fd" / str(number)).symlink_to(target)
        fields = " ".join(["S", *["0"] * 18, str(started), "0"])
        (folder / "stat").write_text(f"{pid} (odd) name) {fields}")
        (folder / "cmdline").write_text(command.replace(" ", "\0") + "\0")
        (folder / "status").write_text(f"Name:\tx\nNSpid:\t{numbers or pid}\n")

    def open_card(self, pid: int) -> None:
        """Let a process open the first card."""
        (self._proc / str(pid) / "fd/9").symlink_to("/dev/nvidia0")

    def end(self, pid: int) -> None:
        """Take a process away."""
        (self._proc / str(pid)).rename(self._proc / f"ended-{pid}")
