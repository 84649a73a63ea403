"""MLCommons LoadGen as the generator of requests, with the scenarios of MLPerf Inference."""

import re
import threading
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from effdet_bench.errors import UnavailableError
from effdet_bench.load.service import Done, Service

SUMMARY = "mlperf_log_summary.txt"
# MLPerf's seeds change with its versions; these stay, so that all machines get the same requests
SEEDS = {"qsl_rng_seed": 1, "sample_index_rng_seed": 2, "schedule_rng_seed": 3}
OFFLINE = 1.1  # times the expected rate, because LoadGen calls a run INVALID that ends early
QUERY = 8  # samples of a query of MultiStream, as MLPerf has it


class Scenario(NamedTuple):
    """What LoadGen does, for at least `seconds`, and at least `queries` queries.

    `name` is SingleStream, MultiStream, Offline or Server. `rate` is the expected number of
    requests a second; for Server it is the mean of Poisson arrivals. For Server, a share
    `percentile` of the requests must be answered within `bound_ms`.
    """

    name: str
    seconds: float
    queries: int
    rate: float
    bound_ms: float = 0
    percentile: float = 0.9


class Verdict(NamedTuple):
    """What LoadGen's summary says.

    `percentiles` are of latencies from the scheduled arrival, in milliseconds. `scheduled_rps` is
    the rate of the arrivals that Server drew at random, not the requested rate.
    """

    valid: bool
    scheduled_rps: float | None
    percentiles: dict[str, float]


def generator() -> Any:
    """The module of LoadGen.

    Raises:
        UnavailableError: it is not installed.
    """
    try:
        return import_module("mlperf_loadgen")
    except ImportError:
        raise UnavailableError(
            "load needs the package mlcommons-loadgen, which is not installed: run "
            "`pip install -e '.[load]' -c constraints.txt`, and the same command again."
        ) from None


def run(service: Service, scenario: Scenario, photos: int, folder: Path) -> list[Done]:
    """Lets LoadGen run `scenario` on `service`; LoadGen's logs go to `folder`."""
    lg = generator()
    folder.mkdir(parents=True, exist_ok=True)
    done: list[Done] = []
    lock = threading.Lock()

    def answered(some: list[Done]) -> None:
        with lock:
            done.extend(some)
        responses = [lg.QuerySampleResponse(one.request.key, 0, 0) for one in some]
        lg.QuerySamplesComplete(responses)

    service.serve(answered)
    sut = lg.ConstructFastSUT(
        lambda keys, places: service.submit(list(zip(keys, places, strict=True))), lambda: None
    )
    library = lg.ConstructQSL(photos, photos, lambda samples: None, lambda samples: None)
    output = lg.LogOutputSettings()
    output.outdir = str(folder)
    logs = lg.LogSettings()
    logs.log_output = output
    logs.enable_trace = False
    lg.StartTestWithLogSettings(sut, library, _settings(lg, scenario), logs, "")
    lg.DestroyQSL(library)
    lg.DestroyFastSUT(sut)
    return done


def _settings(lg: Any, scenario: Scenario) -> Any:
    settings = lg.TestSettings()
    settings.scenario = getattr(lg.TestScenario, scenario.name)
    settings.mode = lg.TestMode.PerformanceOnly
    settings.min_duration_ms = int(1000 * scenario.seconds)
    settings.min_query_count = scenario.queries
    # half, because LoadGen makes its queries beforehand, and calls a run that needs more INVALID
    expected_ns = int(0.5e9 / scenario.rate)
    settings.single_stream_expected_latency_ns = expected_ns
    settings.multi_stream_expected_latency_ns = QUERY * expected_ns
    settings.multi_stream_samples_per_query = QUERY
    settings.offline_expected_qps = OFFLINE * scenario.rate
    settings.server_target_qps = scenario.rate
    settings.server_target_latency_ns = int(1e6 * scenario.bound_ms)
    settings.server_target_latency_percentile = scenario.percentile
    for name, seed in SEEDS.items():
        setattr(settings, name, seed)
    return settings


def read_verdict(folder: Path) -> Verdict:
    """What the summary in `folder` says."""
    text = (folder / SUMMARY).read_text()
    found = re.findall(r"^\s*(\d+\.\d+) percentile latency \(ns\)\s*: (\d+)", text, re.MULTILINE)
    valid = re.search(r"^Result is : (\w+)", text, re.MULTILINE)
    percentiles = {f"p{float(share):g}": int(ns) / 1e6 for share, ns in found}
    scheduled = re.search(r"^Scheduled samples per second\s*: (\S+)", text, re.MULTILINE)
    rate = float(scheduled[1]) if scheduled else None
    return Verdict(valid is not None and valid[1] == "VALID", rate, percentiles)
