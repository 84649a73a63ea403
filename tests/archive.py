"""Archives to render: written by the data contract, from latencies that a test chooses."""

import json
from pathlib import Path

from effdet_bench import records

MODELS = ("tf_efficientdet_d0", "tf_efficientdet_d1")
VERSIONS = {"python": "3.12.8", "torch": "2.9.1", "effdet": "0.4.1"}


def write_archive(results: Path, jobs: dict[tuple[str, str, int], dict]) -> Path:
    """Writes `results` for jobs (device, mode, round) -> {latencies_ns, stages_ns} or {outcome}."""
    requests = max(len(job.get("latencies_ns", [])) for job in jobs.values()) - 1
    for (device, mode, number), job in jobs.items():
        folder = results / "timing" / device / mode / f"round-{number}"
        folder.mkdir(parents=True)
        (folder / "requests.csv").write_text(_requests(job.get("latencies_ns", [])))
        (folder / "stages.csv").write_text(_stages(job.get("stages_ns", [])))
        records.write_json(folder / "job.json", _record(device, mode, number, requests, job), "job")
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
    photo = {"file": "a.jpg", "bytes": 12_345, "sha256": "a" * 64, "width": 640, "height": 480}
    records.write_json(results / "photos.json", {"photos": [photo]}, "photos")
    return results


def render_archive(results: Path, **options) -> str:
    """Runs the summary and report steps on `results`, as the rules do; returns the report."""
    from effdet_bench.__main__ import main

    folders = sorted(str(path.parent) for path in results.glob("timing/*/*/*/job.json"))
    summary = ["--json", str(results / "summary.json"), "--csv", str(results / "summary.csv")]
    main(["summary", "--jobs", *folders, *summary])
    defaults = {"smoke": False, "latency_targets": [], "throughput_targets": []}
    report = ["--results", str(results), "--options", json.dumps(defaults | options)]
    main(["report", *report, "--output", str(results / "report.md")])
    return (results / "report.md").read_text()


def _requests(latencies_ns: list[int]) -> str:
    rows = [
        f"{index},{'timed' if index else 'warmup'},a.jpg,{latency}\n"
        for index, latency in enumerate(latencies_ns)
    ]
    return "request,phase,photo,latency_ns\n" + "".join(rows)


def _stages(durations_ns: list[int]) -> str:
    """Seven durations per request: decode, then three for each of the two models."""
    names = [("decode", "")] + [
        (stage, model) for model in MODELS for stage in ("preprocess", "forward", "postprocess")
    ]
    rows = [
        f"{index // 7},a.jpg,{names[index % 7][0]},{names[index % 7][1]},{duration}\n"
        for index, duration in enumerate(durations_ns)
    ]
    return "request,photo,stage,model,duration_ns\n" + "".join(rows)


def _record(device: str, mode: str, number: int, requests: int, job: dict) -> dict:
    record = {
        "machine": "test",
        "device": device,
        "mode": mode,
        "round": number,
        "engine": "invalid" if mode == "invalid" else "eager",
        "options": {},
        "ensemble": [
            {
                "model": model,
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
        "requests": requests,
        "warmup": 1,
        "threads": 4,
        "versions": VERSIONS,
        "started": f"2026-01-02T03:04:{number:02}.000+00:00",
        "job_seconds": 12.5,
        "outcome": job.get("outcome", "completed"),
        "reason": job.get("reason"),
    }
    if record["outcome"] == "completed":
        record |= {
            "engine_version": "torch 2.9.1",
            "threads_used": 4,
            "import_seconds": 2.25 + number,
            "load_seconds": 0.5 + number,
            "peak_rss_bytes": (900 + number) * 2**20,
            "peak_device_bytes": None if device == "cpu" else 300 * 2**20,
        }
    return record
