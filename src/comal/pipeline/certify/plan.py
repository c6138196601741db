"""What a certification is about: whose policies, under which settings, against which adversaries of the user's."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import comal
from comal.errors import ConfigError, PolicyError, RunError, near_match
from comal.evaluation.exploitability.scoreboard import START
from comal.pipeline.certify.settings import CertifySettings, canonical
from comal.pipeline.disk.certification_folder import CERTIFICATION_FOLDERS, CertificationFolder
from comal.pipeline.disk.layout import RunFolder
from comal.pipeline.disk.work_folder import FORMAT
from comal.pipeline.run.final_evaluation import picked_policy, pool_checkpoints
from comal.pipeline.run.resolved import ResolvedRecipe, method_names, resolve
from comal.pipeline.run.resources import open_resources
from comal.pipeline.step.resources import Resources
from comal.policies.adapter_folder import AdapterFolder, is_adapter, read_adapter
from comal.policies.loading import require_folder
from comal.recipes.settings import Recipe

_TAKEN = CERTIFICATION_FOLDERS | {START}
_OTHER_KINDS = ("only ", "best of ", "trained exploiter")
"""How the names of adversaries begin that are no policies of their own."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a certification folder is about.

    Attributes:
        home: the folder with the recipe's prompts and starting model: a run, or the certification folder itself.
        recipe: of the run, or the one named by the user; its own plug-ins are of no use to an exploiter.
        settings: how to certify.
        against: model folders of the user's adversaries.
        exploiter: the recipe that an exploiter follows.

    Raises:
        ConfigError: settings with an unknown plug-in or a wrong option.
    """

    home: Path
    recipe: Recipe
    settings: CertifySettings
    against: tuple[Path, ...] = ()
    exploiter: ResolvedRecipe = field(init=False)

    def __post_init__(self) -> None:
        # Policies are told apart by their paths, and workers may be started elsewhere.
        object.__setattr__(self, "home", self.home.resolve())
        object.__setattr__(self, "exploiter", resolve(self.settings.recipe(self.recipe)))

    @property
    def of_run(self) -> bool:
        """Whether the policies are those of a run."""
        return RunFolder(self.home).is_marked

    def to_json(self) -> dict[str, Any]:
        """What the marker of the certification's folder says."""
        settings = canonical(self.settings, self.exploiter)
        adversaries = {str(path): weights_digest(path) for path in self.against}
        return {
            "format": FORMAT,
            "comal": comal.__version__,
            "home": str(self.home),
            "recipe": settings | {"of": resolve(self.recipe).canonical(), "against": adversaries},
        }

    @classmethod
    def read(cls, folder: Path) -> Plan:
        """The plan in a claimed folder."""
        written = CertificationFolder(folder).written()
        CertificationFolder(folder).search_imports()
        plain = dict(written["recipe"])
        recipe, against = Recipe(**plain.pop("of")), tuple(Path(path) for path in plain.pop("against"))
        return cls(Path(written["home"]), recipe, CertifySettings(**plain), against)

    def resources(self) -> Resources:
        """What exploiters and measurements share."""
        return open_resources(self.home, self.exploiter)


def recipe_of_run(run: Path) -> Recipe:
    """The recipe of a finished run.

    Raises:
        RunError: there is no run that this comal can read, or it is not finished.
    """
    recipe = RunFolder(run).recipe()
    if not RunFolder(run).is_finished:
        raise RunError(str(run), "the run is not finished; type the `comal run` command that made it again first")
    return recipe


def policies_of_run(run: Path, recipe: Recipe, size: int) -> dict[str, str | Path]:
    """Checkpoints of a finished run's policies: the start, every method's last and picked one, `size` earlier ones."""
    methods = list(method_names(recipe))
    return pool_checkpoints(run, {name: picked_policy(run, name) for name in methods}, size)


