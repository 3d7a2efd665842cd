"""Time a training step on a GPU: milliseconds, crops a second, and where the
time goes.

    python benchmarks/training_step.py [--model flowsep] [--network '{"taps": 3}'] [--size 192]
    [--batch 64] [--kernels 30]

The step runs on random crops, captured as a CUDA graph, as `midframe.training.on_device` runs it.
"""

import argparse
import dataclasses
import json

import torch
from torch.profiler import ProfilerActivity, profile

from midframe.models.checkpoint import channels_last, load_model
from midframe.training.on_device.crops import Crops
from midframe.training.on_device.leg_network import MODELS
from midframe.training.on_device.optimiser import GraphedMuon
from midframe.training.on_device.step import GraphedStep, StepShape

STEPS = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--network", type=json.loads, default={}, help="other fields of its config, as JSON"
    )
    parser.add_argument("--model", choices=MODELS, default="flowsep")
    parser.add_argument("--size", type=int, default=192)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--scale", type=int, default=1)
    parser.add_argument("--kernels", type=int, default=30, help="how many kernels are listed")
    given = parser.parse_args()
    device = torch.device("cuda")
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
    torch.backends.cudnn.benchmark = True
    config = dataclasses.replace(load_model(given.model).config, **given.network)
    model = channels_last(MODELS[given.model](config).to(device))
    for weights in model.parameters():
        weights.grad = torch.zeros_like(weights)
    optimiser = GraphedMuon(model, 0.01)
    shape = StepShape(given.size, (given.batch, 0), scale=given.scale)
    step = GraphedStep(model, optimiser, shape)
    step.loss_weights.fill_(1.0)
    frames = torch.rand(3, given.batch, 3, given.size, given.size, device=device)
    crops = Crops(frames[0], frames[1], frames[2], torch.full((given.batch,), 0.5, device=device))
    step.run(crops)
    begin = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    end = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
    begin.record()
    for _ in range(STEPS):
        step.run(crops)
    end.record()
    torch.cuda.synchronize()
    milliseconds = begin.elapsed_time(end) / STEPS
    print(
        f"{torch.cuda.get_device_name()}: {milliseconds:.2f} ms a step, "
        f"{given.batch / milliseconds * 1e3:.0f} crops/s"
    )
    print(f"memory {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")
    with profile(activities=[ProfilerActivity.CUDA]) as found:
        for _ in range(3):
            step.run(crops)
        torch.cuda.synchronize()
    events = sorted(found.key_averages(), key=lambda event: -event.self_device_time_total)
    total, count = sum(e.self_device_time_total for e in events), sum(e.count for e in events)
    print(f"{count // 3} kernels, {total / 3e3:.2f} ms busy")
    for event in events[: given.kernels]:
        print(
            f"{event.self_device_time_total / 3e3:8.3f} ms {event.count // 3:5d}  {event.key[:110]}"
        )


main()
