"""What `comal certify` leaves.

certify.json                      what is certified: settings, recipe, adversaries given by the user
answers/                          answers of the pool's policies to the fresh prompts
POLICY/policy.json                which weights
POLICY/validation-target.parquet  the policy's answers to the validation prompts
POLICY/exploiter-from-START/      a method's folder each: journal, steps, looks; and the exploiter's own answers
POLICY/certificate.json           the result
progress.json, timing.json,
door.json, imports.json           as of a run

The certification of a model also holds the prompts and the starting model that a run would hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from comal.evaluation.exploitability.certificate import Certificate, read_certificate
from comal.pipeline.disk.exploiter_look import ExploiterLook
from comal.pipeline.disk.files import read_json, write_json
from comal.pipeline.disk.layout import ANSWERS, HOME_FOLDERS, HomeFolder
from comal.pipeline.disk.method_folder import MethodFolder
from comal.pipeline.disk.work_folder import MarkedFolder
from comal.records import read

_EXPLOITER = "exploiter-from-"

CERTIFICATION_FOLDERS = HOME_FOLDERS | {ANSWERS}
"""Names of folders in a certification's that are no policies'."""


@dataclass(frozen=True, slots=True)
class ExploiterFolder(MethodFolder):
    """A trained exploiter's artifacts."""

    def exploiter_looks(self) -> list[ExploiterLook]:
        """What its looks measured, in order of steps.

        Raises:
            RunError: a look that cannot be read.
        """
        return [read(ExploiterLook, path) for path in self.look_files().values()]

    def checkpoint_of(self, look: ExploiterLook, start: str | Path) -> str | Path:
        """The checkpoint that a look was at; `start` where nothing had been trained yet."""
        return start if look.checkpoint is None else self.step(look.checkpoint).checkpoint

    def answers(self, what: str) -> Path:
        """Answers of the picked exploiter to the fresh prompts, or its candidates for best-of-N."""
        return self.path / f"{ANSWERS}-{what}.parquet"


@dataclass(frozen=True, slots=True)
class CertifiedFolder:
    """What belongs to one certified policy.

    Attributes:
        path: the folder's.
    """

    path: Path

    @property
    def policy_path(self) -> Path:
        """Which weights are certified."""
        return self.path / "policy.json"

    def policy(self) -> dict[str, Any]:
        """`policy` (its name), `checkpoint` (where it lies) and `weights` (their digest, None of a hub's model)."""
        found: dict[str, Any] = read_json(self.policy_path)
        return found

    def write_policy(self, values: Mapping[str, Any]) -> None:
        """Write it."""
        write_json(self.policy_path, values)

    @property
    def target_answers(self) -> Path:
        """The policy's answers to the validation prompts, which its exploiters are measured by."""
        return self.path / "validation-target.parquet"

    def exploiter(self, start: str) -> ExploiterFolder:
        """The folder of the exploiter that is trained from `start`."""
        return ExploiterFolder(self.path / f"{_EXPLOITER}{start}")

    @property
    def certificate_path(self) -> Path:
        """What was found."""
        return self.path / "certificate.json"

    @property
    def is_certified(self) -> bool:
        """Whether it is there."""
        return self.certificate_path.is_file()

    def certificate(self) -> Certificate:
        """What was found.

        Raises:
            RunError: the file cannot be read.
        """
        return read_certificate(self.certificate_path)

    def write_certificate(self, certificate: Certificate) -> None:
        """Write it."""
        write_json(self.certificate_path, certificate.to_json())


@dataclass(frozen=True, slots=True)
class CertificationFolder(HomeFolder, MarkedFolder):
    """A certification's artifacts."""

    MARKER: ClassVar[str] = "certify.json"
    HOLDS: ClassVar[str] = "certificates"
    WORK: ClassVar[tuple[str, ...]] = ("*/*/steps", "*/*/looks", ANSWERS, "supervised")

    def policy(self, name: str) -> CertifiedFolder:
        """What belongs to one policy."""
        return CertifiedFolder(self.path / name)

    def certified(self) -> dict[str, CertifiedFolder]:
        """The policies that have a certificate, by name in order."""
        found = [CertifiedFolder(path) for path in sorted(self.path.glob("*"))]
        return {folder.path.name: folder for folder in found if folder.is_certified}

    def exploiter_name(self, policy: str, start: str) -> str:
        """Where an exploiter's folder lies within this one."""
        return str(self.policy(policy).exploiter(start).path.relative_to(self.path))

    def exploiter(self, name: str) -> tuple[CertifiedFolder, str, ExploiterFolder]:
        """Of an exploiter's name: the policy that it is trained against, what it is trained from, and its folder."""
        policy, _, last = name.rpartition("/")
        start = last.removeprefix(_EXPLOITER)
        return self.policy(policy), start, self.policy(policy).exploiter(start)

    def answers(self, policy: str, what: str) -> Path:
        """Answers of a policy of the pool to the fresh prompts, or its candidates for best-of-N."""
        return self.path / ANSWERS / f"{policy}-{what}.parquet"