def chosen_policies(
    pool: Mapping[str, str | Path], methods: Sequence[str], wanted: Sequence[str]
) -> dict[str, str | Path]:
    """The policies to certify: the methods' last ones, unless others of the pool are named.

    Raises:
        ConfigError: an unknown name.
    """
    for name in wanted:
        if name not in pool:
            raise ConfigError("--method", f"`{name}` is no policy of this run.{near_match(name, pool)}")
    return {name: pool[name] for name in (wanted or methods)}


def joined_pool(
    pool: Mapping[str, str | Path], chosen: Mapping[str, str | Path], against: Sequence[Path]
) -> dict[str, str | Path]:
    """The pool with the user's adversaries, each named by its path as given.

    Raises:
        ConfigError: a path that reads like the name of another adversary: one would take the other's place.
    """
    known = {START, *pool, *chosen}
    for path in against:
        if str(path) in known or str(path).startswith(_OTHER_KINDS):
            raise ConfigError(
                "--against",
                f"the folder `{path}` is called like an adversary that is there already; give its whole path, "
                f"--against '{path.resolve()}'",
            )
    return dict(pool) | {str(path): path for path in against}


def model_name(folder: Path) -> str:
    """What to call the policy in a model folder: the folder's name, where that can name a folder of ours."""
    name = folder.resolve().name
    return name if re.fullmatch(r"\w[\w.-]*", name) and name not in _TAKEN else "policy"


def weights_digest(folder: Path) -> str:
    """SHA-256 of a model folder's weights and configuration.

    Raises:
        PolicyError: the folder holds no model.
    """
    if not folder.is_dir():
        raise PolicyError("policy", f"there is no folder `{folder}`; give a model folder")
    files = sorted(
        p for pattern in ("*.safetensors", "*.bin", "config.json", "adapter_config.json") for p in folder.glob(pattern)
    )
    if not any(p.suffix in (".safetensors", ".bin") for p in files):
        raise PolicyError("policy", f"the folder `{folder}` holds no model (no *.safetensors or *.bin)")
    whole = hashlib.sha256()
    for path in files:
        with path.open("rb") as file:
            whole.update(path.name.encode() + b"\0" + hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def require_kind(folder: Path, recipe: Recipe) -> None:
    """Refuse a model folder of another kind than the recipe trains: exploiters start from it too.

    Where whole models are trained an adapter is opened as the whole model that it makes.

    Raises:
        PolicyError: a whole model where adapters are trained, an adapter of another model, or no model.
    """
    weights_digest(folder)
    if is_adapter(folder):
        require_folder(str(folder))
        _require_own_base(read_adapter(folder), recipe)
    elif not (folder / "config.json").is_file():
        raise PolicyError(str(folder), "holds no model (config.json is missing)")
    elif recipe.policy.lora is not None:
        beside = next(filter(is_adapter, sorted(folder.resolve().parent.iterdir())), None)
        hint = "" if beside is None else f"; name `{beside}`"
        raise PolicyError(
            str(folder),
            f"holds no adapter (adapter_config.json is missing), but the recipe's policy.lora trains some{hint}",
        )


def _require_own_base(adapter: AdapterFolder, recipe: Recipe) -> None:
    """With policy.lora all policies are adapters of one model; beside another one, this one would be another policy."""
    start = recipe.policy.model
    if recipe.policy.lora is None or recipe.supervised is not None or start is None or is_adapter(start):
        return  # merged by itself, or with a start that is made as the adapter's own was
    if whole_path(start) != whole_path(adapter.base):
        raise PolicyError(
            str(adapter.path),
            f"is an adapter of `{adapter.base}`, but the recipe's adapters are of `{start}`; name the recipe that it "
            "was trained by, or leave the recipe's policy.lora out",
        )


def start_of(plan: Plan) -> str:
    """The starting model, named as the policies are."""
    return whole_path(RunFolder(plan.home).start(plan.recipe))


def whole_path(checkpoint: str | Path) -> str:
    """A folder's absolute path; a hub id stays what it is."""
    return str(Path(checkpoint).resolve()) if Path(checkpoint).is_dir() else str(checkpoint)
