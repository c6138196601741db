"""`comal init`: write a recipe to start from."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from comal.cli.completion import starting_judges

if TYPE_CHECKING:
    from comal.recipes.settings import Recipe
    from comal.recipes.starter import Starter

_FILE = Path("mine.yaml")
_MODEL = "Qwen/Qwen2.5-0.5B-Instruct"
_PROMPTS = "princeton-nlp/llama3-ultrafeedback-armorm"
_HELD_OUT = 64


def init(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The recipe to write; never one that exists.")] = _FILE,
    model: Annotated[
        str, typer.Option(metavar="MODEL", help="The model to align: a folder or Hugging Face id.")
    ] = _MODEL,
    judge: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="openai (a chat model behind HTTP), reward_model, or python (a function in a file of its own).",
            autocompletion=starting_judges,
        ),
    ] = "openai",
    judge_model: Annotated[
        str | None,
        typer.Option(metavar="MODEL", help="openai: its name on the server; reward_model: folder or Hugging Face id."),
    ] = None,
    gpu_memory: Annotated[
        float,
        typer.Option(metavar="GB", help="Of the GPU: decides between the whole model, LoRA, and LoRA in bfloat16."),
    ] = 24.0,
    lora: Annotated[bool, typer.Option("--lora", help="Train adapters even if the whole model fits.")] = False,
    prompts: Annotated[
        str, typer.Option(metavar="SOURCE", help="A JSONL, JSON, CSV or Parquet file, or a hub data set's id.")
    ] = _PROMPTS,
    prompt_column: Annotated[str, typer.Option(metavar="NAME", help="The column of the prompts.")] = "prompt",
) -> None:
    """Write a commented recipe that passes `comal plan`, to be changed at will.

    Nothing is overwritten and nothing downloaded. What to do next is said on stderr.
    """
    from comal.errors import ConfigError, near_match
    from comal.recipes.starter import JUDGE_KINDS, JUDGE_MODELS, LORA_RANK, Starter, module_of

    kind = next((known for known in JUDGE_KINDS if known == judge), None)
    if kind is None:
        raise ConfigError("--judge", f"`{judge}` is not a kind of judge to start with.{near_match(judge, JUDGE_KINDS)}")
    if kind == "python" and judge_model is not None:
        raise ConfigError("--judge-model", "a function has no model; leave it out, or take --judge openai")
    module = module_of(file.stem)
    function = file.with_name(f"{module}.py")
    _require_free([file, function] if kind == "python" else [file])
    from comal.pipeline.cost.fit import fit

    judge_model = judge_model or JUDGE_MODELS.get(kind)
    trained = fit(model, gpu_memory, LORA_RANK, judge_model if kind == "reward_model" else None, lora)
    starter = Starter(
        name=file.stem,
        file=shlex.quote(str(file)),
        model=model,
        lora=trained.lora,
        dtype=trained.dtype,
        why=trained.why,
        prompts=prompts,
        column=prompt_column,
        held_out=_held_out(prompts, prompt_column),
        judge=kind,
        judge_model=judge_model,
        module=module,
    )
    _check(starter)
    if kind == "python":
        _write(function, starter.judge_text())
    _write(file, starter.text())
    typer.echo(_next(starter, file, function), err=True)


def _require_free(files: list[Path]) -> None:
    """Refuse a place where the files cannot be written."""
    from comal.errors import ConfigError

    recipe = files[0]
    if recipe.suffix not in (".yaml", ".yml"):
        raise ConfigError("FILE", f"a recipe's file ends in .yaml, got `{recipe}`")
    if not recipe.parent.is_dir():
        raise ConfigError("FILE", f"there is no folder `{recipe.parent}`; make it first")
    for path in files:
        if path.exists() or path.is_symlink():
            raise ConfigError("FILE", f"`{path}` exists and is left as it is; give another FILE")


def _held_out(prompts: str, column: str) -> int:
    """How many prompts to set aside: a fifth of a small file, which stays mostly for training."""
    from comal.pipeline.data.prompts import load_prompts, on_hub
    from comal.recipes.settings import DataSource

    source = DataSource(source=prompts, prompt=column)
    if on_hub(source):
        return _HELD_OUT
    return max(2, min(_HELD_OUT, len(load_prompts(source, "--prompts", 0)) // 5))


def _check(starter: Starter) -> None:
    """Everything that `comal plan` looks at, before anything is written.

    Raises:
        ComalError: a mistake among the options.
    """
    from comal.pipeline.cost.recipe import recipe_cost
    from comal.recipes.load import validate
    from comal.recipes.yaml_text import parse_yaml

    values = parse_yaml(starter.text(), starter.file)
    recipe: Recipe = validate(values)
    if starter.judge == "python":  # its file is not there yet
        recipe = recipe.model_copy(update={"judge": {"name": "rules", "rules": [{"measure": "words"}]}})
    recipe_cost(recipe)


def _write(path: Path, text: str) -> None:
    with path.open("x", encoding="utf-8") as file:  # "x": not even what came to be there meanwhile
        file.write(text)


def _next(starter: Starter, file: Path, function: Path) -> str:
    """What was written and what to do with it."""
    judge = {
        "openai": f"start the judge's server, or set judge.base_url and judge.model in {file}",
        "reward_model": f"the judge's model is downloaded when the run starts; judge.models in {file} names it",
        "python": f"write your rule into {function}: as it stands, shorter answers win",
    }[starter.judge]
    written = f"wrote {file}" + (f" and {function}" if starter.judge == "python" else "")
    return (
        f"{written}. {starter.why}\nnext:\n"
        f"  {judge}\n"
        f"  comal plan {starter.file}   what it will ask of the judge, memory and disk\n"
        f"  comal run {starter.file}    stop it at any moment: the same command continues"
    )
