"""Archives to render: written by the data contract, from latencies that a test chooses."""

from pathlib import Path

from effdet_bench import layout, records

PHOTOS = ("a.jpg", "b.jpg", "c.jpg")
MODELS = ("tf_efficientdet_d0", "tf_efficientdet_d1")
VERSIONS = {"python": "3.12.8", "torch": "2.9.1", "effdet": "0.4.1"}
VALID = {"class_error": 0.0, "box_error": 0.0, "count": 1.0, "duplicates": 0.0, "matched": 1.0}
VALID |= {"box_drift_px": 0.0, "score_drift": 0.0, "agreement": 1.0}
INVALID = VALID | {"class_error": 5.1, "box_error": 1.25, "matched": 0.0, "agreement": 0.0}
TOLERANCE = VALID | {"class_error": 1e-4, "matched": 0.98, "box_drift_px": 0.1}
FP32, BF16, COPY, SILU = 2.5e11, 1.5e12, 2.8e10, 4.4e9  # operations and so on per second
RATES = {"fp32": FP32, "bf16": BF16}


def write_archive(results: Path, jobs: dict[tuple[str, str, int], dict]) -> Path:
    """Writes `results` for jobs (device, mode, round) -> {latencies_ns, stages_ns} or {outcome}.

    A job may say `weights`, `options`, `load` and `probe_ms` (before, after), and `verdict` of its
    mode.
    """
    requests = max(len(job.get("latencies_ns", [])) for job in jobs.values()) - 1
    for (device, mode, number), job in jobs.items():
        folder = results / "timing" / device / mode / f"round-{number}"
        folder.mkdir(parents=True)
        (folder / "requests.csv").write_text(_requests(job.get("latencies_ns", [])))
        (folder / "stages.csv").write_text(_stages(job.get("stages_ns", [])))
        records.write_json(folder / "job.json", _record(device, mode, number, requests, job), "job")
    for device, mode in {(device, mode): None for device, mode, _ in jobs}:
        job = next(job for key, job in jobs.items() if key[:2] == (device, mode))
        path = results / "validity" / device / f"{mode}.json"
        records.write_json(path, _validity(device, mode, job), "validity")
    for device in {device: None for device, _, _ in jobs}:
        records.write_json(results / "roofline" / f"{device}.json", roofline(device), "roofline")
    environment = {
        "machine": results.name,
        "cpu": "Test Processor",
        "cpu_capability": "AVX2",
        "cores": 4,
        "logical_cores": 8,
        "memory_bytes": 24 * 2**30,
        "accelerators": [],
        "cuda": None,
        "system": "Linux",
        "platform": "Debian (x86_64)",
        "kernel": "6.1",
        "versions": VERSIONS,
    }
    records.write_json(results / "environment.json", environment, "environment")
    photo = {"bytes": 12_345, "sha256": "a" * 64, "width": 640, "height": 480}
    photos = [{"file": name, **photo} for name in PHOTOS]
    records.write_json(results / "photos.json", {"photos": photos}, "photos")
    return results


def modes(tmp_path: Path, spread: float = 0.0, **latency_ms: float) -> Path:
    """An archive of four rounds of modes with chosen latencies, the twin `spread` apart from round
    to round."""
    jobs = {}
    for name, ms in latency_ms.items():
        mode = name.replace("_", "-")
        for number in range(1, 5):
            apart = 1 + (spread * (-1) ** number if mode == "baseline-twin" else 0)
            latencies = [round(apart * ms * 1e6) + k for k in range(13)]
            jobs["cpu", mode, number] = {"latencies_ns": latencies, "stages_ns": [10**6] * 7}
    return write_archive(tmp_path / "results" / "test", jobs)


def render_archive(results: Path, **options) -> str:
    """Runs the step `render` on `results`, with report settings `options`.

    Returns the report and its details, one after the other.
    """
    from effdet_bench.__main__ import main

    _write_settings(results, options)
    main(["render", str(results)])
    return documents(results)


def report_of(results: Path, **options) -> str:
    """What `render_archive` returns, without drawing figures and the page, which take a second."""
    from effdet_bench.archive import render
    from effdet_bench.layout import Archive
    from effdet_bench.report import report
    from effdet_bench.summary.summary import read_summary, write_summary

    _write_settings(results, options)
    archive = Archive(results)
    write_summary(render.summary_of(archive)[0], archive)
    view = report.view_of(archive, read_summary(archive))
    return "".join(report.render(view))


def _write_settings(results: Path, options: dict) -> None:
    defaults = {"latency_targets": [], "throughput_targets": []}
    jobs = [path.parent.parts for path in sorted(results.glob("timing/*/*/*/job.json"))]
    config = {
        "devices": list(dict.fromkeys(parts[-3] for parts in jobs)),
        "modes": [{"name": name} for name in dict.fromkeys(parts[-2] for parts in jobs)],
        "rounds": len({parts[-1] for parts in jobs}),
        "ablation": [],
        "smoke": options.pop("smoke", False),
        "recommend_p90_ms": options.pop("recommend_p90_ms", None),
        "report": defaults | options,
    }
    records.write_json(results / "settings.json", {"config": config}, "settings")


def documents(results: Path) -> str:
    """The report in `results` and its details, one after the other."""
    return "".join((results / f"{name}.md").read_text() for name in ("report", "details"))


def summarise_archive(results: Path, smoke: bool = False) -> None:
    """Writes the summary of `results`, and the settings that comparisons read; renders nothing."""
    from effdet_bench.layout import Archive
    from effdet_bench.summary.summary import write_summary

    records.write_json(results / "settings.json", {"config": {"smoke": smoke}}, "settings")
    write_summary(summary_of(results), Archive(results))


