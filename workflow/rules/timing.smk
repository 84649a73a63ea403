# One timing job per device and round, round by round, each mode in a process of its own.
localrules:
    timing,
    retry,


rule timing:
    input:
        job_files("job.json"),


rule environment:
    input:
        code=step_code("environment"),
    output:
        f"{RESULTS}/environment.json",
    log:
        f"{RESULTS}/logs/environment.log",
    resources:
        timing=1,
    params:
        machine=CONFIG["machine"],
        versions=versions(),
    shell:
        "python3 -m effdet_bench environment --machine {params.machine} --output {output:q}"
        " 2>&1 | tee {log} >&2"


# All modes of a round in one step, as they take turns request by request.
rule time_round:
    input:
        records=RECORDS,
        checkpoints=[source.path for source in SOURCES.values()],
        photos=rules.photos.output,
        references=REFERENCES,
        exports=lambda wildcards: [
            f"exports/{export['name']}/{source.model}.{source.weights}.json"
            for export in EXPORTS.values()
            if export["device"] == wildcards.device
            for source in SOURCES.values()
        ],
        code=step_code("timing", *(f"engines.{mode['engine']}" for mode in CONFIG["modes"])),
    # `update` keeps what was measured before until it is replaced, should this job be interrupted.
    # Not so the records: without them the job counts as not done.
    output:
        raw=update(expand(f"{JOB}/{{file}}", mode=MODES, file=RAW_COLUMNS, allow_missing=True)),
        jobs=expand(f"{JOB}/job.json", mode=MODES, allow_missing=True),
    log:
        f"{RESULTS}/logs/timing/{{device}}-round-{{round}}.log",
    priority: lambda wildcards: len(ROUNDS) - int(wildcards.round)
    # Their number is a resource, as a param would rerun all rounds for one more.
    resources:
        timing=1,
        rounds=len(ROUNDS),
    params:
        machine=CONFIG["machine"],
        modes=json.dumps(CONFIG["modes"]),
        requests=CONFIG["requests"],
        warmup=CONFIG["warmup"],
        threads=CONFIG["threads"],
        seed=CONFIG["seed"],
        photos=os.path.dirname(PHOTOS[0]),
        versions={mode["engine"]: modes.engine_versions(mode["engine"]) for mode in CONFIG["modes"]},
        folder=lambda wildcards, output: Path(output.jobs[0]).parents[3],
    shell:
        "python3 -m effdet_bench timing --machine {params.machine} --device {wildcards.device}"
        " --modes {params.modes:q} --round {wildcards.round} --rounds {resources.rounds}"
        " --requests {params.requests} --warmup {params.warmup} --threads {params.threads}"
        " --photos {params.photos:q} --records {input.records:q}"
        " --checkpoints {input.checkpoints:q} --references {input.references:q}"
        " --exports {input.exports:q} --seed {params.seed} --output {params.folder:q} 2>&1 | tee {log} >&2"


# A job that failed or was unavailable left its record, which counts as done: this forgets them.
rule retry:
    log:
        f"{RESULTS}/logs/retry.log",
    params:
        folder=f"{RESULTS}/timing",
    shell:
        "python3 -m effdet_bench retry --timing {params.folder:q} --exports exports 2>&1 | tee {log} >&2"
