"""Checks that need several ranks; rank 0 writes what came out."""

import json
import os
from pathlib import Path
from typing import Any

import torch
from tiny import (
    batch_of,
    batches_from,
    compute_loss,
    keyframe_batches,
    note_batch,
    tiny_detector,
    tiny_model,
)
from torch import Tensor, nn

from x3d_det.engine.distributed import World, derived_seed, end_world, start_world
from x3d_det.engine.infer import detect_actions, score_dataset
from x3d_det.engine.optim import parameter_groups, sgd
from x3d_det.engine.precise_bn import recompute_batch_norms
from x3d_det.engine.step import StepRunner
from x3d_det.errors import X3DDetError


def flat(model: nn.Module) -> list[float]:
    return torch.cat([value.double().flatten() for value in model.state_dict().values()]).tolist()


def runner_of(model: nn.Module, world: World, **options: Any) -> StepRunner:
    optimizer = sgd(parameter_groups(model, weight_decay=0.01))
    settings = {"world": world, "seed": 1, "note_batch": note_batch, **options}
    return StepRunner(model, optimizer, options.pop("loss", compute_loss), **settings)


def shared_batches(world: World) -> dict[str, Any]:
    """Five steps of plain SGD on shares of the batches that one rank would have whole."""
    model = tiny_model(batch_norm=False, dropout=0.0)
    runner = runner_of(model, world)
    batches = batches_from(world=world)(0)
    results = [runner.run(step, batches, learning_rate=0.1) for step in range(5)]
    seen = world.gather_objects([result.notes[0].text for result in results])
    weights = world.gather_objects(flat(model))
    return {"weights": weights, "seen": seen, "losses": [result.loss for result in results]}


def nan_on_one_rank(world: World) -> dict[str, Any]:
    model = tiny_model()
    runner = runner_of(model, world)
    batches = batches_from(world=world, bad_steps={1: "input of rank 1"})(0)
    runner.run(0, batches, learning_rate=0.1)
    before = flat(model)
    skipped = runner.run(1, batches, learning_rate=0.1).skipped
    unchanged = world.gather_objects(flat(model) == before)
    reasons = world.gather_objects(skipped)
    runner.run(2, batches, learning_rate=0.1)
    weights = world.gather_objects(flat(model))
    return {"unchanged": unchanged, "reasons": reasons, "weights": weights}


def nothing_on_one_rank(world: World) -> dict[str, Any]:
    """Rank 1 has a batch without boxes: half of rank 0's gradient counts."""

    def loss_of(model: nn.Module, batch: Any) -> tuple[Tensor, dict[str, float]]:
        return compute_loss(model, batch) if world.is_main else (torch.zeros(()), {})

    model = tiny_model(batch_norm=False, dropout=0.0)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    runner = StepRunner(model, optimizer, loss_of, world=world, seed=0)
    before = [parameter.clone() for parameter in model.parameters()]
    runner.run(0, iter([batch_of(0)]), learning_rate=1.0)
    moved = [(b - p).tolist() for b, p in zip(before, model.parameters(), strict=True)]
    return {"moved": moved, "weights": world.gather_objects(flat(model))}


def stop_on_one_rank(world: World) -> dict[str, Any]:
    runner = runner_of(tiny_model(), world)
    result = runner.run(
        0,
        batches_from(world=world)(0),
        learning_rate=0.1,
        stop_requested=lambda: world.rank == 1,
    )
    return {"stop": world.gather_objects(result.stop_requested)}


def errors_on_all_ranks(world: World) -> dict[str, Any]:
    def text_of(function: Any, *arguments: Any) -> str:
        try:
            function(*arguments)
        except X3DDetError as error:
            return f"{type(error).__name__}: {error}"
        return "no error"

    def full() -> None:
        raise X3DDetError("the disk is full")

    settings = {"train": {"lr": 0.1 * (1 + world.rank)}, "seed": 3}
    return {
        "settings": world.gather_objects(
            text_of(world.require_same, "the configuration", settings)
        ),
        "same": text_of(world.require_same, "the configuration", {"seed": 3}),
        "on_main": world.gather_objects(text_of(world.on_main, full)),
    }


def precise_statistics(world: World) -> dict[str, Any]:
    model = tiny_model()
    mine = [batch_of(number)[0] for number in range(world.rank, 5, world.world_size)]
    count = recompute_batch_norms(
        model, mine, lambda model, batch: model(batch), sum_over_ranks=world.sum_over_ranks
    )
    return {"count": count, "weights": world.gather_objects(flat(model))}


def detections(world: World) -> dict[str, Any]:
    """The table's numbers as hexadecimal floats: every bit counts."""
    table = detect_actions(
        tiny_detector(),
        keyframe_batches(world.rank, world.world_size),
        action_ids=[3, 1],
        num_keyframes=7,
        world=world,
        num_threads=1,
    )
    try:
        detect_actions(
            tiny_detector(),
            keyframe_batches(0, 1),  # all of them on every rank
            action_ids=[1],
            num_keyframes=7,
            world=world,
        )
        double = "no error"
    except X3DDetError as error:
        double = str(error)
    rows = None if table is None else table_bits(table)
    return {"rows": rows, "double": world.gather_objects(double)}


def views(world: World) -> list[list[str]] | None:
    """The mean scores over three views, every bit of them; None on ranks beside rank 0."""
    scored = score_dataset(
        tiny_detector(),
        [keyframe_batches(world.rank, world.world_size, scale=scale) for scale in (1.0, 0.5, 0.1)],
        num_keyframes=7,
        world=world,
        num_threads=1,
    )
    if scored is None:
        return None
    return [[value.hex() for value in item.scores_NK.flatten().tolist()] for item in scored]


def table_bits(table: Any) -> list[list[str]]:
    return [
        [value.hex() if isinstance(value, float) else str(value) for value in row]
        for row in table.itertuples(index=False)
    ]


def run_rank(environment: dict[str, str], output: Path) -> None:
    """Do all the checks as the rank of this environment; rank 0 writes the output."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    world = start_world("cpu", timeout_seconds=60)
    assert derived_seed("a", 1) == derived_seed("a", 1) != derived_seed("a", 2)
    checks = (
        shared_batches,
        nan_on_one_rank,
        nothing_on_one_rank,
        stop_on_one_rank,
        errors_on_all_ranks,
        precise_statistics,
        detections,
        views,
    )
    results = {check.__name__: check(world) for check in checks}
    if world.is_main:
        output.write_text(json.dumps(results))
    end_world(world)
