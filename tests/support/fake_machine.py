"""A machine made of strings: files, directories and commands as a test wants them."""

from __future__ import annotations

from dataclasses import dataclass, field

from backends.machine import Machine


@dataclass
class FakeMachine(Machine):
    """`Machine` without a machine."""

    files: dict[str, str] = field(default_factory=dict)
    commands: dict[str, str] = field(default_factory=dict)
    system: str = "Linux"
    architecture: str = "x86_64"
    memory_bytes: tuple[int, int] = (16 * 1024**3, 12 * 1024**3)
    n_physical_cores: int = 8
    n_allowed_cpus: int = 16

    def read(self, path: str) -> str | None:
        return self.files.get(path)

    def names_in(self, path: str) -> list[str]:
        inside = [name.removeprefix(path + "/") for name in self.files if name.startswith(path)]
        return sorted({name.partition("/")[0] for name in inside})

    def output_of(self, *command: str) -> str | None:
        return self.commands.get(command[0])