def summary_of(results: Path) -> dict:
    """The summary of an archive, without any file."""
    from effdet_bench.summary.jobs import read_jobs
    from effdet_bench.summary.summary import summarise

    return summarise(
        read_jobs(sorted(path.parent for path in results.glob("timing/*/*/*/job.json"))),
        [records.read_json(p, "validity") for p in sorted(results.glob("validity/*/*.json"))],
        [records.read_json(p, "roofline") for p in sorted(results.glob("roofline/*.json"))],
    )


def roofline(device: str) -> dict:
    """A record of the step `roofline`, its numbers chosen and not measured."""
    record = {"device": device, "threads": 4, "versions": VERSIONS}
    if device == "cuda":
        reason = "torch is built without CUDA."
        return record | {"outcome": "unavailable", "reason": reason}
    works = [_work(name, 214 + 50 * i, (5 + 7 * i) * 10**9) for i, name in enumerate(MODELS)]
    return record | {
        "outcome": "completed",
        "reason": None,
        "flops_per_second": RATES,
        "kernels": {key: {"matrix product": rate} for key, rate in RATES.items()},
        "copy_bytes_per_second": COPY,
        "silu_per_second": SILU,
        "models": works,
        "request": _work("request", 478, 17 * 10**9),
    }


def _work(name: str, convolutions: int, flops: int) -> dict:
    return {
        "model": name,
        "convolutions": convolutions,
        "flops": flops,
        "weights": 3_820_000,
        "activations": 92_195_000,
        "silu": 35_000_000,
        "bounds": {
            key: {"compute_ms": 1e3 * flops / rate, "attainable_ms": 1.1e3 * flops / rate}
            for key, rate in RATES.items()
        },
    }


def _validity(device: str, mode: str, job: dict) -> dict:
    verdict = job.get("verdict", "invalid" if mode == "no-network" else "valid")
    if job.get("outcome", "completed") != "completed":
        verdict = "not judged"
    bad = verdict == "invalid"
    model = INVALID if bad else VALID
    return {
        "device": device,
        "mode": mode,
        "verdict": verdict,
        "failed": "class_error" if bad else None,
        "reason": "a relative error of class logits" if bad else None,
        "precision": "fp32",
        "tolerance": TOLERANCE,
        "models": []
        if verdict == "not judged"
        else [
            {"model": name, "requests": 30, "fault": None, **model, "photos": []} for name in MODELS
        ],
        "accuracy": None,
    }


def conditions(before_ms: float = 5.0, after_ms: float = 5.0, other: float = 0.0) -> dict:
    """What job.json says of the machine, which is calm unless told."""
    return {
        "before": {"probe_ms": before_ms, "gpu": None},
        "after": {"probe_ms": after_ms, "gpu": None},
        "load": {"other": other, "steal": None},
        "power": {"governor": None, "on_battery": None, "low_power": None},
    }


def _requests(latencies_ns: list[int]) -> str:
    """Requests of a turn each, in which one core works and nothing disturbs."""
    columns = records.RAW_COLUMNS[layout.REQUESTS]
    phases = ["warmup", *["timed"] * len(latencies_ns)]
    rows = [
        f"{index},{phases[index]},{index},{PHOTOS[index % len(PHOTOS)]},{ns},{ns},0,0,0,0,0,,\n"
        for index, ns in enumerate(latencies_ns)
    ]
    return ",".join(columns) + "\n" + "".join(rows)


def _stages(durations_ns: list[int]) -> str:
    """Seven durations per request: decode, then three for each of the two models."""
    names = [("decode", "")] + [
        (stage, model) for model in MODELS for stage in ("preprocess", "forward", "postprocess")
    ]
    rows = [
        f"{index // 7},{PHOTOS[0]},{names[index % 7][0]},{names[index % 7][1]},{duration}\n"
        for index, duration in enumerate(durations_ns)
    ]
    return "request,photo,stage,model,duration_ns\n" + "".join(rows)


def _record(device: str, mode: str, number: int, requests: int, job: dict) -> dict:
    record = {
        "machine": "test",
        "device": device,
        "mode": mode,
        "round": number,
        "engine": "no_network" if mode == "no-network" else "eager",
        "options": job.get("options", {}),
        "env": job.get("env", {}),
        "python": None,
        "seed": 7,
        "ensemble": [
            {
                "model": model,
                "architecture": model,
                "classes": 90,
                "weights": job.get("weights", "release"),
                "why": "a verified file",
                "file": f"{model}.pth",
                "bytes": 1000,
                "sha256": "0" * 64,
                "parameters": 3_880_067 + index,
                "image_size": [512, 512],
            }
            for index, model in enumerate(MODELS)
        ],
        "seconds": 0,
        "requests": requests,
        "warmup": 1,
        "threads": 4,
        "versions": VERSIONS,
        "started": f"2026-01-02T03:04:{number:02}.000+00:00",
        "job_seconds": 12.5,
        "groups": 1,
        "outcome": job.get("outcome", "completed"),
        "reason": job.get("reason"),
    }
    if record["outcome"] == "completed":
        record |= {
            "engine_version": "torch 2.9.1",
            "precision": "fp32",
            "conditions": conditions(*job.get("probe_ms", (5.0, 5.0)), job.get("load", 0.0)),
            "threads_used": 4,
            "import_seconds": 2.25 + number,
            "load_seconds": 0.5 + number,
            "export_seconds": None,
            "peak_rss_bytes": (900 + number) * 2**20,
            "peak_device_bytes": None if device == "cpu" else 300 * 2**20,
        }
        if "held_bytes" in job:
            gpu = {"sm_clock_mhz": 1980, "sm_clock_max_mhz": 1980, "temperature_c": 40}
            gpu |= {"throttled": [], "held_bytes": job["held_bytes"]}
            record["conditions"]["after"]["gpu"] = gpu
    return record
